package setup

import (
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

type silent struct{}

func (silent) Observe(string, dispatch.Subject) dispatch.Reading { return dispatch.Reading{} }
func (silent) Refresh(string, dispatch.Subject)                  {}

// TestFirstReading: the reading right after a start is found in the rings, and unknown where the rings do not go
// back so far.
func TestFirstReading(t *testing.T) {
	began := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	f := func(name string, from, to time.Duration, ratio func(after time.Duration) float64, known bool, level series.Level) {
		t.Run(name, func(t *testing.T) {
			cfg := config.Default()
			var b series.Batch
			store := series.NewStore(series.Options{Window: 1000, Interval: 5 * time.Second})
			for after := from; after <= to; after += 5 * time.Second {
				b.Reset(began.Add(after))
				b.Set(metric.ProcessOldestStart, float64(began.Unix()), "app")
				b.Set(metric.MemoryUsedRatio, ratio(after), "app")
				store.Commit(&b)
			}
			s := RestartOf(cfg, &config.Target{Name: "app"}, nil, store, silent{})
			got := s.First()
			if got.Known != known || known && got.Level != int(level) {
				t.Errorf("%+v, want known %t, level %s", got, known, level)
			}
		})
	}
	grows := func(after time.Duration) float64 { return 0.2 + 0.7*after.Seconds()/3600 }
	full := func(time.Duration) float64 { return 0.99 }
	f("a leak", -time.Minute, time.Hour, grows, true, series.LevelNormal)
	f("full from the start", -time.Minute, time.Hour, full, true, series.LevelEmergency)
	f("the exporter is younger", 10*time.Minute, time.Hour, full, false, 0)
	f("it has just started", -time.Minute, 0, full, false, 0)
}
