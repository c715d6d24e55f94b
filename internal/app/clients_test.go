package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	fetcher "github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
	"github.com/spillway-exporter/spillway_exporter/internal/watch"
)

// connections are those that a server has open, and the requests that it got.
type connections struct {
	mu       sync.Mutex
	open     map[net.Conn]http.ConnState
	requests []*http.Request
}

func (c *connections) hook(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(c.open, conn)
		return
	}
	c.open[conn] = state
}

func (c *connections) note(r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
}

func (c *connections) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.requests)
}

func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// watchedService answers as kind says, and at /good always well.
func watchedService(t *testing.T, kind string) (*httptest.Server, *connections) {
	t.Helper()
	seen := &connections{open: make(map[net.Conn]http.ConnState)}
	answer := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/good" {
			fmt.Fprint(w, `{"a": 1}`)
			return
		}
		switch kind {
		case "failing":
			w.WriteHeader(http.StatusInternalServerError)
		case "long":
			fmt.Fprint(w, strings.Repeat("x\n", 20<<20))
		case "moved":
			http.Redirect(w, r, "/good", http.StatusFound)
		case "away":
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		case "silent":
			<-r.Context().Done()
		case "stuck":
			fmt.Fprint(w, `{"a": `)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			fmt.Fprint(w, `{"a": 1}`)
		}
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.note(r)
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the client leaves
		answer(w, r)
	}))
	s.Config.ConnState = seen.hook
	s.Start()
	t.Cleanup(s.Close)
	return s, seen
}

// clients are all that ask a watched service over HTTP.
func clients(t *testing.T) map[string]func(ctx context.Context, base string) {
	t.Helper()
	reads := func(format string) func(ctx context.Context, base string) {
		return func(ctx context.Context, base string) {
			c := fetcher.NewClient(fetcher.Endpoint{URL: base + "/svc", Timeout: units.Duration(time.Minute)})
			t.Cleanup(func() { c.Close() })
			_, _ = c.Values(ctx, format, []fetcher.Want{{Name: "a", Path: "a"}})
		}
	}
	heaps := func(provider string) func(ctx context.Context, base string) {
		return func(ctx context.Context, base string) {
			cfg := heap.Config{Provider: provider, Map: heap.Map{Used: "a"}, URL: base + "/svc"}
			if provider == heap.ProviderGo || provider == heap.ProviderNode {
				cfg = heap.Config{Provider: provider, Address: strings.TrimPrefix(base, "http://")}
			}
			pool := heap.NewPool(heap.Options{Logger: slog.New(slog.DiscardHandler), Now: time.Now, ProcFS: "/proc"})
			t.Cleanup(func() { pool.Close() })
			c, err := pool.Get(cfg, heap.Target{Name: "svc"})
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { c.Close() })
			_, _ = c.Read(ctx)
		}
	}
	return map[string]func(ctx context.Context, base string){
		"probe": func(ctx context.Context, base string) {
			c := fetcher.NewClient(fetcher.Endpoint{URL: base + "/svc", Timeout: units.Duration(time.Minute)})
			t.Cleanup(func() { c.Close() })
			c.Probe(ctx)
		},
		"app as JSON": reads(fetcher.JSON), "app as text": reads(fetcher.Prometheus),
		"heap json": heaps(heap.ProviderJSON), "heap prometheus": heaps(heap.ProviderPrometheus),
		"heap go_pprof": heaps(heap.ProviderGo), "heap node_inspector": heaps(heap.ProviderNode),
		"http action": func(ctx context.Context, base string) {
			_, _ = action.NewHTTP(slog.New(slog.DiscardHandler)).Run(ctx, action.Request{Target: "svc", Settings: &action.HTTPSettings{URL: base + "/svc"}})
		},
		"watcher": func(ctx context.Context, base string) {
			s := watch.New(watch.Options{Report: func(string) ([]byte, error) { return []byte("{}"), nil }, Logger: slog.New(slog.DiscardHandler)})
			s.Apply(ctx, []watch.Config{{Post: base + "/svc", On: []string{"warning"}, Timeout: units.Duration(time.Minute)}})
			s.Observe([]watch.Level{{Target: "svc", Level: series.LevelWarning}})
			t.Cleanup(s.Stop)
		},
	}
}

// Whoever asks a watched service leaves no connection behind: a service that ends waits for those
// that are open.
func TestClientsOfAServiceCloseTheirConnections(t *testing.T) {
	for name, ask := range clients(t) {
		for _, kind := range []string{"well", "failing", "long", "moved", "away", "silent", "stuck"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				s, seen := watchedService(t, kind)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				asked := make(chan struct{})
				go func() { defer close(asked); ask(ctx, s.URL) }()
				eventually(t, "a request", func() bool { return seen.asked() > 0 })
				select { // an answer that takes longer, or never comes, is not waited for
				case <-asked:
				case <-time.After(300 * time.Millisecond):
				}
				cancel()
				<-asked
				for deadline := time.Now().Add(5 * time.Second); seen.count() > 0 && time.Now().Before(deadline); {
					<-time.After(5 * time.Millisecond)
				}
				if n := seen.count(); n > 0 {
					t.Errorf("%d connections remain open", n)
					s.CloseClientConnections()
				}
				seen.mu.Lock()
				defer seen.mu.Unlock()
				for _, r := range seen.requests {
					if agent := r.UserAgent(); !strings.HasPrefix(agent, "spillway_exporter/") {
						t.Errorf("User-Agent %q", agent)
					}
					if !r.Close {
						t.Error("no Connection: close")
					}
				}
			})
		}
	}
}
