package control

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
)

type cleanupFunc = func(context.Context, Peer, Cleanup, func(Event) error) error

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serve answers in a folder with a path that is longer than a socket's address may be.
func serve(t *testing.T, f cleanupFunc) (dir string, s *Server) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, serveIn(t, dir, f)
}

func serveIn(t *testing.T, dir string, f cleanupFunc) *Server {
	t.Helper()
	return serveWith(t, dir, Options{Cleanup: f, Logger: quiet()})
}

func serveWith(t *testing.T, dir string, o Options) *Server {
	t.Helper()
	s, err := Listen(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-ended); err != nil {
			t.Errorf("close: %v", err)
		}
		if _, err := os.Lstat(filepath.Join(dir, socketName)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	return s
}

func dial(t *testing.T, dir string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestCleanup: what is sent arrives on both sides in its order, with who asks as the kernel says.
func TestCleanup(t *testing.T) {
	sent := []Event{
		{Progress: &action.PolicyResult{Target: "a", Policy: "p", Files: 3}},
		{File: &File{Policy: action.PolicyResult{Dir: "/d"}, Path: []byte("x\xff"), Why: "expired"}},
		{Policies: []action.PolicyResult{{Target: "a", Policy: "p", Outcome: action.Done, Skipped: map[string]int64{"in_use": 1}}}},
		{Error: "b: clean_temp: it did not go"},
	}
	want := Cleanup{Protocol: protocol, Targets: []string{"a", "b"}, Policy: "p", Enforce: true, Force: true, Files: true}
	dir, _ := serve(t, func(_ context.Context, from Peer, got Cleanup, send func(Event) error) error {
		if diff := cmp.Diff(want, got); diff != "" || from.PID != os.Getpid() || from.UID != os.Geteuid() {
			t.Errorf("from %s (-want +got):\n%s", from, diff)
		}
		for _, e := range sent {
			if err := send(e); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	if st, err := os.Lstat(filepath.Join(dir, socketName)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode of the socket: %v, %v", st, err)
	}
	c := dial(t, dir)
	if c.PID() != os.Getpid() {
		t.Errorf("answered by %d", c.PID())
	}
	var got []Event
	req := want
	req.Protocol = 0
	if err := c.Cleanup(t.Context(), req, func(e Event) { got = append(got, e) }); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(sent, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestErrors: a refusal carries what the exporter says; what fails later is an event; a server that goes
// away leaves the end open; a caller who goes away is noticed.
func TestErrors(t *testing.T) {
	begun, gone := make(chan struct{}), make(chan struct{})
	var s *Server
	dir, s := serve(t, func(ctx context.Context, _ Peer, req Cleanup, send func(Event) error) error {
		switch req.Policy {
		case "refused":
			return errors.Join(ErrRefused, errors.New("write another"))
		case "fails":
			return errors.Join(send(Event{Progress: &action.PolicyResult{}}), errors.New("it broke"))
		}
		if err := send(Event{Progress: &action.PolicyResult{}}); err != nil {
			t.Error(err)
		}
		close(begun)
		<-ctx.Done()
		close(gone)
		return ctx.Err()
	})
	if err := dial(t, dir).Cleanup(t.Context(), Cleanup{Policy: "refused"}, nil); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "write another") {
		t.Errorf("%v", err)
	}
	said := ""
	if err := dial(t, dir).Cleanup(t.Context(), Cleanup{Policy: "fails"}, func(e Event) { said = e.Error }); err != nil || said != "it broke" {
		t.Errorf("%q, %v", said, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := dial(t, dir).Cleanup(ctx, Cleanup{}, func(Event) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-gone
	begun, gone = make(chan struct{}), make(chan struct{})
	go func() {
		<-begun
		s.Close()
	}()
	if err := dial(t, dir).Cleanup(t.Context(), Cleanup{}, func(Event) {}); !errors.Is(err, ErrLost) {
		t.Errorf("%v", err)
	}
	<-gone
}

// TestOtherVersion: a request that is not understood is answered with what to do.
func TestOtherVersion(t *testing.T) {
	dir, _ := serve(t, nil)
	for _, body := range []string{"", "{}", `{"protocol": 2}`, `{"protocol": 1, "colour": "red"}`, `{"protocol": 1, "policy": "` + strings.Repeat("x", maxRequest) + `"}`} {
		c := dial(t, dir)
		client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return c.conn, nil }}}
		resp, err := client.Post("http://x"+cleanupPath, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "use the same binary") {
			t.Errorf("%.40q: %d %q, %v", body, resp.StatusCode, text, err)
		}
		resp.Body.Close()
	}
}

// TestStale: the socket of a process that has ended is none, and is replaced; what is not a socket, a link
// included, stays.
func TestStale(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, socketName)
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNone) {
		t.Errorf("without a socket: %v", err)
	}
	if _, err := Dial(t.Context(), dir+"/none"); !errors.Is(err, ErrNone) {
		t.Errorf("without a folder: %v", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Close(fd)); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNone) {
		t.Errorf("without a process: %v", err)
	}
	s := serveIn(t, dir, func(context.Context, Peer, Cleanup, func(Event) error) error { return nil })
	if err := dial(t, dir).Cleanup(t.Context(), Cleanup{}, nil); err != nil {
		t.Error(err)
	}
	s.Close()
	kept := filepath.Join(t.TempDir(), "kept")
	for what, put := range map[string]func() error{
		"a file": func() error { return os.WriteFile(path, []byte("x"), 0o600) },
		"a link": func() error { return os.Symlink(kept, path) },
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if _, err := Listen(t.Context(), dir, Options{Logger: quiet()}); err == nil || !strings.Contains(err.Error(), "is not a socket: move it away") {
			t.Errorf("%s: %v", what, err)
		}
		if err := os.Remove(path); err != nil {
			t.Errorf("%s was removed: %v", what, err)
		}
	}
}

// TestStrangers: a server of another user than the folder's is not asked, and a caller who is neither root
// nor the server's user is not heard, even if the mode of the socket let him in.
func TestStrangers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	dir, err := os.MkdirTemp("", "control") // t.TempDir is for root alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	serveIn(t, dir, func(context.Context, Peer, Cleanup, func(Event) error) error { return nil })
	if err := errors.Join(os.Chown(dir, 12345, 12345), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	dial(t, dir).Close() // root may be anywhere
	asStranger(t, func() {
		if _, err := Dial(t.Context(), dir); err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "use sudo") {
			t.Errorf("a caller who may not: %v", err)
		}
	})
	if err := os.Chmod(filepath.Join(dir, socketName), 0o666); err != nil {
		t.Fatal(err)
	}
	asStranger(t, func() {
		c, err := Dial(t.Context(), dir)
		if err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err = c.Cleanup(ctx, Cleanup{}, nil)
		}
		if !errors.Is(err, ErrLost) {
			t.Errorf("a stranger: %v", err)
		}
	})
}

// asStranger runs f on a thread with the identity of another user and without rights.
func asStranger(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		const uid = 12346
		for _, set := range []func() syscall.Errno{
			func() (e syscall.Errno) { _, _, e = unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); return },
			func() (e syscall.Errno) { _, _, e = unix.RawSyscall(unix.SYS_SETRESGID, uid, uid, uid); return },
			func() (e syscall.Errno) { _, _, e = unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); return },
		} {
			if e := set(); e != 0 {
				t.Errorf("become another user: %v", e)
				return
			}
		}
		f()
	}()
	<-done
}

// TestOutside: what the exporter has in memory of a target arrives.
func TestOutside(t *testing.T) {
	dir := t.TempDir()
	want := evidence.Outside{Folders: []evidence.GrownFolder{{Kind: "temp", Name: "tts", Added: &evidence.Added{Pattern: "tts-*.wav", Share: .88, Empty: true}}}}
	serveWith(t, dir, Options{Logger: quiet(), Outside: func(target string) evidence.Outside {
		if target != "app" {
			return evidence.Outside{}
		}
		return want
	}})
	got, err := dial(t, dir).Outside(t.Context(), "app")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := dial(t, dir).Outside(t.Context(), "other"); err != nil || !got.Empty() {
		t.Errorf("another target: %+v, %v", got, err)
	}
}
