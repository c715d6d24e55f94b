package setup

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
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
	f("the exporter is younger by half a minute", 20*time.Second, time.Hour, full, true, series.LevelEmergency)
	f("the exporter is younger by a minute", time.Minute, time.Hour, full, false, 0)
	f("hours ago", -time.Minute, 6*time.Hour, full, true, series.LevelEmergency)
	f("it has just started", -time.Minute, 0, full, false, 0)
}

// TestUnseenRestart: after a kill -9 of the exporter the record of the step says what is known of its end.
func TestUnseenRestart(t *testing.T) {
	f := func(name string, reach func(*restart.Ledger) error, mode, outcome, text string) {
		t.Run(name, func(t *testing.T) {
			quiet := slog.New(slog.DiscardHandler)
			cfg := &config.Config{Targets: []config.Target{{Name: "app", Mode: config.Enforce}}, Journal: journal.Config{Dir: t.TempDir(), Keep: units.Duration(time.Hour)}}
			j, err := OpenJournal(cfg, quiet, prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			l := NewRestarts(func() *journal.Journal { return j }, nil, time.Now)
			id, err := j.Begin(t.Context(), journal.Record{RunID: "r1", Step: 2, Action: action.NameRestart, Target: "app", Mode: mode})
			if err == nil {
				err = reach(l)
			}
			if err = errors.Join(err, j.Close()); err != nil { // leaves it open, as a kill does
				t.Fatal(err)
			}
			if j, err = OpenJournal(cfg, quiet, prometheus.NewRegistry()); err != nil {
				t.Fatal(err)
			}
			defer j.Close()
			r, _, err := j.Get(id)
			if err != nil || r.Outcome != outcome || !strings.Contains(r.Error, text) {
				t.Errorf("%q %q, %v, want %s, %q", r.Outcome, r.Error, err, outcome, text)
			}
		})
	}
	begin := func(l *restart.Ledger) error {
		return l.Begin(t.Context(), "app", "r1", "i", restart.DefaultTarget, restart.DefaultHost)
	}
	to := func(s restart.Stage) func(*restart.Ledger) error {
		return func(l *restart.Ledger) error { return errors.Join(begin(l), l.Reach(t.Context(), "app", "r1", s)) }
	}
	f("before the attempt", func(*restart.Ledger) error { return nil }, dispatch.ModeEnforce, journal.OutcomeInterrupted, "nothing was restarted")
	f("evidence and drain", begin, dispatch.ModeEnforce, journal.OutcomeInterrupted, "nothing was restarted")
	f("drain", func(l *restart.Ledger) error {
		return errors.Join(begin(l), l.Draining(t.Context(), "app", "r1", "d"))
	}, dispatch.ModeEnforce, journal.OutcomeUnknown, "nothing was restarted, and the service may still be drained")
	f("asked", to(restart.Asked), dispatch.ModeEnforce, journal.OutcomeUnknown, "its end was not seen")
	f("ended", to(restart.Ended), dispatch.ModeEnforce, journal.OutcomeUnknown, "its result was not written")
	f("dropped", to(restart.Dropped), dispatch.ModeEnforce, journal.OutcomeInterrupted, "nothing was restarted")
	f("a dry run", begin, dispatch.ModeDryRun, journal.OutcomeInterrupted, "the exporter ended before this did")
}
