package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// nothingToDo is an action that looks at its policies and removes nothing.
func nothingToDo(context.Context, action.Request) (action.Result, error) {
	return action.Result{Outcome: action.Done, Policies: []action.PolicyResult{{Policy: "tts"}}}, nil
}

// A run that did nothing changes no cooldown: the one that held goes on holding until the same
// moment, and an emergency may still break it.
func TestRunThatDidNothingKeepsTheCooldown(t *testing.T) {
	breakIt := func(t *testing.T, w *world, outcome string) {
		t.Helper()
		d := w.one(w.firing("svc", "relieve_memory", emergency))
		if d.Disposition != alert.Accepted {
			t.Fatalf("the emergency: %+v", d)
		}
		w.finished()
		if r := w.run(d.RunID); r.Outcome != outcome {
			t.Fatalf("the run is %+v, want outcome %s", r, outcome)
		}
	}
	manual := func(t *testing.T, w *world) {
		t.Helper()
		if _, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: "relieve_memory"}); err != nil {
			t.Fatal(err)
		}
		w.finished()
	}
	tests := []struct {
		name string
		run  func(t *testing.T, w *world)
	}{
		{"falling", func(t *testing.T, w *world) {
			w.observer.set("svc", subject.Memory, .98)
			w.observer.set("svc", subject.Memory, .75)
			breakIt(t, w, OutcomeFalling)
		}},
		{"interrupted before its first step", func(t *testing.T, w *world) {
			release := make(chan struct{})
			w.cache.do = func(context.Context, action.Request) (action.Result, error) {
				<-release
				return action.Result{Outcome: action.Done}, nil
			}
			w.one(w.firing("svc", "trim_cache", warning))
			w.settled()
			w.one(w.firing("svc", "relieve_memory", emergency))
			drained := make(chan error)
			go func() { drained <- w.d.Drain(t.Context()) }()
			w.settled()
			close(release)
			if err := <-drained; err != nil {
				t.Error(err)
			}
			w.end()
			w.cache.do = nil
			w.start(Options{})
		}},
		{"a dry run", func(t *testing.T, w *world) {
			w.d.Apply(map[string]Target{"svc": w.target("svc", ModeDryRun, nil)})
			breakIt(t, w, string(action.DryRun))
			w.d.Apply(w.targets)
		}},
		{"turned into a dry run by a reload", func(t *testing.T, w *world) {
			release := make(chan struct{})
			w.cache.do = func(_ context.Context, req action.Request) (action.Result, error) {
				<-release
				if req.DryRun {
					return action.Result{Outcome: action.DryRun}, nil
				}
				return action.Result{Outcome: action.Done}, nil
			}
			w.one(w.firing("svc", "trim_cache", warning))
			w.settled()
			d := w.one(w.firing("svc", "relieve_memory", emergency))
			w.d.Apply(map[string]Target{"svc": w.target("svc", ModeDryRun, nil)})
			close(release)
			w.finished()
			if r := w.run(d.RunID); r.Outcome != string(action.DryRun) {
				t.Fatalf("the run is %+v", r)
			}
			w.cache.do = nil
			w.d.Apply(w.targets)
		}},
		{"its intent was refused", func(t *testing.T, w *world) {
			w.journal.fail(errDisk)
			a := w.firing("svc", "relieve_memory", emergency)
			if _, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerWebhook, Alerts: []alert.Alert{a}}); !errors.Is(err, ErrJournal) {
				t.Fatalf("Submit: %v", err)
			}
			w.journal.fail(nil)
		}},
		{"the intent of its first step was refused", func(t *testing.T, w *world) {
			w.journal.failSteps(errDisk)
			breakIt(t, w, string(action.Failed))
			w.journal.failSteps(nil)
		}},
		{"its target has gone", func(t *testing.T, w *world) {
			w.observer.set("svc", subject.Memory, .96)
			w.d.Apply(map[string]Target{"svc": {Name: "svc", Mode: ModeEnforce, Playbooks: w.targets["svc"].Playbooks}})
			breakIt(t, w, string(action.Failed))
			w.d.Apply(w.targets)
		}},
		{"a person's run without a journal", func(t *testing.T, w *world) {
			w.journal.failSteps(errDisk)
			manual(t, w)
			w.journal.failSteps(nil)
		}},
		{"a person's run that found nothing to do", func(t *testing.T, w *world) {
			w.observer.set("svc", subject.Memory, .50) // no pressure: it is not verified
			w.temp.do, w.cache.do, w.gc.do = nothingToDo, nothingToDo, nothingToDo
			manual(t, w)
			w.temp.do, w.cache.do, w.gc.do = nil, nil, nil
		}},
		{"a person's dry run", func(t *testing.T, w *world) {
			w.d.Apply(map[string]Target{"svc": w.target("svc", ModeDryRun, nil)})
			manual(t, w)
			w.d.Apply(w.targets)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, w *world) {
				served := w.firing("svc", "relieve_memory", critical)
				first := w.one(served)
				w.finished() // ineffective: 10 minutes
				until := w.cooldownUntil("relieve_memory")
				if time.Until(until) < 9*time.Minute {
					t.Fatalf("the cooldown holds until %s only", until)
				}
				<-time.After(time.Minute)
				tt.run(t, w)
				if got := w.cooldownUntil("relieve_memory"); !got.Equal(until) {
					t.Errorf("the cooldown holds until %s, want %s as before", got, until)
				}
				w.observer.set("svc", subject.Memory, .96)
				if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Cooldown || d.RunID != first.RunID {
					t.Errorf("another alert: %+v, want it held by the cooldown of run %s", d, first.RunID)
				}
				if d := w.one(served); tt.name != "interrupted before its first step" && d.Disposition != alert.Duplicate {
					t.Errorf("the alert that the first run served: %+v", d)
				}
				// The break was not consumed; then it is.
				if d := w.one(w.firing("svc", "relieve_memory", emergency)); d.Disposition != alert.Accepted {
					t.Errorf("an emergency: %+v", d)
				}
				w.finished()
				if d := w.one(w.firing("svc", "relieve_memory", emergency)); d.Disposition != alert.Cooldown {
					t.Errorf("the second emergency: %+v", d)
				}
			})
		})
	}
}

