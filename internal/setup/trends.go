package setup

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
)

// sameStart is how far two readings of the same start of a process can be apart.
const sameStart = 2 * time.Second

// trends judges the growth of what the history records. The goroutine of the recorder calls take.
type trends struct {
	keeper *trend.Keeper
	store  *history.Store
	series *series.Store
	now    func() time.Time
	booted func(now time.Time) time.Time
}

func newTrends(store *history.Store, o *HistoryOptions) *trends {
	t := &trends{store: store, series: o.Series, now: o.Now, booted: history.Booted}
	t.keeper = trend.NewKeeper(trend.Options{
		Board: o.Trends, Past: t.past, Starts: t.starts,
		Limit:  func(target string) float64 { v, _, _ := o.Series.Value(metric.MemoryLimit, target); return v },
		Memory: metric.MemoryUsed.Name, Live: metric.HeapLive.Name,
	})
	return t
}

// take passes on what was recorded.
func (t *trends) take(samples []history.Sample, at time.Time, marks []history.Mark) {
	var values []trend.Value
	for i := range samples {
		if s := &samples[i]; t.keeper.Counts(s.Gauge) {
			values = append(values, trend.Value{Target: s.Target, Gauge: s.Gauge, Time: at, Low: s.Min, High: s.Max})
		}
	}
	var started []string
	for i := range marks {
		started = append(started, marks[i].Target)
	}
	t.keeper.Add(values, started, t.now())
}

// past passes on what the history has of a gauge. What cannot be read is not there: the store says why.
func (t *trends) past(target, gauge string, from time.Time, take func(*trend.Value)) {
	points, _ := t.store.Series(target, gauge, from, t.now())
	for _, p := range points {
		take(&trend.Value{Target: target, Gauge: gauge, Time: p.Time, Low: p.Min, High: p.Max})
	}
}

// starts returns the starts of a target that are known, the last one as the series have it: the disk may be full. Nothing is
// compared across a start of the host.
func (t *trends) starts(target string) []trend.Start {
	marks, _ := t.store.Marks(target, time.Time{}, t.now())
	out := make([]trend.Start, 0, len(marks)+1)
	for i := range marks {
		out = append(out, trend.Start{Time: marks[i].Time, Same: i > 0 && marks[i].Program.Same(marks[i-1].Program)})
	}
	last := t.booted(t.now())
	if seconds, _, ok := t.series.Value(metric.ProcessOldestStart, target); ok {
		if at := time.UnixMilli(int64(seconds * 1000)); at.After(last) {
			last = at
		}
	}
	if n := len(out); n == 0 || last.After(out[n-1].Time.Add(sameStart)) {
		out = append(out, trend.Start{Time: last, Same: true})
	}
	return out
}
