package collector

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

type fakeProber struct {
	out    fetch.Outcome
	closed int
}

func (f *fakeProber) Probe(context.Context) fetch.Outcome { return f.out }
func (f *fakeProber) Close() error                        { f.closed++; return nil }

func probeConfig(t *testing.T, c ProbeConfig) ProbeConfig {
	t.Helper()
	if c.URL == "" {
		c.URL = "http://127.0.0.1:4545/health"
	}
	c.Validate(func(key, format string, args ...any) { t.Fatalf("%s: %s", key, fmt.Sprintf(format, args...)) })
	return c
}

func TestProbePublishes(t *testing.T) {
	r := &fakeProber{}
	store := series.NewStore(series.Options{})
	in := &sampled{store: store}
	p := NewProbe(ProbeOptions{Target: "svc", Config: probeConfig(t, ProbeConfig{}), Prober: r, Store: store})
	f := func(out fetch.Outcome, success, status, seconds float64) {
		t.Helper()
		r.out = out
		got, err := in.take(t, p, time.Now())
		_, hasStatus := got["probe_http_status_code[svc]"]
		_, hasDuration := got["probe_duration_seconds[svc]"]
		if err != nil || got["probe_success[svc]"] != success || got["probe_http_status_code[svc]"] != status || got["probe_duration_seconds[svc]"] != seconds ||
			hasStatus != (status > 0) || hasDuration != (status > 0) || got["probe_max_duration_seconds[svc]"] != 0.2 || got["startup_max_duration_seconds[svc]"] != 10 {
			t.Errorf("%+v: %v, %v", out, got, err)
		}
		if _, there := got["startup_duration_seconds[svc]"]; there {
			t.Errorf("%v: a startup without processes to watch", got)
		}
	}
	f(fetch.Outcome{Status: 200, Duration: 20 * time.Millisecond}, 1, 200, 0.02)
	f(fetch.Outcome{Status: 302, Duration: 10 * time.Millisecond}, 0, 302, 0.01)
	f(fetch.Outcome{Status: 503, Duration: 10 * time.Millisecond}, 0, 503, 0.01)
	f(fetch.Outcome{Err: fetch.ErrLate, Duration: 2 * time.Second}, 0, 0, 0)
	f(fetch.Outcome{Err: fetch.ErrUnreachable}, 0, 0, 0)
	p.opts.Config.ValidStatus = []int{302}
	f(fetch.Outcome{Status: 302, Duration: 10 * time.Millisecond}, 1, 302, 0.01)
	f(fetch.Outcome{Status: 200, Duration: 10 * time.Millisecond}, 0, 200, 0.01)
	if err := p.Close(); err != nil || r.closed != 1 {
		t.Errorf("close: %v, prober closed %d times", err, r.closed)
	}
}