// A run that did nothing does not set the doubling of an ineffective playbook back.
func TestSkippedRunKeepsTheDoubling(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.targets["svc"] = w.target("svc", ModeEnforce, Playbooks{"relieve_memory": {
			{Do: action.NameCleanTemp, Cooldown: units.Duration(time.Minute), When: levels(critical)}, {Do: action.NameCollectGarbage, Cooldown: units.Duration(time.Hour)},
		}})
		w.d.Apply(w.targets)
		f := func(ratio float64, outcome string, rest time.Duration) {
			t.Helper()
			w.observer.set("svc", subject.Memory, ratio)
			level := warning
			if ratio > .85 {
				level = critical
			}
			d := w.one(w.firing("svc", "relieve_memory", level))
			w.finished()
			if r := w.run(d.RunID); r.Outcome != outcome {
				t.Fatalf("the run is %+v, want outcome %s", r, outcome)
			}
			until := w.cooldownUntil("relieve_memory")
			if rest == 0 && !until.IsZero() || rest > 0 && time.Until(until).Round(10*time.Second) != rest {
				t.Errorf("after %s it rests until %s, want %s", outcome, until, rest)
			}
			<-time.After(max(rest, time.Minute) + time.Second)
		}
		f(.90, OutcomeIneffective, 2*time.Minute)
		f(.78, OutcomeSkipped, 0)
		f(.90, OutcomeIneffective, 4*time.Minute)
	})
}

// What a dry run would have done holds no real run back once the mode is enforce: neither the
// playbook nor a step with a cooldown of its own.
func TestDryRunHoldsOnlyDryRuns(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		p := Playbooks{"clean_temp": {{Do: action.NameCleanTemp, Cooldown: units.Duration(time.Hour)}}}
		w.d.Apply(map[string]Target{"svc": w.target("svc", ModeDryRun, p)})
		a := w.firing("svc", "clean_temp", warning)
		w.one(a)
		w.finished()
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Cooldown {
			t.Errorf("another alert in mode dry_run: %+v", d)
		}
		w.end()
		w.start(Options{})
		w.d.Apply(map[string]Target{"svc": w.target("svc", ModeDryRun, p)})
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Cooldown {
			t.Errorf("after a restart: %+v", d)
		}
		w.d.Apply(map[string]Target{"svc": w.target("svc", ModeEnforce, p)})
		d := w.one(a)
		if d.Disposition != alert.Accepted {
			t.Fatalf("in mode enforce: %+v", d)
		}
		w.finished()
		if r := w.run(d.RunID); r.Outcome != string(action.Done) || r.Mode != ModeEnforce {
			t.Errorf("the run is %+v", r)
		}
		// The cooldown of a run that acted holds dry runs too.
		w.d.Apply(map[string]Target{"svc": w.target("svc", ModeDryRun, p)})
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Cooldown {
			t.Errorf("back in mode dry_run: %+v", d)
		}
	})
}

