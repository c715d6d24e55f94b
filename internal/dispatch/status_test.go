package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
)

func TestStatusOfOpenRuns(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.temp.do = func(_ context.Context, req action.Request) (action.Result, error) {
			req.Progress(action.PolicyResult{Policy: "tts", Files: 7, FreedBytes: 4096})
			<-release
			return action.Result{Outcome: action.Done, Files: 7, FreedBytes: 4096}, nil
		}
		begin := time.Now()
		first := w.one(w.firing("svc", "relieve_memory", critical))
		w.settled()
		yes := true
		second, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: "trim_cache", DryRun: &yes})
		if err != nil {
			t.Fatal(err)
		}
		w.one(w.firing("svc", "relieve_memory", emergency)) // joins
		want := []OpenRun{
			{
				ID: first.RunID, Target: "svc", Playbook: "relieve_memory", Mode: ModeEnforce, Trigger: "webhook", Alert: "A", Alerts: 2,
				Level: "emergency", State: StateRunning, Step: 1, Steps: 3, Action: action.NameCleanTemp, Files: 7, Bytes: 4096, Since: begin,
			},
			{
				ID: second, Target: "svc", Playbook: "trim_cache", Mode: ModeDryRun, Trigger: "manual", Level: "normal",
				State: StateQueued, WaitsFor: "relieve_memory", Steps: 1, Since: begin,
			},
		}
		if diff := cmp.Diff(want, w.d.Status().Open); diff != "" {
			t.Errorf("open runs (-want +got):\n%s", diff)
		}
		close(release)
		w.finished()
	})
}

// A run that was accepted to enforce is shown as a dry run as soon as it is one.
func TestStatusShowsTheModeOfTheStep(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			<-release
			return action.Result{Outcome: action.Done, Files: 1}, nil
		}
		w.cache.do = func(_ context.Context, req action.Request) (action.Result, error) {
			if got := w.d.Status().Open[0].Mode; !req.DryRun || got != ModeDryRun {
				t.Errorf("in the second step: mode %s, dry run %v", got, req.DryRun)
			}
			return action.Result{Outcome: action.DryRun}, nil
		}
		w.one(w.firing("svc", "relieve_memory", critical))
		w.settled()
		w.d.Apply(map[string]Target{"svc": w.target("svc", ModeDryRun, nil)})
		if got := w.d.Status().Open[0].Mode; got != ModeEnforce {
			t.Errorf("mode %s while the step that began to enforce is at work", got)
		}
		close(release)
		w.finished()
		if n := len(w.cache.calls()); n != 1 {
			t.Errorf("the second step ran %d times", n)
		}
	})
}

// The status names the cooldown that holds in the present mode, and the run that began it.
func TestStatusOfCooldowns(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		check := func(mode string, until time.Duration, cooldownMode, outcome, run string, broken bool) {
			t.Helper()
			w.d.Apply(map[string]Target{"svc": w.target("svc", mode, nil)})
			p := w.d.Status().Playbooks
			if len(p) != 1 {
				t.Fatalf("playbooks %+v", p)
			}
			left := time.Duration(0)
			if !p[0].CooldownUntil.IsZero() {
				left = p[0].CooldownUntil.Sub(p[0].LastEnd)
			}
			if left != until || p[0].CooldownMode != cooldownMode || p[0].LastOutcome != outcome || p[0].LastRun != run || p[0].Broken != broken {
				t.Errorf("in mode %s: %+v, it rests %s", mode, p[0], left)
			}
		}
		w.d.Apply(map[string]Target{"svc": w.target("svc", ModeDryRun, nil)})
		dry := w.one(w.firing("svc", "relieve_memory", critical)).RunID
		w.finished()
		check(ModeDryRun, 5*time.Minute, ModeDryRun, "dry_run", dry, false)
		check(ModeEnforce, 0, "", "dry_run", dry, false)
		acted := w.one(w.firing("svc", "relieve_memory", critical)).RunID
		w.finished()
		check(ModeEnforce, 10*time.Minute, ModeEnforce, OutcomeIneffective, acted, false)
		check(ModeDryRun, 10*time.Minute, ModeEnforce, OutcomeIneffective, acted, false)
		w.d.Apply(map[string]Target{"svc": w.target("svc", ModeEnforce, nil)})
		again := w.one(w.firing("svc", "relieve_memory", emergency)).RunID
		w.finished()
		check(ModeEnforce, 20*time.Minute, ModeEnforce, OutcomeIneffective, again, true)
	})
}
