package lazy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what a provider of the tests opens: numbered values, of which it counts the open ones.
type world struct {
	mu      sync.Mutex
	opened  int
	open    map[int]bool
	opening int           // under way now
	most    int           // at once, ever
	takes   time.Duration // of one opening
	fail    error
}

func (w *world) openOne(ctx context.Context) (int, error) {
	w.mu.Lock()
	w.opening++
	w.most = max(w.most, w.opening)
	fail := w.fail
	w.mu.Unlock()
	defer func() { w.mu.Lock(); w.opening--; w.mu.Unlock() }()
	select {
	case <-time.After(w.takes):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if fail != nil {
		return 0, fail
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened++
	if w.open == nil {
		w.open = make(map[int]bool)
	}
	w.open[w.opened] = true
	return w.opened, nil
}

func (w *world) closeOne(v int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.open[v] {
		panic(fmt.Sprintf("value %d is closed twice", v))
	}
	delete(w.open, v)
}

func (w *world) live() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open)
}

func (w *world) setFail(err error) { w.mu.Lock(); w.fail = err; w.mu.Unlock() }

func (w *world) options() Options[int] {
	return Options[int]{
		Name: "test", Kind: "test", Open: w.openOne, Close: w.closeOne,
		Idle: time.Minute, MinBackoff: time.Second, MaxBackoff: 8 * time.Second, OpenTimeout: 20 * time.Second,
	}
}

// pass lets time pass in a synctest bubble.
func pass(d time.Duration) { <-time.After(d) }

func get(t *testing.T, p *Provider[int]) *Lease[int] {
	t.Helper()
	l, err := p.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestOneOpeningServesAllWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{takes: 3 * time.Second}
		p := New(w.options())
		defer p.Close()
		if w.opened != 0 || p.Stat().Open {
			t.Error("something was opened before it was needed")
		}
		var served atomic.Int32
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				l, err := p.Get(t.Context())
				if err != nil || l.Value != 1 {
					t.Errorf("value %v, error %v, want 1", l, err)
					return
				}
				served.Add(1)
				l.Release()
			})
		}
		wg.Wait()
		if served.Load() != 50 || w.most != 1 || w.opened != 1 {
			t.Errorf("%d served by %d openings, %d at once, want 50 by 1", served.Load(), w.opened, w.most)
		}
	})
}

func TestAWaiterThatLeavesDoesNotSpoilTheOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{takes: 3 * time.Second}
		p := New(w.options())
		defer p.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Get(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v, want the waiter's deadline", err)
		}
		l := get(t, p) // joins the opening that the first waiter began
		defer l.Release()
		if w.opened != 1 || p.Stat().Failures != 0 {
			t.Errorf("opened %d times with %d failures, want once with none", w.opened, p.Stat().Failures)
		}
	})
}

func TestClosesWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		p := New(w.options())
		defer p.Close()
		l := get(t, p)
		pass(10 * time.Minute)
		synctest.Wait()
		if w.live() != 1 {
			t.Error("a value was closed while it was in use")
		}
		l.Release()
		l.Release() // again: nothing
		pass(59 * time.Second)
		get(t, p).Release() // begins the minute anew
		pass(59 * time.Second)
		synctest.Wait()
		if w.live() != 1 {
			t.Error("closed after 59 idle seconds, want 60")
		}
		pass(2 * time.Second)
		synctest.Wait()
		if w.live() != 0 || p.Stat().Open {
			t.Error("still open after 61 idle seconds")
		}
		if l := get(t, p); l.Value != 2 {
			t.Errorf("value %d after the idle close, want a new one", l.Value)
		} else {
			l.Release()
		}
	})
}

func TestBacksOffAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{fail: errors.New("refused")}
		p := New(w.options())
		defer p.Close()
		tries := func(d time.Duration) (n uint64) {
			before := p.Stat().Failures
			for end := time.Now().Add(d); time.Now().Before(end); pass(100 * time.Millisecond) {
				_, err := p.Get(t.Context())
				var backoff *Error
				if !errors.As(err, &backoff) || !errors.Is(err, w.fail) {
					t.Fatalf("error = %v, want an *Error around the opening's", err)
				}
				if !backoff.Next.After(time.Now()) || !strings.Contains(err.Error(), "next try at "+backoff.Next.Format(time.TimeOnly)) {
					t.Fatalf("error %q does not name the time of the next try, %s", err, backoff.Next)
				}
			}
			return p.Stat().Failures - before
		}
		// At 0, 1, 3, 7, 15 and then every 8 seconds.
		if n := tries(16 * time.Second); n != 5 {
			t.Errorf("%d openings in the first 16s, want 5: 0, 1, 3, 7, 15", n)
		}
		if n := tries(80 * time.Second); n != 10 {
			t.Errorf("%d openings in 80s at the longest back-off, want 10", n)
		}
		w.setFail(nil)
		pass(8 * time.Second)
		l := get(t, p)
		l.Release()
		l = get(t, p)
		l.Discard(errors.New("broke"))
		_, err := p.Get(t.Context())
		var backoff *Error
		if !errors.As(err, &backoff) || time.Until(backoff.Next) > time.Second {
			t.Errorf("after a success and one break: %v, want the shortest back-off", err)
		}
	})
}

func TestDiscardAndDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		o := w.options()
		dead := map[int]bool{}
		o.Dead = func(v int) bool { return dead[v] }
		p := New(o)
		defer p.Close()
		a, b := get(t, p), get(t, p)
		a.Discard(nil)
		synctest.Wait()
		if !w.open[1] {
			t.Error("a discarded value was closed while another still used it")
		}
		b.Discard(errors.New("broke")) // of a value that is retired already: no failure, no back-off
		c := get(t, p)
		synctest.Wait()
		if c.Value != 2 || w.open[1] {
			t.Errorf("value %d, first still open: %v, want 2 and the first closed", c.Value, w.open[1])
		}
		c.Release()
		dead[2] = true
		d := get(t, p)
		synctest.Wait()
		if d.Value != 3 || w.live() != 1 {
			t.Errorf("value %d, %d open, want 3 and one", d.Value, w.live())
		}
		d.Release()
		if s := p.Stat(); s.Opens != 3 || s.Failures != 0 {
			t.Errorf("stat %+v, want 3 opens and no failure", s)
		}
	})
}

func TestUnloadAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{takes: time.Second}
		p := New(w.options())
		l := get(t, p)
		p.Unload()
		synctest.Wait()
		if w.live() != 1 {
			t.Error("Unload closed a value in use")
		}
		second := get(t, p)
		l.Release()
		synctest.Wait()
		if w.live() != 1 || second.Value != 2 {
			t.Errorf("%d open, value %d, want the second alone", w.live(), second.Value)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if w.live() != 1 {
			t.Error("Close closed a value in use")
		}
		second.Release()
		if w.live() != 0 {
			t.Error("the last Release after Close did not close the value")
		}
		if _, err := p.Get(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Get after Close = %v, want ErrClosed", err)
		}
		p.Close() // again: nothing
	})
}

func TestCloseEndsAnOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{takes: time.Hour}
		p := New(w.options())
		got := make(chan error)
		go func() {
			_, err := p.Get(context.Background())
			got <- err
		}()
		synctest.Wait()
		start := time.Now()
		p.Close()
		if err := <-got; err == nil || time.Since(start) > 0 {
			t.Errorf("a waiter at Close got %v after %s, want an error at once", err, time.Since(start))
		}
		if w.live() != 0 {
			t.Error("a value is open after Close")
		}
	})
}

func TestOpeningIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{takes: time.Hour}
		p := New(w.options())
		defer p.Close()
		start := time.Now()
		_, err := p.Get(t.Context())
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 20*time.Second {
			t.Errorf("%v after %s, want the opening's deadline after 20s", err, time.Since(start))
		}
	})
}