func TestProbeStartup(t *testing.T) {
	base := time.Unix(1_800_000_000, 0)
	now, start, running := base, base.Add(-time.Hour), true
	id := func() uint64 { return uint64(start.UnixMilli()) }
	r := &fakeProber{}
	store := series.NewStore(series.Options{})
	in := &sampled{store: store}
	o := ProbeOptions{
		Target: "svc", Config: probeConfig(t, ProbeConfig{}), Prober: r, Store: store,
		started: func() (time.Time, uint64, bool) { return start, id(), running }, Now: func() time.Time { return now },
	}
	p := NewProbe(o)
	good, bad := fetch.Outcome{Status: 200, Duration: time.Millisecond}, fetch.Outcome{Err: fetch.ErrUnreachable}
	f := func(after time.Duration, out fetch.Outcome, want float64, starting bool) {
		t.Helper()
		now, r.out = now.Add(after), out
		got, err := in.take(t, p, now)
		v, ok := got["startup_duration_seconds[svc]"]
		if !ok {
			v = -1
		}
		if err != nil || v != want || (p.within(time.Second) < time.Second) != starting {
			t.Errorf("at %s: %v, starting %v, %v, want %v, %v", now.Sub(base), got, p.within(time.Second), err, want, starting)
		}
	}
	f(0, good, -1, false)         // it was ready before it was watched
	f(time.Second, bad, -1, true) // it may have ended
	f(time.Second, good, -1, false)
	start = now.Add(500 * time.Millisecond) // a restart
	f(time.Second, bad, -1, true)
	f(time.Second, fetch.Outcome{Status: 503}, -1, true)
	f(time.Second, good, 2.5, false)
	f(time.Second, good, 2.5, false)
	f(time.Second, bad, 2.5, true) // what was seen of this start stays
	p = NewProbe(o)                // a reload
	f(time.Second, good, 2.5, false)
	start = now.Add(time.Second) // a restart that never becomes ready
	f(2*time.Second, bad, -1, true)
	f(27*time.Second, bad, -1, true)
	f(time.Hour, bad, -1, false) // a closer look at first only
	f(time.Minute, good, 3688, false)
	start = now.Add(time.Second) // a restart during which this exporter is reloaded too
	now = now.Add(2 * time.Second)
	p = NewProbe(o)
	f(time.Second, good, -1, false)

	running, start = false, time.Time{}
	r.out = bad
	if got, err := in.take(t, p, now.Add(time.Second)); !errors.Is(err, ErrAbsent) || got["probe_max_duration_seconds[svc]"] != 0.2 {
		t.Errorf("without processes: %v, %v, want absent", got, err)
	}
}

// The oldest of several processes may end, and the clock may be set: neither is a start of a service
// that answered all the time.
func TestProbeStartupOfAServiceThatNeverStopped(t *testing.T) {
	base := time.Unix(1_800_000_000, 0)
	now, start, id := base, base.Add(-time.Hour), uint64(1)
	r := &fakeProber{}
	store := series.NewStore(series.Options{})
	in := &sampled{store: store}
	p := NewProbe(ProbeOptions{
		Target: "svc", Config: probeConfig(t, ProbeConfig{}), Prober: r, Store: store,
		started: func() (time.Time, uint64, bool) { return start, id, true }, Now: func() time.Time { return now },
	})
	good, bad := fetch.Outcome{Status: 200, Duration: time.Millisecond}, fetch.Outcome{Err: fetch.ErrUnreachable}
	f := func(what string, after time.Duration, out fetch.Outcome, want float64) {
		t.Helper()
		now, r.out = now.Add(after), out
		got, err := in.take(t, p, now)
		v, ok := got["startup_duration_seconds[svc]"]
		if !ok {
			v = -1
		}
		p.within(time.Second)
		if err != nil || v != want {
			t.Errorf("%s: %v, starting %v, %v, want %v", what, got, p.within(time.Second), err, want)
		}
	}
	f("it ran before", 0, good, -1)
	start, id = now.Add(time.Second), 2
	f("a start that was watched", 1500*time.Millisecond, good, .5)
	worker := now.Add(time.Second)
	f("a second worker starts", 5*time.Second, good, .5)
	f("and both answer", time.Hour, good, .5)
	start, id = worker, 3
	f("the oldest ends, the worker stays", time.Second, good, .5)
	f("the worker fails", time.Second, bad, .5)
	f("and answers again", time.Second, good, .5)
	start = start.Add(2 * time.Hour)
	f("the clock is set ahead", 2*time.Hour, good, .5)
	start = start.Add(-4 * time.Hour)
	f("and back", -4*time.Hour, good, .5)
}

func TestProbeOfAService(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer s.Close()
	store := series.NewStore(series.Options{})
	in := &sampled{store: store}
	p := NewProbe(ProbeOptions{Target: "svc", Config: probeConfig(t, ProbeConfig{Endpoint: fetch.Endpoint{URL: s.URL}}), Store: store})
	defer p.Close()
	got, err := in.take(t, p, time.Now())
	if err != nil || got["probe_success[svc]"] != 1 || got["probe_http_status_code[svc]"] != 204 || got["probe_duration_seconds[svc]"] <= 0 {
		t.Errorf("%v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var b series.Batch
	b.Reset(time.Now())
	if err := p.Sample(ctx, &b); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v: that is not a failed probe", err)
	}
}
