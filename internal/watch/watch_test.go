package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	normal    = series.LevelNormal
	warning   = series.LevelWarning
	critical  = series.LevelCritical
	emergency = series.LevelEmergency
)

// commands collects what the command watchers are asked for.
type commands struct {
	mu    sync.Mutex
	calls []string
	block chan struct{} // while open, a command does not end
}

func (c *commands) run(ctx context.Context, i int, _ Config, change Change) error {
	c.mu.Lock()
	c.calls = append(c.calls, fmt.Sprintf("%d %s %s->%s", i, change.Target, change.previous(), change.To))
	c.mu.Unlock()
	if c.block == nil {
		return nil
	}
	select {
	case <-c.block:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *commands) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := strings.Join(c.calls, ", ")
	c.calls = nil
	return out
}

func command(on ...string) Config {
	return Config{On: on, Command: []string{"/bin/true"}, Timeout: units.Duration(time.Minute)}
}

func TestChangesOfLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &commands{}
		s := New(Options{Run: c.run, Logger: slog.New(slog.DiscardHandler)})
		only := command("normal", "warning", "critical", "emergency")
		only.Targets = []string{"b"}
		s.Apply(t.Context(), []Config{command("critical", "emergency"), only})
		defer s.Stop()
		f := func(want string, levels ...Level) {
			t.Helper()
			s.Observe(levels)
			synctest.Wait()
			if got := c.take(); got != want {
				t.Errorf("sent %q, want %q", got, want)
			}
		}
		f("", Level{"a", normal}, Level{"b", normal})
		f("", Level{"a", warning}, Level{"b", normal})
		f("0 a warning->critical", Level{"a", critical}, Level{"b", normal})
		f("", Level{"a", critical}, Level{"b", normal})
		f("1 b normal->warning", Level{"a", warning}, Level{"b", warning})
		f("1 b warning->normal", Level{"a", warning}, Level{"b", normal})
		f("0 new unknown->emergency", Level{"a", warning}, Level{"b", normal}, Level{"new", emergency})
		// A target that is gone is forgotten, and new when it returns.
		f("", Level{"a", warning}, Level{"b", normal})
		f("0 new unknown->emergency", Level{"a", warning}, Level{"b", normal}, Level{"new", emergency})
		// The levels outlive a reload: nothing is reported twice.
		s.Apply(t.Context(), []Config{command("warning", "critical", "emergency")})
		f("", Level{"a", warning}, Level{"b", normal}, Level{"new", emergency})
		f("0 a warning->critical", Level{"a", critical}, Level{"b", normal}, Level{"new", emergency})
	})
}

// A watcher that hangs holds up neither the sampler nor the other watchers, and is sent the newest
// level of each target only when it is back.
// What is observed while there are no watchers, at the start or amid a reload, is not lost for them.
func TestChangeWithoutWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &commands{}
		s := New(Options{Run: c.run, Logger: slog.New(slog.DiscardHandler)})
		configs := []Config{command("normal", "warning", "critical", "emergency")}
		f := func(want string, level series.Level) {
			t.Helper()
			s.Observe([]Level{{"a", level}})
			synctest.Wait()
			if got := c.take(); got != want {
				t.Errorf("%s: %q, want %q", level, got, want)
			}
		}
		f("", emergency)
		s.Apply(t.Context(), configs)
		f("0 a unknown->emergency", emergency)
		s.Stop()
		f("", warning)
		s.Apply(t.Context(), configs)
		f("0 a emergency->warning", warning)
		s.Apply(t.Context(), nil)
		f("", critical)
		s.Apply(t.Context(), configs)
		f("0 a unknown->warning", warning)
		s.Stop()
	})
}

func TestSlowWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &commands{block: make(chan struct{})}
		reg := prometheus.NewPedanticRegistry()
		s := New(Options{Run: slow.run, Logger: slog.New(slog.DiscardHandler), Registerer: reg})
		s.Apply(t.Context(), []Config{command("normal", "warning", "critical", "emergency")})
		defer s.Stop()
		s.Observe([]Level{{"a", warning}})
		synctest.Wait()
		for i := range 1000 {
			s.Observe([]Level{{"a", normal + series.Level(i%2)*critical}, {"b", normal}})
		}
		s.Observe([]Level{{"a", emergency}, {"b", warning}})
		if got := slow.take(); got != "0 a unknown->warning" {
			t.Errorf("sent %q while it hung", got)
		}
		close(slow.block)
		synctest.Wait()
		if got := slow.take(); got != "0 a warning->emergency, 0 b normal->warning" {
			t.Errorf("sent %q afterwards, want the newest of each", got)
		}
		if n := testutil.ToFloat64(s.skipped); n < 900 {
			t.Errorf("%v changes were superseded", n)
		}
		if n := testutil.ToFloat64(s.told.WithLabelValues("command", "done")); n != 3 {
			t.Errorf("%v were notified", n)
		}
	})
}

