package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

const (
	maxCallers   = 8
	readTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second // for one line: a caller that does not read is given up
	idleTimeout  = 30 * time.Second
)

// Options are what a Server answers with.
type Options struct {
	// Cleanup does what a request says and sends events while it does; the end is added. When ctx ends,
	// the caller has gone. An ErrRefused is for what the caller has to write differently.
	Cleanup func(ctx context.Context, from Peer, req Cleanup, send func(Event) error) error
	// Pause does what a command asks for.
	Pause func(ctx context.Context, from Peer, req Pause) (Paused, error)
	// Outside says what grew of a target in its folders and mappings.
	Outside func(target string) evidence.Outside
	// Decide does what a command says about a proposal.
	Decide func(ctx context.Context, from Peer, req Decide) (Decided, error)
	Logger *slog.Logger
}

// Server answers on the socket of one journal.
type Server struct {
	opts     Options
	dir      *os.File
	listener net.Listener
	server   *http.Server
	close    func() error // once
}

// Listen makes the socket in the folder of a journal that the caller has locked: a socket that is
// there already is of a process that has ended.
func Listen(ctx context.Context, dir string, o Options) (*Server, error) {
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	s := &Server{opts: o, dir: f}
	s.close = sync.OnceValue(s.end)
	if err := s.listen(ctx); err != nil {
		f.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+cleanupPath, s.cleanup)
	mux.HandleFunc("POST "+pausePath, func(w http.ResponseWriter, r *http.Request) {
		var req Pause
		answerTo(w, r, &req, &req.Protocol, func(from Peer) (Paused, error) { return s.opts.Pause(r.Context(), from, req) })
	})
	mux.HandleFunc("POST "+outsidePath, s.outside)
	mux.HandleFunc("POST "+decidePath, func(w http.ResponseWriter, r *http.Request) {
		var req Decide
		answerTo(w, r, &req, &req.Protocol, func(from Peer) (Decided, error) { return s.opts.Decide(r.Context(), from, req) })
	})
	s.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: 8 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, c.(*caller).peer)
		},
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

func (s *Server) listen(ctx context.Context) error {
	if err := safefs.RemoveSocket(s.dir, socketName); err != nil {
		return err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		// The socket is made with the mode of its descriptor, so that it is never open to others.
		return errors.Join(c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }), err)
	}}
	l, err := lc.Listen(ctx, "unix", address(s.dir))
	if err != nil {
		return err
	}
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false) // Close does, by its folder
	s.listener = &callers{UnixListener: ul, places: make(chan struct{}, maxCallers), logger: s.opts.Logger}
	return nil
}

// address is the path of the socket in an open folder. It is short, however long the folder's own is.
func address(dir *os.File) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName)
}

// Serve answers until Close. It returns nil then.
func (s *Server) Serve() error {
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends all connections and removes the socket. It may be called before Serve, and again.
func (s *Server) Close() error { return s.close() }

func (s *Server) end() error {
	err := s.server.Close()
	if e := s.listener.Close(); !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	return errors.Join(err, safefs.RemoveSocket(s.dir, socketName), s.dir.Close())
}

type peerKey struct{}

// understood reads a request, and answers one of another version.
func understood(w http.ResponseWriter, r *http.Request, into any, version *int) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil || *version != protocol {
		http.Error(w, "the exporter that runs is another version than this command: use the same binary, or restart the exporter", http.StatusBadRequest)
		return false
	}
	return true
}

// answerTo answers a request that has one answer.
func answerTo[T any](w http.ResponseWriter, r *http.Request, req any, version *int, do func(from Peer) (T, error)) {
	from := r.Context().Value(peerKey{}).(Peer)
	if !understood(w, r, req, version) {
		return
	}
	out, err := do(from)
	if err != nil {
		http.Error(w, strings.TrimPrefix(err.Error(), ErrRefused.Error()+": "), http.StatusUnprocessableEntity)
		return
	}
	answerJSON(w, out)
}

func (s *Server) outside(w http.ResponseWriter, r *http.Request) {
	var req Outside
	if understood(w, r, &req, &req.Protocol) {
		answerJSON(w, s.opts.Outside(req.Target))
	}
}

func answerJSON(w http.ResponseWriter, out any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // the caller has gone
}

func (s *Server) cleanup(w http.ResponseWriter, r *http.Request) {
	from := r.Context().Value(peerKey{}).(Peer)
	var req Cleanup
	if !understood(w, r, &req, &req.Protocol) {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // the request is here; it may take long
	s.opts.Logger.Info("doing what a command requests", "capture", req.Capture, "from", from.String(), "targets", req.Targets, "policy", req.Policy, "enforce", req.Enforce, "force", req.Force)
	out := newAnswer(w)
	err := s.opts.Cleanup(r.Context(), from, req, out.send)
	switch {
	case errors.Is(err, ErrRefused) && !out.begun:
		http.Error(w, strings.TrimPrefix(err.Error(), ErrRefused.Error()+": "), http.StatusUnprocessableEntity)
		return
	case err != nil:
		_ = out.send(Event{Error: err.Error()}) // it ends below, or the caller has gone
	}
	_ = out.send(Event{End: true})
}
