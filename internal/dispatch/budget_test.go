package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
	"github.com/spillway-exporter/spillway_exporter/internal/window"
)

// guard gives a playbook of svc a guard.
func (w *world) guard(mode, playbook string, g Guard, windows window.Windows, p Playbooks) {
	t := w.target("svc", mode, p)
	Guards{playbook: g}.Apply(t.Playbooks, windows)
	w.targets["svc"] = t
	w.d.Apply(w.targets)
}

func budget(n int, per time.Duration) Guard { return Guard{Budget: Budget{n, units.Duration(per)}} }

func (w *world) remaining() float64 { return w.counter("spillway_budget_remaining", nil) }

// TestBudget: so many runs that acted, then a person is needed, said once; later there is room again.
func TestBudget(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		if w.counter("spillway_budget_remaining", nil) != 0 || len(w.d.Status().Budgets) != 0 {
			t.Error("a budget is shown that there is not")
		}
		w.guard(ModeEnforce, "clean_temp", budget(2, 24*time.Hour), nil, nil)
		for i := range 2 {
			if got := w.remaining(); got != float64(2-i) {
				t.Errorf("%v remain after %d", got, i)
			}
			if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Accepted {
				t.Fatalf("%d: %+v", i, d)
			}
			w.finished()
			passes(time.Hour)
		}
		for range 5 {
			if d := w.one(w.firing("svc", "clean_temp", emergency)); d.Disposition != alert.NeedsHuman || d.RunID != "" {
				t.Errorf("%+v", d)
			}
			passes(time.Hour)
		}
		if n := len(w.temp.calls()); n != 2 || w.remaining() != 0 {
			t.Errorf("acted %d times, %v remain", n, w.remaining())
		}
		records := 0
		for _, r := range w.records(journal.Filter{}) {
			if r.Outcome == OutcomeNeedsHuman {
				records++
				if r.Step != 0 || r.Playbook != "clean_temp" || r.Alert != "A" || r.Detail == "" {
					t.Errorf("%+v", r)
				}
			}
		}
		if got := w.counter("spillway_playbook_runs_total", map[string]string{"outcome": OutcomeNeedsHuman}); records != 1 || got != 1 {
			t.Errorf("%d records, %v counted, want one", records, got)
		}
		passes(24*time.Hour - 7*time.Hour)
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Accepted {
			t.Errorf("a day after the first: %+v", d)
		}
		w.finished()
	})
}

// TestBudgetCountsWhatActed: dry runs, runs that found nothing and a person's use nothing up.
func TestBudgetCountsWhatActed(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		run := func() {
			t.Helper()
			if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Accepted {
				t.Fatalf("%+v", d)
			}
			w.finished()
			passes(time.Hour)
		}
		w.guard(ModeDryRun, "clean_temp", budget(1, 24*time.Hour), nil, nil)
		run()
		run()
		w.guard(ModeEnforce, "clean_temp", budget(1, 24*time.Hour), nil, nil)
		w.temp.will(nothingToDo)
		run()
		run()
		w.temp.will(nil)
		if _, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: "clean_temp"}); err != nil {
			t.Fatal(err)
		}
		w.finished()
		passes(time.Hour)
		if got := w.remaining(); got != 1 {
			t.Fatalf("%v remain", got)
		}
		run()
		if got := w.remaining(); got != 0 {
			t.Errorf("%v remain after one that acted", got)
		}
		if _, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: "clean_temp"}); err != nil {
			t.Errorf("a person is held back: %v", err)
		}
		w.finished()
	})
}

// TestBudgetIsWrittenFirst: a crash at any moment of a run gives nothing back, and without the journal nothing runs.
func TestBudgetIsWrittenFirst(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.guard(ModeEnforce, "clean_temp", budget(1, 24*time.Hour), nil, nil)
		w.journal.putErr = errDisk
		out, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerWebhook, Alerts: []alert.Alert{w.firing("svc", "clean_temp", warning)}})
		if err == nil || out[0].Disposition != alert.Refused {
			t.Errorf("%+v, %v", out, err)
		}
		if got := w.remaining(); got != 1 || len(w.temp.calls()) != 0 {
			t.Errorf("%v remain after a run that was refused", got)
		}
		w.journal.putErr = nil
		w.one(w.firing("svc", "clean_temp", warning))
		// What another process would find at this moment.
		other := New(Options{Journal: w.journal, Observer: w.observer, Logger: w.d.log})
		defer other.cancel()
		other.Apply(w.targets)
		if s := other.Status().Budgets; len(s) != 1 || s[0].Remaining != 0 {
			t.Errorf("after a crash: %+v", s)
		}
		w.finished()
		w.end()
		w.start(Options{})
		passes(time.Hour)
		if d := w.one(w.firing("svc", "clean_temp", emergency)); d.Disposition != alert.NeedsHuman {
			t.Errorf("after a restart: %+v", d)
		}
	})
}

// TestBudgetHoldsWhatGoesAgain: the repeat for an alert that still fires counts, and ends with a plea.
func TestBudgetHoldsWhatGoesAgain(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.guard(ModeEnforce, "relieve_memory", budget(3, 24*time.Hour), nil, Playbooks{"relieve_memory": {{Do: action.NameCollectGarbage}}})
		a := w.firing("svc", "relieve_memory", critical)
		for range 10 * 60 {
			if _, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerStandalone, Alerts: []alert.Alert{a}}); err != nil {
				t.Fatal(err)
			}
			passes(time.Minute)
		}
		w.finished()
		if n := len(w.gc.calls()); n != 3 {
			t.Errorf("acted %d times, want 3", n)
		}
		if got := w.counter("spillway_playbook_runs_total", map[string]string{"outcome": OutcomeNeedsHuman}); got != 1 {
			t.Errorf("%v pleas", got)
		}
	})
}