// A level that came and went before a watcher was notified is not reported any more.
func TestBackToWhatItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &commands{block: make(chan struct{})}
		s := New(Options{Run: slow.run, Logger: slog.New(slog.DiscardHandler)})
		s.Apply(t.Context(), []Config{command("critical")})
		defer s.Stop()
		s.Observe([]Level{{"a", critical}, {"b", normal}})
		synctest.Wait()
		s.Observe([]Level{{"a", critical}, {"b", critical}})
		s.Observe([]Level{{"a", critical}, {"b", normal}})
		close(slow.block)
		synctest.Wait()
		if got := slow.take(); got != "0 a unknown->critical" {
			t.Errorf("sent %q", got)
		}
	})
}

func TestWatcherGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &commands{block: make(chan struct{})}
		log := &bytes.Buffer{}
		s := New(Options{Run: c.run, Logger: slog.New(slog.NewTextHandler(log, nil))})
		s.Apply(t.Context(), []Config{command("critical")})
		start := time.Now()
		s.Observe([]Level{{"a", critical}})
		synctest.Wait()
		<-time.After(time.Minute) // of the bubble
		synctest.Wait()
		if time.Since(start) != time.Minute || !strings.Contains(log.String(), "could not be notified of a level") {
			t.Errorf("log %s", log)
		}
		s.Observe([]Level{{"a", normal}})
		s.Observe([]Level{{"a", critical}})
		synctest.Wait()
		s.Stop() // cancels what hangs
	})
}

func TestLogWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &bytes.Buffer{}
		s := New(Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
		s.Apply(t.Context(), []Config{{On: []string{"normal", "critical"}, Log: true, Timeout: units.Duration(time.Second)}})
		s.Observe([]Level{{"a", critical}})
		synctest.Wait()
		s.Observe([]Level{{"a", normal}})
		synctest.Wait()
		s.Stop()
		for _, want := range []string{`level=WARN msg="memory level" target=a level=critical previous=unknown`, `level=INFO msg="memory level" target=a level=normal previous=critical`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("no %s in %s", want, log)
			}
		}
	})
}

func TestPostWatcher(t *testing.T) {
	bodies := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		bodies <- r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type") + " " + string(raw)
	}))
	defer srv.Close()
	s := New(Options{Logger: slog.New(slog.DiscardHandler), Report: func(target string) ([]byte, error) {
		if target == "gone" {
			return nil, errors.New("it is observed no more")
		}
		return []byte(`{"target":"` + target + `"}`), nil
	}})
	s.Apply(t.Context(), []Config{{On: []string{"critical"}, Post: srv.URL + "/pressure", Timeout: units.Duration(5 * time.Second)}})
	defer s.Stop()
	s.Observe([]Level{{"gone", critical}, {"a", critical}})
	select {
	case got := <-bodies:
		if want := `POST /pressure application/json {"target":"a"}`; got != want {
			t.Errorf("posted %q, want %q", got, want)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("nothing was posted")
	}
}

func TestMistakes(t *testing.T) {
	f := func(c Config, want ...string) {
		t.Helper()
		var got []string
		c.Validate([]string{"a"}, func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if len(got) != len(want) {
			t.Fatalf("%q, want %q", got, want)
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%q, want %q", got[i], want[i])
			}
		}
	}
	f(Config{}, "on: is missing: write the levels", ": says 0 things to do: write one of post: URL, log: true and command")
	f(Config{On: []string{"warning", "panic"}, Log: true, Targets: []string{"b"}, Timeout: 1}, `on[1]: "panic" is not a level`, `targets[0]: "b" is not a target: write one of a`, "timeout: 1ns is out of range")
	f(Config{On: []string{"warning"}, Log: true, Post: "http://127.0.0.1/"}, ": says 2 things to do")
	f(Config{On: []string{"warning"}, Post: "http://example.com/"}, `post: names "example.com", which is not on this host's loopback`)
	f(Config{On: []string{"warning"}, Command: []string{"true"}}, `command[0]: "true" is not absolute`)
	f(Config{On: []string{"warning"}, Log: true, Env: []string{"HOME"}}, "env: is for command: remove the key")
	good := Config{On: []string{"warning"}, Command: []string{"/bin/true"}}
	f(good)
}
