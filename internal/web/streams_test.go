package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// watcher is a client with a stream.
type watcher struct {
	code  int
	first chan struct{} // closed at the first byte, or at the end
	ended chan struct{}
	stop  context.CancelFunc
	once  sync.Once
}

// recorder is the answer to a watcher.
type recorder struct {
	*httptest.ResponseRecorder
	w *watcher
}

func (r *recorder) Flush() { r.w.begun(r.Code) }

func (w *watcher) begun(code int) {
	w.once.Do(func() {
		w.code = code
		close(w.first)
	})
}

// watch opens a stream.
func (f *fixture) watch(t *testing.T, remote, token string) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{first: make(chan struct{}), ended: make(chan struct{}), stop: cancel}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:10042/api/v1/watch", http.NoBody)
	r.RemoteAddr = remote
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	go func() {
		defer close(w.ended)
		rec := &recorder{httptest.NewRecorder(), w}
		f.handler.ServeHTTP(rec, r)
		w.begun(rec.Code)
	}()
	t.Cleanup(func() {
		cancel()
		<-w.ended
	})
	<-w.first
	return w
}

// open reports whether a stream goes on. One that was displaced ends within its next look.
func (w *watcher) open() bool {
	select {
	case <-w.ended:
		return false
	default:
		return w.code == http.StatusOK
	}
}

func (w *watcher) ends(t *testing.T) {
	t.Helper()
	select {
	case <-w.ended:
	case <-time.After(5 * time.Second):
		t.Error("a stream that was displaced goes on")
	}
}

func tokenFixture(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t, nil)
	f.token = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(f.token, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestStreamsOfOthers: however many streams others hold, the application has its own.
func TestStreamsOfOthers(t *testing.T) {
	const here, attacker, other = "127.0.0.1:1", "192.0.2.1:1", "192.0.2.2:1"
	for _, tt := range []struct {
		name, from, remote, token string
	}{
		{"from another host", attacker, here, ""},
		{"from another host, and the application is on a third", attacker, other, ""},
		{"from this host", here, here, ""},
		{"from this host, and the application has the token", here, here, "sesame"},
		{"from this host, and the application is elsewhere with the token", here, other, "sesame"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tokenFixture(t)
			for range 100 {
				f.watch(t, tt.from, "")
			}
			app := f.watch(t, tt.remote, tt.token)
			if app.code != http.StatusOK {
				t.Fatalf("the application's stream: %d", app.code)
			}
			n := 47 // of this host, others have the same right
			if tt.from != here || tt.token != "" {
				n = 100
			}
			for range n {
				f.watch(t, tt.from, "")
			}
			if !app.open() {
				t.Error("the application's stream was closed for others")
			}
		})
	}
}

// TestStreamsAreBounded: there are never more than 64, with proof too, and the one that is displaced
// says so.
func TestStreamsAreBounded(t *testing.T) {
	f := tokenFixture(t)
	var all []*watcher
	for range maxStreams {
		all = append(all, f.watch(t, "192.0.2.1:1", "sesame"))
	}
	if w := f.watch(t, "127.0.0.1:1", ""); w.code != http.StatusServiceUnavailable {
		t.Errorf("one more without proof: %d, want 503", w.code)
	}
	if w := f.watch(t, "192.0.2.2:1", "sesame"); w.code != http.StatusOK {
		t.Errorf("one more with proof: %d, want 200", w.code)
	}
	all[0].ends(t)
	for i, w := range all[1:] {
		if !w.open() {
			t.Errorf("stream %d was closed", i+1)
		}
	}
}

// TestProxiedStreams: what a proxy on this host passes on takes no place of this host.
func TestProxiedStreams(t *testing.T) {
	f := newFixture(t, nil)
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:10042/api/v1/watch", http.NoBody)
	r.RemoteAddr = "127.0.0.1:4711"
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	if k, peer := f.handler.s.standing(r); k != remote || !strings.Contains(peer, "proxy") {
		t.Errorf("standing %v, peer %q", k, peer)
	}
}
