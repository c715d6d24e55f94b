package setup

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
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

// TestPlaceOfAUser: a unit that a user has started is not taken for the system's of the same name.
func TestPlaceOfAUser(t *testing.T) {
	for path, want := range map[string]string{
		"/system.slice/app.service": "app.service", "/user.slice/user-1000.slice/user@1000.service/app.slice/app.service": "user@1000.service",
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"stat": "btime 1700000000\n", "7/comm": "app\n", "7/cmdline": "/srv/app\x00", "7/cgroup": "0::" + path + "\n", "7/statm": "100 10 5 1 0 9 0\n",
			"7/stat":   "7 (app) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 1000 10 0 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
			"7/status": "Name:\tapp\nUid:\t1000\t1000\t1000\t1000\nVmRSS:\t40 kB\n",
		} {
			at := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		cfg := &config.Config{Targets: []config.Target{{Name: "app", Processes: &proc.Config{Match: proc.Match{Comm: "app"}}}}}
		tracker, err := NewTracker(cfg, hostfs.Roots{ProcFS: dir}, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := tracker.Refresh(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		defer tracker.Close()
		if got := PlaceOf(tracker, "app")(); got.Unit != want {
			t.Errorf("in %s: %+v, want %s", path, got, want)
		}
	}
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