func TestIneffectiveDoublesTheCooldown(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		want := []time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour}
		for i, rest := range want {
			d := w.one(w.firing("svc", "relieve_memory", critical))
			if d.Disposition != alert.Accepted {
				t.Fatalf("round %d: %+v", i, d)
			}
			w.finished()
			if r := w.run(d.RunID); r.Outcome != OutcomeIneffective {
				t.Fatalf("round %d: outcome %s", i, r.Outcome)
			}
			<-time.After(rest - time.Minute)
			if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Cooldown || d.RunID == "" {
				t.Errorf("round %d: a minute before its end: %+v", i, d)
			}
			<-time.After(2 * time.Minute)
		}
		w.gc.do = relieves(w, .5)
		w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		w.observer.set("svc", subject.Memory, .9)
		<-time.After(5*time.Minute + time.Second)
		if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Accepted {
			t.Errorf("5 minutes after a run that helped: %+v", d)
		}
		if !strings.Contains(w.log.String(), `level=WARN msg="memory after relief" target=svc used=90% outcome=ineffective`) {
			t.Error("the log does not warn")
		}
	})
}

func TestEmergencyBreaksACooldownOnce(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		f := func(level series.Level, want string) {
			t.Helper()
			if d := w.one(w.firing("svc", "relieve_memory", level)); d.Disposition != want {
				t.Errorf("at %s: %+v, want %s", level, d, want)
			}
			w.finished()
		}
		f(critical, alert.Accepted)
		f(critical, alert.Cooldown)
		f(emergency, alert.Accepted) // breaks it
		f(emergency, alert.Cooldown) // not twice
		<-time.After(time.Hour + time.Minute)
		f(emergency, alert.Accepted)
		f(emergency, alert.Accepted) // a new cooldown can be broken again
		f(emergency, alert.Cooldown)
	})
}

// TestHeldBackIsLogged: the log says once why nothing begins, and until when, however often the alert is repeated.
func TestHeldBackIsLogged(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		lines := func(want int) {
			t.Helper()
			if n := strings.Count(w.log.String(), `level=INFO msg="nothing begins for an alert" target=svc playbook=relieve_memory`); n != want {
				t.Errorf("%d lines, want %d: %s", n, want, w.log)
			}
		}
		lines(0)
		for range 3 {
			w.one(w.firing("svc", "relieve_memory", critical))
		}
		lines(1)
		<-time.After(time.Hour + time.Minute)
		w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		w.one(w.firing("svc", "relieve_memory", critical))
		lines(2)
	})
}

// TestHeldBackIsSaidAnew: a closed window has the same words each night, and is said each night that follows a run.
func TestHeldBackIsSaidAnew(t *testing.T) {
	var h heldBack
	key, closed := playbookKey{"svc", "restore"}, &verdict{disposition: alert.Closed, reason: "restore runs only while the window \"night\" is open"}
	if !h.first(key, closed) || h.first(key, closed) {
		t.Error("a window that is closed is not said once")
	}
	h.forget(key)
	if !h.first(key, closed) {
		t.Error("after a run it is not said anew")
	}
	for i := range 3 * maxHeldBack {
		h.first(key, &verdict{disposition: alert.Cooldown, reason: fmt.Sprint(i)})
	}
	if n := len(h.said[key]); n != maxHeldBack {
		t.Errorf("%d reasons are remembered, want %d", n, maxHeldBack)
	}
	if h.first(key, &verdict{disposition: alert.Duplicate, reason: "x"}) {
		t.Error("a duplicate is held back by nothing")
	}
}

