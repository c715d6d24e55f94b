package restart

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
	"net/url"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	engineDial  = 2 * time.Second
	engineReads = 10 * time.Second // for an answer that has no effect
	mostAnswer  = 4 << 20
)

// EngineSockets are where the engines of the system listen.
var EngineSockets = map[string]string{ViaDocker: "/run/docker.sock", ViaPodman: "/run/podman/podman.sock"}

// engine restarts a container of Docker, or of Podman, whose API has the same requests
// (https://docs.docker.com/reference/api/engine/, podman-system-service(1)).
type engine struct {
	via, container, socket string
	owner                  int
	http                   *http.Client
}

func newEngine(s *Spec) *engine {
	e := &engine{via: s.Via, container: s.Container, socket: s.Socket, owner: s.Owner}
	if e.socket == "" {
		e.socket = EngineSockets[s.Via]
	}
	d := &net.Dialer{Timeout: engineDial}
	e.http = &http.Client{
		Transport: &http.Transport{
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return e.dial(ctx, d) },
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return e
}

// dial connects to the engine, and to no one else: whoever may write to the folder of its socket could listen there.
func (e *engine) dial(ctx context.Context, d *net.Dialer) (net.Conn, error) {
	c, err := d.DialContext(ctx, "unix", e.socket)
	if err != nil {
		return nil, err
	}
	uid, err := listenerOf(c)
	if err == nil && uid != 0 && uid != os.Geteuid() && uid != e.owner {
		err = &strangerError{uid}
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// strangerError says that someone else than the engine listens.
type strangerError struct{ uid int }

// Error implements error.
func (e *strangerError) Error() string {
	return fmt.Sprintf("user %d listens there, who is neither root nor the exporter's user nor the owner of the container: write the socket of the engine", e.uid)
}

// listenerOf returns the user that has made the socket listen which a connection is to (SO_PEERCRED, unix(7)).
func listenerOf(c net.Conn) (uid int, err error) {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil || err != nil {
		return 0, fmt.Errorf("who listens cannot be seen: %w", errors.Join(e, err))
	}
	return int(cred.Uid), nil
}

// inspected is what is read of the answer of inspect.
type inspected struct {
	ID           string `json:"Id"`
	RestartCount int
	State        struct {
		Status, StartedAt, FinishedAt, Error         string
		Running, Paused, Restarting, Dead, OOMKilled bool
	}
}

// State implements Manager.
func (e *engine) State(ctx context.Context) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, engineReads)
	defer cancel()
	raw, err := e.ask(ctx, http.MethodGet, "json")
	if err != nil {
		return State{}, err
	}
	var got inspected
	if err := json.Unmarshal(raw, &got); err != nil || got.ID == "" {
		return State{}, fmt.Errorf("%s: the answer about %s is not understood: %w", e.via, short(e.container), errors.Join(err, ErrUnreachable))
	}
	s := &got.State
	st := State{Phase: Busy, ID: got.ID, Text: s.Status, Began: stamp(s.StartedAt), Left: stamp(s.FinishedAt)}
	switch {
	case s.Restarting || s.Status == "removing" || s.Status == "stopping" || s.Status == "created":
	case s.Dead:
		st.Phase = Broken
	case s.Paused:
		st.Phase, st.Text = Stopped, "paused"
	case s.Running:
		st.Phase, st.Instance = Running, got.ID+"@"+s.StartedAt
	default:
		st.Phase = Stopped
	}
	return st, nil
}

// stamp reads a time of an engine, which writes the year 1 for one that has not been.
func stamp(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1971 {
		return time.Time{}
	}
	return t
}

// Restart implements Manager. The container is named by its ID: one that was made anew under its name is another.
func (e *engine) Restart(ctx context.Context, from State) error {
	by := *e
	by.container = from.ID
	if from.ID == "" {
		return fmt.Errorf("%s: %s: %w: it has no ID", e.via, e.container, ErrUnknown)
	}
	_, err := by.ask(ctx, http.MethodPost, "restart")
	return err
}

// ask sends one request about the container and returns its answer.
func (e *engine) ask(ctx context.Context, method, what string) ([]byte, error) {
	address := "http://engine/containers/" + url.PathEscape(e.container) + "/" + what
	req, err := http.NewRequestWithContext(ctx, method, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.via, err)
	}
	req.GetBody = nil // sent once
	resp, err := e.http.Do(req)
	if err != nil {
		return nil, e.unanswered(method, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return nil, e.unanswered(method, err)
	}
	return raw, e.judge(resp.StatusCode, raw)
}

// unanswered says what a request without an answer means.
func (e *engine) unanswered(method string, err error) error {
	op, isOp := errors.AsType[*net.OpError](err)
	stranger, isStranger := errors.AsType[*strangerError](err)
	switch {
	case isStranger:
		return fmt.Errorf("%s: %w at %s: %w", e.via, ErrUnreachable, e.socket, stranger)
	case isOp && op.Op == "dial" && errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w this user at %s: see docs/restart.md, and what access to that socket grants", e.via, ErrNotAllowed, e.socket)
	case isOp && op.Op == "dial":
		return fmt.Errorf("%s: %w at %s: %w", e.via, ErrUnreachable, e.socket, op.Err)
	case method == http.MethodPost:
		return fmt.Errorf("%s: the restart of container %s: %w: %w", e.via, short(e.container), ErrUnseen, err)
	}
	return fmt.Errorf("%s: %w at %s: %w", e.via, ErrUnreachable, e.socket, err)
}

func (e *engine) judge(status int, raw []byte) error {
	var said struct{ Message, Cause string }
	_ = json.Unmarshal(raw, &said)
	switch {
	case status == http.StatusOK || status == http.StatusNoContent:
		return nil
	case status == http.StatusNotFound:
		return fmt.Errorf("%s: container %s: %w: write the name that its list of containers shows", e.via, short(e.container), ErrUnknown)
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return fmt.Errorf("%s: %w this user: %s", e.via, ErrNotAllowed, clip(said.Message))
	case status == http.StatusConflict || status == http.StatusNotModified:
		return fmt.Errorf("%s: container %s: %w: %s", e.via, short(e.container), ErrBusy, clip(said.Message))
	case status >= 500:
		return fmt.Errorf("%s: container %s: %w: it answered %d %s", e.via, short(e.container), ErrEnded, status, clip(said.Message))
	}
	return fmt.Errorf("%s: container %s: it answered %d %s", e.via, short(e.container), status, clip(said.Message))
}

// clip bounds what a manager said.
func clip(s string) string {
	if len(s) > 300 {
		s = s[:300] + "..."
	}
	return string(bytes.ToValidUTF8([]byte(s), []byte("?")))
}

// Check implements Manager.
func (e *engine) Check(ctx context.Context) error {
	st, err := e.State(ctx)
	switch {
	case err != nil:
		return err
	case st.Phase != Running:
		return fmt.Errorf("%s: container %s is %s: it would not be restarted", e.via, short(e.container), st.Text)
	}
	return nil
}
