package dispatch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
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
			w.observer.set("svc", SubjectMemory, .98)
			w.observer.set("svc", SubjectMemory, .75)
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
			w.observer.set("svc", SubjectMemory, .96)
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
			w.observer.set("svc", SubjectMemory, .50) // no pressure: it is not verified
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
				if until.Sub(time.Now()) < 9*time.Minute {
					t.Fatalf("the cooldown holds until %s only", until)
				}
				time.Sleep(time.Minute)
				tt.run(t, w)
				if got := w.cooldownUntil("relieve_memory"); !got.Equal(until) {
					t.Errorf("the cooldown holds until %s, want %s as before", got, until)
				}
				w.observer.set("svc", SubjectMemory, .96)
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
			{Do: ActionCleanTemp, Cooldown: units.Duration(time.Minute), When: levels(critical)}, {Do: ActionCollectGarbage, Cooldown: units.Duration(time.Hour)},
		}})
		w.d.Apply(w.targets)
		f := func(ratio float64, outcome string, rest time.Duration) {
			t.Helper()
			w.observer.set("svc", SubjectMemory, ratio)
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
			time.Sleep(max(rest, time.Minute) + time.Second)
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
		p := Playbooks{"clean_temp": {{Do: ActionCleanTemp, Cooldown: units.Duration(time.Hour)}}}
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