func TestStepCooldown(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.targets["svc"] = w.target("svc", ModeEnforce, Playbooks{"relieve_memory": {
			{Do: action.NameCleanTemp, Cooldown: units.Duration(time.Minute)}, {Do: action.NameCollectGarbage, Cooldown: units.Duration(time.Hour)},
		}})
		w.d.Apply(w.targets)
		first := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		<-time.After(3 * time.Minute) // the playbook rests for a minute, twice that as it was ineffective
		second := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		if diff := cmp.Diff([]string{"1 clean_temp done", "2 collect_garbage done"}, w.steps(first.RunID)); diff != "" {
			t.Errorf("first run (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"1 clean_temp done"}, w.steps(second.RunID)); diff != "" {
			t.Errorf("second run (-want +got):\n%s", diff)
		}
		if r := w.run(second.RunID); !strings.Contains(r.Detail, "its cooldown holds until") {
			t.Errorf("detail %q", r.Detail)
		}
		if got := w.counter("spillway_action_skips_total", map[string]string{"action": "collect_garbage", "reason": "cooldown"}); got != 1 {
			t.Errorf("skips for the cooldown: %v", got)
		}
	})
}

func TestCooldownOutlivesReloadAndRestart(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		first := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished() // ineffective: 10 minutes
		w.d.Apply(w.targets)
		if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Cooldown {
			t.Errorf("after a reload: %+v", d)
		}
		w.end()
		<-time.After(9 * time.Minute)
		w.start(Options{})
		d := w.one(w.firing("svc", "relieve_memory", critical))
		if d.Disposition != alert.Cooldown || d.RunID != first.RunID {
			t.Errorf("after a restart: %+v", d)
		}
		s := w.d.Status()
		if len(s.Playbooks) != 1 || s.Playbooks[0].LastOutcome != OutcomeIneffective || s.Playbooks[0].CooldownUntil.IsZero() {
			t.Errorf("status %+v", s)
		}
		<-time.After(2 * time.Minute)
		if !w.d.Status().Playbooks[0].CooldownUntil.IsZero() {
			t.Error("the status shows a cooldown that is over")
		}
		second := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		if second.Disposition != alert.Accepted {
			t.Fatalf("after the cooldown: %+v", second)
		}
		<-time.After(19 * time.Minute)
		if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Cooldown {
			t.Errorf("the doubling did not outlive the restart: %+v", d)
		}
	})
}

// A clock that was wrong before a restart does not hold a remedy back for longer than it rests.
func TestCooldownFromTheFuture(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.end()
		state := fmt.Sprintf(`{"until":%q,"rest":%d,"last_run":"x","last_end":%q}`,
			time.Now().Add(1000*time.Hour).Format(time.RFC3339), 5*time.Minute, time.Now().Format(time.RFC3339))
		for key, value := range map[string]string{"cooldown/svc/clean_temp": state, "cooldown/svc/trim_cache": "garbage", "cooldown/odd": "{}"} {
			if err := w.journal.PutState(t.Context(), key, []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		w.start(Options{})
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Cooldown {
			t.Errorf("at once: %+v", d)
		}
		if d := w.one(w.firing("svc", "trim_cache", warning)); d.Disposition != alert.Accepted {
			t.Errorf("with a damaged state: %+v", d)
		}
		<-time.After(6 * time.Minute)
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Accepted {
			t.Errorf("after its rest: %+v", d)
		}
		w.finished()
	})
}

func TestInterruptedByTheLastStart(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.end()
		w.journal.interrupted = []journal.Record{
			{RunID: "1", Target: "svc", Playbook: "clean_temp", Trigger: "webhook"},
			{RunID: "1", Target: "svc", Playbook: "clean_temp", Trigger: "webhook", Step: 1, Action: action.NameCleanTemp},
		}
		w.start(Options{})
		if got := w.counter("spillway_playbook_runs_total", map[string]string{"outcome": "interrupted"}); got != 1 {
			t.Errorf("%v runs are counted as interrupted, want 1", got)
		}
		if n := strings.Count(w.log.String(), "interrupted by the end of the previous process"); n != 2 {
			t.Errorf("%d lines in the log, want one for each record", n)
		}
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Accepted {
			t.Errorf("the alert is repeated: %+v", d)
		}
		w.finished()
	})
}
