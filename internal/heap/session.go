package heap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
)

const (
	maxMessageBytes = 1 << 20         // no answer that we ask for has more than some 500 bytes
	maxUnanswered   = 8               // requests left without an answer, before no more are sent
	writeTimeout    = 2 * time.Second // the socket's buffer takes a request at once
)

var (
	errLost = errors.New("inspector session ended")
	errLeft = errors.New("left the session because the target waits to exit")
)

// session is one attached websocket. One goroutine reads it; calls match answers by id.
type session struct {
	target debuggee
	conn   *websocket.Conn
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when the reader has ended and err stands
	begun  atomic.Bool   // the target has begun its program

	mu       sync.Mutex
	next     int64
	pending  map[int64]chan message // nil channel: no one waits for the answer any more
	notifyID int64
	err      error
	sampled  time.Time // when this session began to sample; zero: it does not
}

// attach opens the websocket of a target and sends the request to be notified when it waits to exit.
// It does not wait for an answer: those come from the target's main thread, which may be busy, and
// to give up and attach again would print on its stderr each time.
func attach(ctx context.Context, address string, target debuggee) (*session, error) {
	conn, _, err := websocket.Dial(ctx, "ws://"+address+target.path, &websocket.DialOptions{HTTPClient: target.via, HTTPHeader: http.Header{"User-Agent": {fetch.UserAgent()}}}) //nolint:bodyclose // the library's
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxMessageBytes)
	s := &session{target: target, conn: conn, done: make(chan struct{}), pending: make(map[int64]chan message)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.read()
	s.mu.Lock()
	s.notifyID = s.next + 1
	s.mu.Unlock()
	if _, _, err := s.send(methodNotifyWaiting, notifyParams{Enabled: true}, false); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// read owns the reading side until the connection ends.
func (s *session) read() {
	defer close(s.done)
	defer s.cancel()
	err := s.readAll()
	s.conn.CloseNow() //nolint:errcheck // it has ended one way or the other
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = fmt.Errorf("%w: %w", errLost, err)
}

func (s *session) readAll() error {
	for {
		_, data, err := s.conn.Read(s.ctx)
		if err != nil {
			return err
		}
		m, err := decodeMessage(data)
		if err != nil {
			return err
		}
		if m.Method == eventWaiting {
			return errLeft
		}
		if err := s.deliver(m); err != nil {
			return err
		}
	}
}

// deliver hands an answer to whoever waits for it; an answer after the deadline, or to nothing
// that was asked, is dropped.
func (s *session) deliver(m message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, asked := s.pending[m.ID]
	if !asked {
		return nil
	}
	delete(s.pending, m.ID)
	if m.ID == s.notifyID && m.Error != nil {
		return fmt.Errorf("the target cannot report when it waits to exit, and a held session would keep it from exiting (%w): write session: %s", m.err(), SessionPerSample)
	}
	if ch != nil {
		ch <- m // has room for one
	}
	return nil
}

// send writes a request. With wait it returns the channel on which the answer will come.
func (s *session) send(method string, params any, wait bool) (int64, chan message, error) {
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return 0, nil, s.err
	}
	if len(s.pending) >= maxUnanswered {
		s.mu.Unlock()
		return 0, nil, fmt.Errorf("%w: %d requests are not answered yet", ErrBusy, maxUnanswered)
	}
	var ch chan message
	if wait {
		ch = make(chan message, 1)
	}
	s.next++
	id := s.next
	s.pending[id] = ch
	s.mu.Unlock()

	data, err := json.Marshal(request{ID: id, Method: method, Params: params})
	if err != nil {
		return 0, nil, err
	}
	// A context that ends during a write closes the connection, so it is not the caller's.
	ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
	defer cancel()
	if err := s.conn.Write(ctx, websocket.MessageText, data); err != nil {
		s.close()
		return id, nil, s.lost()
	}
	return id, ch, nil
}

// call sends a request and waits for its answer until ctx is done: then the error is ErrBusy, or
// the context's when it was cancelled, and the request may still be served. sent says whether the
// target may have got it.
func (s *session) call(ctx context.Context, method string, params any) (result []byte, sent bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, s.late(ctx, method)
	}
	id, ch, err := s.send(method, params, true)
	if err != nil {
		return nil, id != 0, err
	}
	select {
	case m := <-ch:
		if err := m.err(); err != nil {
			return nil, true, fmt.Errorf("%s: %w", method, &answerError{err})
		}
		return m.Result, true, nil
	case <-ctx.Done():
		s.mu.Lock()
		if _, waiting := s.pending[id]; waiting {
			s.pending[id] = nil
		}
		s.mu.Unlock()
		return nil, true, s.late(ctx, method)
	case <-s.done:
		return nil, true, s.lost()
	}
}

// answerError is an error that the target itself answered with: the request has ended.
type answerError struct{ error }

func (e *answerError) Unwrap() error { return e.error }

func (s *session) late(ctx context.Context, method string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: no answer to %s in time", ErrBusy, method)
	}
	return fmt.Errorf("%s: %w", method, ctx.Err())
}

// lost returns why the session ended, nil while it lives.
func (s *session) lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// close ends the session and waits for its reader.
func (s *session) close() {
	s.cancel() // ends the read, and with it the connection
	<-s.done
}
