package collector

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

type fakeValues struct {
	values map[string]float64
	err    error
	closed int
}

func (f *fakeValues) Values(_ context.Context, _ string, wants []fetch.Want) ([]fetch.Value, error) {
	if f.err != nil {
		return nil, f.err
	}
	out := make([]fetch.Value, len(wants))
	for i, w := range wants {
		v, ok := f.values[w.Name]
		if !ok {
			out[i].Err = fmt.Errorf("%s: there is no such value", w.Name)
			continue
		}
		out[i].V = v
	}
	return out, nil
}

func (f *fakeValues) Close() error { f.closed++; return nil }

func appConfig(t *testing.T, c AppConfig, caches ...string) AppConfig {
	t.Helper()
	if c.URL == "" {
		c.URL = "http://127.0.0.1:4545/stats"
	}
	c.Validate(caches, func(key, format string, args ...any) { t.Fatalf("%s: %s", key, fmt.Sprintf(format, args...)) })
	return c
}

// sampled samples a source as the Sampler does: a series that a sample leaves out is absent.
type sampled struct {
	store *series.Store
	batch series.Batch
}

// take samples once and returns what the store holds after it.
func (s *sampled) take(t *testing.T, src Source, at time.Time) (map[string]float64, error) {
	t.Helper()
	s.batch.Reset(at)
	err := src.Sample(t.Context(), &s.batch)
	s.store.Commit(&s.batch)
	out := make(map[string]float64)
	for _, v := range s.store.Snapshot(nil) {
		out[strings.TrimPrefix(v.Desc.Name, "spillway_")+fmt.Sprint(v.Values)] = v.Value
	}
	return out, err
}

func TestAppPublishes(t *testing.T) {
	c := appConfig(t, AppConfig{Map: map[string]string{
		"cache_hits": "h", "cache_misses": "m", "cache_entries": "n", "cache_bytes": "b", "jobs_total": "j", "queue_length": "q",
	}})
	r := &fakeValues{values: map[string]float64{"cache_hits": 90, "cache_misses": 10, "cache_entries": 7, "cache_bytes": 4096, "jobs_total": 5, "queue_length": 3}}
	store := series.NewStore(series.Options{})
	in := &sampled{store: store}
	a := NewApp(AppOptions{Target: "svc", Config: c, Reader: r, Store: store, Window: 10})
	now := time.Now()
	got, err := in.take(t, a, now)
	want := map[string]float64{
		"cache_hits_total[svc app app]": 90, "cache_misses_total[svc app app]": 10, "cache_entries[svc app]": 7, "cache_size_bytes[svc app]": 4096,
		"app_events_total[svc jobs_total]": 5, "app_value[svc queue_length]": 3,
	}
	if err != nil || !reflect.DeepEqual(got, want) { // no ratio: nothing was asked in the window yet
		t.Errorf("first: %v, %v, want %v", got, err, want)
	}
	r.values["cache_hits"], r.values["cache_misses"] = 120, 20
	got, err = in.take(t, a, now.Add(time.Second))
	if err != nil || got["cache_hit_ratio[svc app app]"] != 0.75 {
		t.Errorf("second: %v, %v, want a ratio of 30 in 40", got, err)
	}
	delete(r.values, "queue_length")
	got, err = in.take(t, a, now.Add(2*time.Second))
	if _, there := got["app_value[svc queue_length]"]; err == nil || !strings.Contains(err.Error(), "queue_length: there is no such value") || there || got["app_events_total[svc jobs_total]"] != 5 {
		t.Errorf("one value gone: %v, %v, want the others and a failure that names it", got, err)
	}
	if err := a.Close(); err != nil || r.closed != 1 {
		t.Errorf("close: %v, reader closed %d times", err, r.closed)
	}
}

