package restart

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const webID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// fakeEngine answers on a socket as Docker and Podman do, and counts the restarts.
type fakeEngine struct {
	mu       sync.Mutex
	state    string // the JSON of State
	status   int    // of the answer to a restart
	hang     chan struct{}
	restarts []string
}

func serveEngine(t *testing.T, f *fakeEngine) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "e.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	serveEngineOn(t, f, l)
	return socket
}

func serveEngineOn(t *testing.T, f *fakeEngine, l net.Listener) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containers/{id}/json", func(w http.ResponseWriter, r *http.Request) {
		if id := r.PathValue("id"); id != "web" && id != webID {
			http.Error(w, `{"message": "No such container"}`, http.StatusNotFound)
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		fmt.Fprintf(w, `{"Id": %q, "State": %s}`, webID, f.state)
	})
	mux.HandleFunc("POST /containers/{id}/restart", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.restarts = append(f.restarts, r.PathValue("id"))
		status := f.status
		f.mu.Unlock()
		if f.hang != nil {
			<-f.hang
		}
		w.WriteHeader(status)
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() {
		_ = srv.Serve(l)
		close(done)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
}

const runningState = `{"Status": "running", "Running": true, "StartedAt": "2026-11-29T10:00:00.5Z", "FinishedAt": "0001-01-01T00:00:00Z"}`

func TestEngineState(t *testing.T) {
	f := func(state string, want Phase) {
		t.Helper()
		e := &fakeEngine{state: state}
		got, err := newEngine(&Spec{Via: ViaPodman, Container: "web", Socket: serveEngine(t, e)}).State(t.Context())
		if err != nil || got.Phase != want || got.ID != webID || (got.Instance != "") != (want == Running) {
			t.Errorf("%s: %+v, %v, want %s", state, got, err, want)
		}
	}
	f(runningState, Running)
	f(`{"Status": "exited", "StartedAt": "2026-11-29T10:00:00Z"}`, Stopped)
	f(`{"Status": "paused", "Running": true, "Paused": true}`, Stopped)
	f(`{"Status": "restarting", "Running": true, "Restarting": true}`, Busy)
	f(`{"Status": "stopping"}`, Busy)
	f(`{"Status": "dead", "Dead": true}`, Broken)
}

func TestEngineRestart(t *testing.T) {
	f := func(name string, status int, want error) {
		t.Run(name, func(t *testing.T) {
			fake := &fakeEngine{state: runningState, status: status}
			e := newEngine(&Spec{Via: ViaDocker, Container: "web", Socket: serveEngine(t, fake)})
			from, err := e.State(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Restart(t.Context(), from); want == nil && err != nil || want != nil && !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
			fake.mu.Lock()
			defer fake.mu.Unlock()
			if len(fake.restarts) != 1 || fake.restarts[0] != webID {
				t.Errorf("restarted %q, want the container by its ID, once", fake.restarts)
			}
		})
	}
	f("done", http.StatusNoContent, nil)
	f("gone", http.StatusNotFound, ErrUnknown)
	f("forbidden", http.StatusForbidden, ErrNotAllowed)
	f("removed meanwhile", http.StatusConflict, ErrBusy)
	f("failed", http.StatusInternalServerError, ErrEnded)
}

func TestEngineUnseen(t *testing.T) {
	fake := &fakeEngine{state: runningState, status: http.StatusNoContent, hang: make(chan struct{})}
	e := newEngine(&Spec{Via: ViaDocker, Container: "web", Socket: serveEngine(t, fake)})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := e.Restart(ctx, State{ID: webID}); !errors.Is(err, ErrUnseen) {
		t.Errorf("%v, want ErrUnseen", err)
	}
	close(fake.hang)
	gone := newEngine(&Spec{Via: ViaDocker, Container: "web", Socket: filepath.Join(t.TempDir(), "none")})
	if err := gone.Restart(t.Context(), State{ID: webID}); !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrUnseen) {
		t.Errorf("%v, want ErrUnreachable alone", err)
	}
}

// TestEngineOfAStranger: who listens at the socket and is neither root, nor the exporter's user, nor the owner of the
// container is asked for nothing.
func TestEngineOfAStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can listen as another user")
	}
	const stranger = 65534
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777)); err != nil { // that is what is wrong with it
		t.Fatal(err)
	}
	socket, fake := filepath.Join(dir, "e.sock"), &fakeEngine{state: runningState, status: http.StatusNoContent}
	serveEngineOn(t, fake, listenAs(t, stranger, socket))
	e := newEngine(&Spec{Via: ViaDocker, Container: "web", Socket: socket})
	if _, err := e.State(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "user 65534 listens there") {
		t.Errorf("state: %v", err)
	}
	if err := e.Restart(t.Context(), State{ID: webID}); !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrUnseen) || len(fake.restarts) != 0 {
		t.Errorf("restart: %v, %q", err, fake.restarts)
	}
	e = newEngine(&Spec{Via: ViaDocker, Container: "web", Socket: socket, Owner: stranger})
	if _, err := e.State(t.Context()); err != nil {
		t.Errorf("the owner of the container: %v", err)
	}
}

// listenAs listens as another user: the kernel notes the credentials of the thread that does.
func listenAs(t *testing.T, uid int, socket string) net.Listener {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	become := func(uid int) {
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); e != 0 {
			t.Fatal(e)
		}
	}
	become(uid)
	l, err := net.Listen("unix", socket)
	become(0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