func TestManyUsersAndFailures(t *testing.T) {
	w := &world{}
	o := w.options()
	o.MinBackoff, o.MaxBackoff, o.Idle = time.Microsecond, time.Microsecond, time.Microsecond
	p := New(o)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 300 {
				l, err := p.Get(context.Background())
				if err != nil {
					continue // backing off
				}
				w.mu.Lock()
				usable := w.open[l.Value]
				w.mu.Unlock()
				if !usable {
					t.Errorf("value %d was handed out closed", l.Value)
				}
				switch (i + j) % 7 {
				case 0:
					l.Discard(errors.New("broke"))
				case 1:
					l.Discard(nil)
				case 2:
					p.Unload()
					l.Release()
				default:
					l.Release()
				}
			}
		})
	}
	wg.Wait()
	p.Close()
	if w.live() != 0 || w.most > 1 {
		t.Errorf("%d values are left open, %d openings at once, want 0 and at most 1", w.live(), w.most)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	w := &world{}
	o := w.options()
	o.Kind, o.Metrics = "node_inspector", NewMetrics(reg)
	p := New(o)
	check := func(when, want string) {
		t.Helper()
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	text := func(open, opens, failures int) string {
		return fmt.Sprintf(`
# HELP spillway_provider_failures_total Providers that could not be opened, or that broke while open, by kind.
# TYPE spillway_provider_failures_total counter
spillway_provider_failures_total{provider="node_inspector"} %d
# HELP spillway_provider_open Open providers, by kind; they open on first need and close when idle.
# TYPE spillway_provider_open gauge
spillway_provider_open{provider="node_inspector"} %d
# HELP spillway_provider_opens_total Providers opened successfully, by kind.
# TYPE spillway_provider_opens_total counter
spillway_provider_opens_total{provider="node_inspector"} %d
`, failures, open, opens)
	}
	check("before the first need", text(0, 0, 0))
	l := get(t, p)
	check("open", text(1, 1, 0))
	l.Discard(errors.New("broke"))
	check("broken", text(0, 1, 1))
	p.Close()
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

func TestCheckCycles(t *testing.T) {
	f := func(needs map[string][]string, want string) {
		t.Helper()
		err := CheckCycles(needs)
		switch {
		case want == "" && err != nil:
			t.Errorf("%v: %v, want no cycle", needs, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), ": "+want+": ")):
			t.Errorf("%v: %v, want the cycle %s", needs, err, want)
		}
	}
	f(nil, "")
	f(map[string][]string{"a": {"b", "c"}, "b": {"d"}, "c": {"d"}}, "")
	f(map[string][]string{"a": {"b"}, "b": {"a"}}, "a -> b -> a")
	f(map[string][]string{"a": {"a"}}, "a -> a")
	f(map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": {"b"}}, "b -> c -> d -> b")
}

func TestSet(t *testing.T) {
	s := NewSet()
	w := &world{}
	add := func(name string, needs ...string) (*Provider[int], error) {
		o := w.options()
		o.Name, o.Needs = name, needs
		return Add(s, o)
	}
	b, err := add("b", "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := add("a", "b"); err == nil || !strings.Contains(err.Error(), "a -> b -> a") {
		t.Errorf("a cycle: %v", err)
	}
	if _, err := add("b"); err == nil {
		t.Error("a second provider of the same name was accepted")
	}
	if _, err := add("a"); err != nil {
		t.Fatal(err)
	}
	get(t, b).Release()
	want := []Stat{{Name: "a", Kind: "test"}, {Name: "b", Kind: "test", Open: true, Opens: 1}}
	if diff := cmp.Diff(want, s.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	s.UnloadAll()
	if b.Stat().Open {
		t.Error("open after UnloadAll")
	}
	get(t, b).Release()
	if err := s.CloseAll(); err != nil || w.live() != 0 || len(s.Stats()) != 0 {
		t.Errorf("after CloseAll: %v, %d open, %v", err, w.live(), s.Stats())
	}
	if _, err := add("b"); err != nil {
		t.Errorf("the name of a closed provider: %v, want it free again", err)
	}
	s.CloseAll()
}
