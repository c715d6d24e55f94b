package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
)

const (
	dialTimeout   = 5 * time.Second
	answerTimeout = 30 * time.Second // until the first event: one journal sync, or a full queue
)

// Client talks to the exporter that holds a journal.
type Client struct {
	conn net.Conn
	peer Peer
}

// Dial connects to the exporter that holds the journal in a folder. The error is ErrNone when there is
// no socket or no process behind it.
func Dial(ctx context.Context, dir string) (*Client, error) {
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err) // whoever opens the journal says it better
	}
	defer f.Close()
	owner, err := ownerOf(f)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "unix", address(f))
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ECONNREFUSED):
		return nil, ErrNone
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s/%s is for root and the exporter's own user: use sudo: %w", dir, socketName, fs.ErrPermission)
	case err != nil:
		return nil, fmt.Errorf("connect to the exporter through %s/%s: %w", dir, socketName, err)
	}
	c := &Client{conn: conn}
	if c.peer, err = peerOf(conn.(*net.UnixConn)); err == nil && c.peer.UID != 0 && c.peer.UID != owner {
		err = fmt.Errorf("%s, which is neither root nor the owner of the folder (uid %d): what answers there is not the exporter", c.peer, owner)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%s/%s is held by a process of %w", dir, socketName, err)
	}
	return c, nil
}

// ownerOf returns the owner of the folder; whoever else may write in it could have put the socket there.
func ownerOf(dir *os.File) (uid int, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return 0, fmt.Errorf("look at %s: %w", dir.Name(), err)
	}
	return int(st.Uid), nil
}

// PID is the process that answers.
func (c *Client) PID() int { return c.peer.PID }

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Cleanup asks for a clean-up and hands on each event but the end. The error is ErrRefused with what the
// exporter says, ErrLost, or ctx's; whatever it is, what has begun goes on in the exporter.
func (c *Client) Cleanup(ctx context.Context, req Cleanup, on func(Event)) error {
	req.Protocol = protocol
	resp, err := c.post(ctx, cleanupPath, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var e Event
		if err := dec.Decode(&e); err != nil {
			return lost(ctx, err)
		}
		if e.End {
			return nil
		}
		on(e)
	}
}

// Pause asks for a pause, or for its end. The errors are those of Cleanup.
func (c *Client) Pause(ctx context.Context, req Pause) (out Paused, err error) {
	req.Protocol = protocol
	err = c.ask(ctx, pausePath, req, &out)
	return out, err
}

// Outside returns what grew of a target in its folders and mappings. The errors are those of Cleanup.
func (c *Client) Outside(ctx context.Context, target string) (out evidence.Outside, err error) {
	err = c.ask(ctx, outsidePath, Outside{Protocol: protocol, Target: target}, &out)
	return out, err
}

// Decide says what a person decides about a proposal, or lists those that wait. The errors are those of Cleanup.
func (c *Client) Decide(ctx context.Context, req Decide) (out Decided, err error) {
	req.Protocol = protocol
	err = c.ask(ctx, decidePath, req, &out)
	return out, err
}

// ask sends a request and reads its one answer.
func (c *Client) ask(ctx context.Context, path string, req, out any) error {
	resp, err := c.post(ctx, path, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxLine)).Decode(out); err != nil {
		return lost(ctx, err)
	}
	return nil
}

// post sends a request and returns the answer to one that was accepted.
func (c *Client) post(ctx context.Context, path string, req any) (*http.Response, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{
		DialContext:           func(context.Context, string, string) (net.Conn, error) { return c.conn, nil },
		DisableKeepAlives:     true,
		ResponseHeaderTimeout: answerTimeout,
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://exporter"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, lost(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(resp.Body, maxLine)) // what there is of it
		return nil, fmt.Errorf("%w by the exporter with pid %d: %s", ErrRefused, c.peer.PID, strings.TrimSpace(string(said)))
	}
	return resp, nil
}

func lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w (%w)", ErrLost, err)
}
