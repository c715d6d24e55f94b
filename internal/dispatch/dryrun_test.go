package dispatch

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// A dry run goes through all steps and verifies nothing.
func TestDryRun(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.targets["svc"] = w.target("svc", ModeDryRun, nil)
		w.d.Apply(w.targets)
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.settled() // no time passes
		r := w.run(d.RunID)
		if r.Outcome != "dry_run" || r.Mode != ModeDryRun {
			t.Errorf("the run is %+v", r)
		}
		if diff := cmp.Diff([]string{"1 clean_temp dry_run", "2 evict_cache dry_run", "3 collect_garbage dry_run"}, w.steps(d.RunID)); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if got := w.counter("spillway_action_removed_files_total", nil); got != 0 {
			t.Errorf("a dry run counts %v removed files", got)
		}
		if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Cooldown {
			t.Errorf("a dry run does not rest: %+v", d)
		}
	})
}

// Without a durable journal a target that enforces gets dry runs.
func TestVolatileJournalNeverEnforces(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.journal.volatile = true
		d := w.one(w.firing("svc", "clean_temp", critical))
		w.finished()
		if r := w.run(d.RunID); r.Mode != ModeDryRun || !w.temp.calls()[0].DryRun {
			t.Errorf("the run is %+v", r)
		}
		if _, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Action: action.NameCleanTemp, DryRun: new(bool)}); !errors.Is(err, ErrNotEnforced) {
			t.Errorf("a manual run for real: %v", err)
		}
	})
}

// Whatever is asked and however the mode changes meanwhile, an action is asked to act for real
// only when the target's mode was enforce, both when the run was accepted and when it acts.
func TestDryRunTargetNeverActs(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		var mode string
		var mu sync.Mutex
		set := func(m string) {
			mu.Lock()
			defer mu.Unlock()
			mode = m
			w.d.Apply(map[string]Target{"svc": w.target("svc", m, nil)})
		}
		check := func(_ context.Context, req action.Request) (action.Result, error) {
			mu.Lock()
			now := mode
			mu.Unlock()
			if !req.DryRun && now != ModeEnforce {
				t.Errorf("%s is asked to act for real in mode %q", req.RunID, now)
			}
			// The mode changes while the playbook is at work.
			if now == ModeEnforce {
				set(ModeDryRun)
			} else {
				set("")
			}
			return action.Result{Outcome: action.Done}, nil
		}
		w.temp.do, w.cache.do, w.gc.do = check, check, check
		yes, no := true, false
		real := 0
		for _, m := range []string{ModeDryRun, ModeEnforce, "", "ENFORCE", "enforced"} {
			for _, dry := range []*bool{nil, &yes, &no} {
				for name := range w.target("svc", m, nil).Playbooks {
					set(m)
					_, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: name, DryRun: dry, Force: true})
					if dry == &no && m != ModeEnforce && !errors.Is(err, ErrNotEnforced) {
						t.Errorf("mode %q: a run for real is not refused: %v", m, err)
					}
					if dry == &no && m == ModeEnforce {
						real++
					}
					w.finished()
					set(m)
					a := w.firing("svc", name, emergency)
					if _, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerWebhook, Alerts: []alert.Alert{a}}); err != nil {
						t.Error(err)
					}
					w.finished()
					<-time.After(2 * time.Hour)
				}
			}
		}
		acted := 0
		for _, a := range []*fakeAction{w.temp, w.cache, w.gc} {
			for _, req := range a.calls() {
				if !req.DryRun {
					acted++
				}
			}
		}
		if acted < real {
			t.Errorf("only %d calls for real: the test shows nothing", acted)
		}
	})
}
