package heap

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func TestDocument(t *testing.T) {
	const metrics = "nodejs_heap_size_used_bytes 2.5e+08\nnodejs_heap_size_total_bytes 3e+08\nlimit NaN\n"
	const doc = `{"mem": {"used": "250MB", "total": 300000000, "limit": "512MB", "bad": "OK", "neg": -1, "zero": 0}}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics":
			fmt.Fprint(w, metrics)
		case "/json":
			fmt.Fprint(w, doc)
		case "/large":
			fmt.Fprint(w, `{"a": "`+strings.Repeat("x", 10<<20)+`"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer s.Close()
	family := ""
	f := func(provider, path string, m Map, limit units.Bytes, want string, wantErr string) {
		t.Helper()
		c := newClient(t, newPool(t), Config{Provider: provider, URL: s.URL + path, Map: m, Limit: limit, Units: family})
		u, err := c.Read(t.Context())
		got := fmt.Sprintf("%v %v %v", u.Used, u.Committed, u.Limit)
		if got != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s %v: %s, %v, want %s, %q", path, m, got, err, want, wantErr)
		}
		if c.Runtime() != provider {
			t.Errorf("runtime %q, want %q", c.Runtime(), provider)
		}
		if _, _, err := c.Collect(t.Context()); !errors.Is(err, ErrCannotCollect) || errors.Is(err, ErrUnknown) {
			t.Errorf("collect: %v, want ErrCannotCollect", err)
		}
	}
	amount := func(n float64) string { return fmt.Sprint(Some(units.Bytes(n))) }
	none := fmt.Sprint(Amount{})
	join := func(s ...string) string { return strings.Join(s, " ") }
	f(ProviderPrometheus, "/metrics", Map{Used: "nodejs_heap_size_used_bytes", Committed: "nodejs_heap_size_total_bytes"}, 512e6, join(amount(250e6), amount(300e6), amount(512e6)), "")
	family = fetch.UnitsDecimal
	f(ProviderJSON, "/json", Map{Used: "mem.used", Committed: "mem.total", Limit: "mem.limit"}, 0, join(amount(250e6), amount(300e6), amount(512e6)), "")
	family = ""
	f(ProviderJSON, "/json", Map{Used: "mem.used", Committed: "mem.total", Limit: "mem.limit"}, 0, join(amount(250<<20), amount(300e6), amount(512<<20)), "")
	f(ProviderJSON, "/json", Map{Used: "mem.total"}, 0, join(amount(300e6), none, none), "")
	f(ProviderJSON, "/json", Map{Used: "mem.used", Limit: "mem.zero"}, 0, join(amount(250<<20), none, none), "")
	f(ProviderJSON, "/json", Map{Used: "mem.bad"}, 0, join(none, none, none), "used: mem.bad: the text there is not a size or number")
	f(ProviderJSON, "/json", Map{Used: "mem.neg"}, 0, join(none, none, none), "used: mem.neg: -1 is below 0")
	f(ProviderJSON, "/json", Map{Used: "mem.used", Limit: "mem.none"}, 0, join(amount(250<<20), none, none), "limit: mem.none: there is no such value")
	f(ProviderPrometheus, "/metrics", Map{Used: "nodejs_heap_size_used_bytes", Limit: "limit"}, 0, join(amount(250e6), none, none), "limit: limit: it is NaN")
	f(ProviderJSON, "/large", Map{Used: "a"}, 0, join(none, none, none), "the answer is too large")
	f(ProviderJSON, "/elsewhere", Map{Used: "a"}, 0, join(none, none, none), "it answered 404 Not Found")
	f(ProviderPrometheus, "/json", Map{Used: "a"}, 0, join(none, none, none), "it is not the Prometheus text format")
}

func TestDocumentThatDoesNotAnswer(t *testing.T) {
	stop := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	c := newClient(t, newPool(t), Config{Provider: ProviderJSON, URL: s.URL, Map: Map{Used: "a"}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Read(ctx); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want ErrBusy", err)
	}
	close(stop)
	s.Close()
	if _, err := c.Read(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("%v, want ErrUnreachable", err)
	}
	c.Close()
	if _, err := c.Read(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

// A thousand restarts of the service leave neither goroutines nor descriptors.
func TestDocumentRestarts(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	p := newPool(t)
	defer p.Close()
	now := time.Now()
	p.opts.Now = func() time.Time { now = now.Add(time.Hour); return now } // no back-off
	for i := range 1000 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"a": 1}`) }))
		cfg := Config{Provider: ProviderJSON, URL: s.URL, Map: Map{Used: "a"}}
		c, err := p.Get(cfg, Target{Name: "t"})
		if err != nil {
			t.Fatal(err)
		}
		if u, err := c.Read(t.Context()); err != nil || u.Used.Bytes != 1 {
			t.Fatalf("%d: %v, %v", i, u, err)
		}
		s.Close()
		if _, err := c.Read(t.Context()); err == nil {
			t.Fatalf("%d: read from nobody", i)
		}
		c.Close()
	}
}

func TestAnon(t *testing.T) {
	of := Target{
		Name: "t", Members: func() []proc.Member { return nil },
		Anon: func() (units.Bytes, bool) { return 0, false },
	}
	p := newPool(t)
	cfg := Config{Provider: ProviderAnon, Limit: 1 << 30}
	cfg.Validate(true, func(key, format string, args ...any) { t.Fatalf("%s: %s", key, fmt.Sprintf(format, args...)) })
	c, err := p.Get(cfg, of)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(t.Context()); !errors.Is(err, ErrNoProcess) {
		t.Errorf("without processes: %v", err)
	}
	of.Members = func() []proc.Member { return []proc.Member{{PID: 1}} }
	of.Anon = func() (units.Bytes, bool) { return 300 << 20, true }
	again, err := p.Get(cfg, of) // a reload: the old client reads through the new functions
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for _, c := range []*Client{c, again} {
		if u, err := c.Read(t.Context()); err != nil || u.Used != Some(300<<20) || u.Limit != Some(1<<30) || u.Committed.OK || c.Runtime() != "rss_anon" {
			t.Errorf("%+v, %v as %s", u, err, c.Runtime())
		}
	}
	other := of
	other.Name, other.Anon = "other", func() (units.Bytes, bool) { return 1, false }
	o, err := p.Get(cfg, other)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if _, err := o.Read(t.Context()); !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrNoProcess) {
		t.Errorf("memory that cannot be read: %v", err)
	}
	if u, err := c.Read(t.Context()); err != nil || u.Used != Some(300<<20) {
		t.Errorf("another target's functions were taken: %v, %v", u, err)
	}
	if _, _, err := c.Collect(t.Context()); !errors.Is(err, ErrCannotCollect) {
		t.Errorf("collect: %v", err)
	}
}
