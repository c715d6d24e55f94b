package setup

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
)

// TestTrendsOfTheHistory: with its first value an exporter knows what the history has of a target: how it grows since its last
// start, and how its build before did.
func TestTrendsOfTheHistory(t *testing.T) {
	const mib = 1 << 20
	now := time.Now().Truncate(time.Hour)
	clock := func() time.Time { return now }
	store := history.New(history.Options{Path: filepath.Join(t.TempDir(), history.FileName), Now: clock})
	if err := store.Open(); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	begin, deploy := now.Add(-9*24*time.Hour), now.Add(-4*24*time.Hour)
	memory := func(at time.Time) float64 {
		return (500 + 12*max(at.Sub(deploy).Hours(), 0) + 100*math.Sin(2*math.Pi*at.Sub(begin).Hours()/24)) * mib
	}
	for at := begin; at.Before(now); at = at.Add(history.Step) {
		var marks []history.Mark
		for i, start := range []time.Time{begin, deploy} {
			if at.Equal(start) {
				marks = []history.Mark{{Target: "a", Time: start, Program: history.Program{Inode: uint64(i + 1), Modified: start}}}
			}
		}
		v := memory(at)
		if err := store.Append(at, []history.Sample{{Target: "a", Gauge: metric.MemoryUsed.Name, Min: v, Mean: v, Max: v}}, marks); err != nil {
			t.Fatal(err)
		}
	}
	values := series.NewStore(series.Options{})
	var b series.Batch
	b.Reset(now)
	b.Set(metric.MemoryLimit, 4096*mib, "a")
	b.Set(metric.ProcessOldestStart, float64(deploy.Unix()), "a")
	values.Commit(&b)
	board := trend.NewBoard()
	tr := newTrends(store, &HistoryOptions{Series: values, Now: clock, Trends: board})
	tr.booted = func(time.Time) time.Time { return begin }
	sample := history.Sample{Target: "a", Gauge: metric.MemoryUsed.Name, Min: memory(now), Mean: memory(now), Max: memory(now)}
	tr.take([]history.Sample{sample, {Target: "a", Gauge: "spillway_temp_size_bytes"}}, now, nil)
	o := board.Of("a")
	text := o.Sentences(now)
	if got := o.PerSecond * 3600 / mib; !o.Growing || math.Abs(got-12) > .6 || o.At.IsZero() || len(text) != 2 || !strings.HasSuffix(text[1], "/h, before it did not.") {
		t.Errorf("%v MiB/h, growing %v, full at %v: %q", got, o.Growing, o.At, text)
	}

	// A start that no mark says, as of a disk that was full.
	b.Reset(now)
	b.Set(metric.MemoryLimit, 4096*mib, "a")
	b.Set(metric.ProcessOldestStart, float64(now.Add(-time.Hour).Unix()), "a")
	values.Commit(&b)
	tr.take([]history.Sample{sample}, now, []history.Mark{{Target: "a"}})
	if o := board.Of("a"); o.Known {
		t.Errorf("an hour after a start: %+v", o.Estimate)
	}
	tr.booted = func(time.Time) time.Time { return now.Add(-time.Minute) }
	if starts := tr.starts("b"); len(starts) != 1 || !starts[0].Time.Equal(now.Add(-time.Minute)) {
		t.Errorf("what has no start of its own began with the host: %v", starts)
	}
}
