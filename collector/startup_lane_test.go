package collector

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// woken is a source that asks for samples itself.
type woken struct {
	wake  chan struct{}
	soon  bool
	times []time.Time
}

func (w *woken) Sample(_ context.Context, b *series.Batch) error {
	w.times = append(w.times, b.Time)
	return nil
}

func (w *woken) wakes() <-chan struct{} { return w.wake }

func (w *woken) within(interval time.Duration) time.Duration {
	if w.soon && len(w.times) < 5 {
		return 100 * time.Millisecond
	}
	return interval
}

// TestLaneIsWokenBySource: a source is sampled when it asks for it, then as soon as it says, and its
// ticks stay where they were.
func TestLaneIsWokenBySource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &woken{wake: make(chan struct{}, 1)}
		m := NewSamplerMetrics(prometheus.NewRegistry())
		s := NewSampler(SamplerOptions{
			Store: series.NewStore(series.Options{}), Metrics: m, Logger: slog.New(slog.DiscardHandler),
			Lanes: []Lane{{Name: "probe", Interval: 10 * time.Second, Jobs: []Job{{Source: "probe", Impl: w}}}},
		})
		began := time.Now()
		s.Start(t.Context())
		<-time.After(3 * time.Second)
		synctest.Wait()
		w.soon = true
		w.wake <- struct{}{}
		<-time.After(18 * time.Second)
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []time.Duration
		for _, at := range w.times {
			got = append(got, at.Sub(began))
		}
		want := []time.Duration{0, 3 * time.Second, 3100 * time.Millisecond, 3200 * time.Millisecond, 3300 * time.Millisecond, 10 * time.Second, 20 * time.Second}
		if len(got) != len(want) {
			t.Fatalf("sampled at %v, want %v", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("sample %d at %s, want %s", i, got[i], want[i])
			}
		}
		if n := testutil.ToFloat64(m.wakes[WakeStart]); n != 4 {
			t.Errorf("%v wakes for a start, want 4", n)
		}
	})
}