// TestBudgetAndClockThatWasSetBack: it does not prolong what a budget counts.
func TestBudgetAndClockThatWasSetBack(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	s := &playbookState{used: []time.Time{now.Add(1000 * time.Hour)}}
	b := Budget{1, units.Duration(time.Hour)}
	s.clamp(now)
	if s.remaining(b, now) != 0 || s.remaining(b, now.Add(time.Hour)) != 1 {
		t.Errorf("%d, then %d remain", s.remaining(b, now), s.remaining(b, now.Add(time.Hour)))
	}
}

// TestWindow: a playbook, and a step of one, run only while their window is open, and by themselves once it is.
func TestWindow(t *testing.T) {
	// The bubble begins at midnight UTC.
	windows := window.Windows{"noon": {{Times: []window.Range{{Start: "12:00", End: "14:00"}}}}}
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.guard(ModeEnforce, "clean_temp", Guard{WhenOpen: "noon"}, windows, nil)
		if d := w.one(w.firing("svc", "clean_temp", emergency)); d.Disposition != alert.Closed {
			t.Errorf("at midnight: %+v", d)
		}
		if _, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: "clean_temp", DryRun: new(true)}); err != nil {
			t.Errorf("a person: %v", err)
		}
		passes(12 * time.Hour)
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Accepted {
			t.Errorf("at noon: %+v", d)
		}
		w.finished()
	})
	steps := Playbooks{"mine": {{Do: action.NameCleanTemp}, {Do: action.NameEvictCache, WhenOpen: "noon"}, {Do: action.NameCollectGarbage, WhenOpen: "not noon", When: levels(critical)}}}
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.guard(ModeEnforce, "x", Guard{}, windows, steps)
		for _, want := range [][3]int{{1, 0, 1}, {2, 1, 1}} {
			if d := w.one(w.firing("svc", "mine", critical)); d.Disposition != alert.Accepted {
				t.Errorf("%+v", d)
			}
			w.finished()
			if got := [3]int{len(w.temp.calls()), len(w.cache.calls()), len(w.gc.calls())}; got != want {
				t.Errorf("calls %v, want %v", got, want)
			}
			passes(12 * time.Hour)
		}
		if w.counter("spillway_action_skips_total", map[string]string{"reason": SkipWindow, "action": action.NameEvictCache}) != 1 {
			t.Error("not counted")
		}
	})
	bubble(t, Options{}, func(t *testing.T, w *world) { // all steps for the level are closed
		w.guard(ModeEnforce, "x", Guard{}, windows, Playbooks{"mine": {{Do: action.NameCleanTemp, WhenOpen: "noon"}, {Do: action.NameEvictCache, When: levels(critical)}}})
		if d := w.one(w.firing("svc", "mine", warning)); d.Disposition != alert.Closed {
			t.Errorf("%+v", d)
		}
	})
}

// TestExitIsGuarded: what begins at the end of a process is held by its window and its budget.
func TestExitIsGuarded(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.guard(ModeEnforce, PlaybookOnExit, budget(1, 24*time.Hour), nil, nil)
		exit := func() error {
			_, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: PlaybookOnExit, Trigger: alert.TriggerExit})
			w.finished()
			passes(time.Hour)
			return err
		}
		if err := exit(); err != nil {
			t.Fatal(err)
		}
		if err := exit(); err == nil || len(w.temp.calls()) != 1 {
			t.Errorf("the second: %v, acted %d times", err, len(w.temp.calls()))
		}
	})
}

// TestGuardsOfRunThatWaits: one that waits does not begin while its target is paused or its window closed, and what it does
// counts; without a budget it is given up.
func TestGuardsOfRunThatWaits(t *testing.T) {
	// The bubble begins at midnight UTC, and the first run is due again a minute later.
	for _, tt := range []struct {
		name  string
		guard Guard
		after time.Duration // that the run goes on
		left  float64
		needs float64
	}{
		{"budget", budget(2, 24*time.Hour), time.Minute, 1, 0},
		{"window", Guard{WhenOpen: "minute"}, 10 * time.Minute, 0, 0},
		{"used up meanwhile", budget(1, 24*time.Hour), 0, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t, func(t *testing.T, w *world) {
				windows := window.Windows{"minute": {{Times: []window.Range{{Start: "00:00", End: "00:01"}, {Start: "00:10", End: "00:20"}}}}}
				w.guard(ModeEnforce, "trim_cache", tt.guard, windows, nil)
				start := time.Now()
				w.one(w.firing("svc", "trim_cache", warning))
				w.finished()
				if tt.needs > 0 { // by a run of another process, as it were
					w.d.mu.Lock()
					s := w.d.playbooks[playbookKey{"svc", "trim_cache"}]
					s.used = append(s.used, time.Now())
					w.d.mu.Unlock()
				}
				first := len(w.cache.calls())
				var went time.Duration
				w.cache.will(func(context.Context, action.Request) (action.Result, error) {
					went = time.Since(start)
					w.observer.set("svc", subject.Cache, .10)
					return action.Result{Outcome: action.Done, Files: 1, Policies: []action.PolicyResult{{Files: 1}}}, nil
				})
				passes(30 * time.Minute)
				w.finished()
				if went.Truncate(time.Minute) != tt.after || (len(w.cache.calls()) > first) != (tt.after > 0) {
					t.Errorf("it went on after %s, want %s", went, tt.after)
				}
				if got := w.remaining(); got != tt.left {
					t.Errorf("%v remain, want %v", got, tt.left)
				}
				if got := w.counter("spillway_playbook_runs_total", map[string]string{"outcome": OutcomeNeedsHuman}); got != tt.needs {
					t.Errorf("%v pleas, want %v", got, tt.needs)
				}
			})
		})
	}
}