// A service that restarts counts from 0: what is published goes on, over a reload of ours too.
func TestAppCounterRestarts(t *testing.T) {
	c := appConfig(t, AppConfig{Map: map[string]string{"cache_hits": "h", "cache_misses": "m", "jobs_total": "j"}}, "media")
	r := &fakeValues{values: make(map[string]float64)}
	store := series.NewStore(series.Options{})
	in := &sampled{store: store}
	o := AppOptions{Target: "svc", Config: c, Reader: r, Store: store, Window: 3}
	a := NewApp(o)
	now := time.Now()
	f := func(hits, misses, jobs, wantHits, wantJobs, wantRatio float64) {
		t.Helper()
		r.values["cache_hits"], r.values["cache_misses"], r.values["jobs_total"] = hits, misses, jobs
		now = now.Add(time.Second)
		got, err := in.take(t, a, now)
		ratio, has := got["cache_hit_ratio[svc media app]"]
		if !has {
			ratio = -1
		}
		if err != nil || got["cache_hits_total[svc media app]"] != wantHits || got["app_events_total[svc jobs_total]"] != wantJobs || ratio != wantRatio {
			t.Errorf("%v %v %v: %v, %v, want %v, %v, %v", hits, misses, jobs, got, err, wantHits, wantJobs, wantRatio)
		}
	}
	f(100, 0, 10, 100, 10, -1)
	f(103, 1, 11, 103, 11, 0.75)
	f(1, 3, 0, 104, 11, 0.25) // restarted: 1 hit and 3 misses since
	f(1, 3, 2, 104, 13, 0.25)
	f(1, 3, 2, 104, 13, -1) // nothing was asked within the window
	a = NewApp(o)           // a reload
	f(2, 3, 3, 104, 13, -1)
	f(3, 3, 4, 105, 14, 1)
	f(1, 0, 1, 106, 15, 1) // restarted again
}

func TestAppThatDoesNotAnswer(t *testing.T) {
	now := time.Now()
	running := true
	r := &fakeValues{}
	store := series.NewStore(series.Options{})
	in := &sampled{store: store}
	a := NewApp(AppOptions{
		Target: "svc", Config: appConfig(t, AppConfig{Map: map[string]string{"q": "q"}}), Reader: r, Store: store, Window: 3,
		Running: func() bool { return running }, Now: func() time.Time { return now },
	})
	f := func(err error, wantAbsent, wantFailed bool) {
		t.Helper()
		r.err = err
		got, e := in.take(t, a, now)
		if errors.Is(e, ErrAbsent) != wantAbsent || (e != nil) != (wantAbsent || wantFailed) || e != nil && len(got) > 0 {
			t.Errorf("%v: %v, %v", err, got, e)
		}
	}
	r.values = map[string]float64{"q": 1}
	f(nil, false, false)
	f(fetch.ErrLate, true, false)
	now = now.Add(29 * time.Second)
	f(fetch.ErrLate, true, false)
	now = now.Add(time.Second)
	f(fetch.ErrLate, false, true)
	f(nil, false, false)
	f(fetch.ErrLate, true, false) // the grace begins anew
	f(fetch.ErrUnreachable, false, true)
	f(fetch.ErrStatus, false, true)
	running = false
	f(fetch.ErrUnreachable, true, false)
	f(fetch.ErrStatus, false, true)
}

// The whole way, from a document of the service to the series.
func TestAppReadsTheService(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			fmt.Fprint(w, "lookups_total{result=\"hit\"} 9\nlookups_total{result=\"miss\"} 1\n")
			return
		}
		fmt.Fprint(w, `{"cache": {"hitRate": "87.5%", "size": "456MB"}, "buffers": "12M"}`)
	}))
	defer s.Close()
	f := func(c AppConfig, want map[string]float64) {
		t.Helper()
		store := series.NewStore(series.Options{})
		in := &sampled{store: store}
		a := NewApp(AppOptions{Target: "svc", Config: appConfig(t, c), Store: store, Window: 3})
		defer a.Close()
		if got, err := in.take(t, a, time.Now()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	}
	f(AppConfig{Endpoint: fetch.Endpoint{URL: s.URL + "/stats"}, Map: map[string]string{"cache_hit_ratio": "cache.hitRate", "cache_bytes": "cache.size"}},
		map[string]float64{"cache_hit_ratio[svc app app]": 0.875, "cache_size_bytes[svc app]": 456 << 20})
	sizes := map[string]string{"buffers_bytes": "buffers", "cache_bytes": "cache.size"}
	f(AppConfig{Endpoint: fetch.Endpoint{URL: s.URL + "/stats"}, Map: sizes},
		map[string]float64{"app_value[svc buffers_bytes]": 12 << 20, "cache_size_bytes[svc app]": 456 << 20})
	f(AppConfig{Endpoint: fetch.Endpoint{URL: s.URL + "/stats"}, Units: fetch.UnitsDecimal, Map: sizes},
		map[string]float64{"app_value[svc buffers_bytes]": 12e6, "cache_size_bytes[svc app]": 456e6})
	f(AppConfig{
		Endpoint: fetch.Endpoint{URL: s.URL + "/metrics"}, Format: fetch.Prometheus, Cache: "thumbs",
		Map: map[string]string{"cache_hits": `lookups_total{result="hit"}`, "cache_misses": `lookups_total{result="miss"}`},
	}, map[string]float64{"cache_hits_total[svc thumbs app]": 9, "cache_misses_total[svc thumbs app]": 1})
}
