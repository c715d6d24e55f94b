package dispatch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// A clock that is set back prolongs nothing that comes from the journal or from files beyond what it can last.
func TestClockSetBack(t *testing.T) {
	var offset time.Duration
	now := func() time.Time { return time.Now().Round(0).Add(offset) }
	t.Run("cooldown", func(t *testing.T) {
		offset = 0
		bubble(t, Options{Now: now}, func(t *testing.T, w *world) {
			w.targets["svc"] = w.target("svc", ModeEnforce, Playbooks{"mine": {
				{Do: action.NameCleanTemp, Cooldown: units.Duration(time.Minute), Verify: Verify{After: 1}},
				{Do: action.NameCollectGarbage, Cooldown: units.Duration(10 * time.Minute), Verify: Verify{After: 1}},
			}})
			w.d.Apply(w.targets)
			w.one(w.firing("svc", "mine", critical))
			w.finished()
			offset = -48 * time.Hour
			if d := w.one(w.firing("svc", "mine", critical)); d.Disposition != alert.Cooldown {
				t.Errorf("at once: %+v", d)
			}
			<-time.After(11 * time.Minute)
			d := w.one(w.firing("svc", "mine", critical))
			if d.Disposition != alert.Accepted {
				t.Fatalf("after the cooldown: %+v", d)
			}
			w.finished()
			if diff := cmp.Diff([]string{"1 clean_temp done", "2 collect_garbage done"}, w.steps(d.RunID)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	})
	for _, denied := range []bool{false, true} {
		t.Run(fmt.Sprintf("proposal, denied %v", denied), func(t *testing.T) {
			offset = 0
			process := "7/1"
			bubble(t, Options{Now: now}, func(t *testing.T, w *world) {
				w.proposes(&process, nil)
				p := w.proposal(w.firing("svc", "relieve_memory", critical))
				if denied {
					if err := w.d.Deny(t.Context(), p.ID, "anna"); err != nil {
						t.Fatal(err)
					}
				}
				w.end()
				offset = -48 * time.Hour
				w.start(Options{Now: now})
				if got := w.d.Status().Proposals; !denied && (len(got) != 1 || got[0].Until.After(now().Add(proposalValid))) {
					t.Errorf("now is %s: %+v", now(), got)
				}
				<-time.After(proposalValid + 2*againLook)
				w.settled()
				if states, err := w.journal.States(proposalPrefix); err != nil || len(states) != 0 {
					t.Errorf("a day later: %v, %v", states, err)
				}
				if _, err := w.d.Approve(t.Context(), p.ID, "anna"); !errors.Is(err, ErrNoProposal) || acted(w.temp) != 0 {
					t.Errorf("a day later it can be approved: %v", err)
				}
			})
		})
	}
	t.Run("wait", func(t *testing.T) {
		offset = 0
		bubble(t, Options{Now: now}, func(t *testing.T, w *world) {
			w.temp.will(func(context.Context, action.Request) (action.Result, error) {
				out := action.Result{Outcome: action.Done, DueAt: now().Add(30 * time.Second)}
				out.Policies = []action.PolicyResult{{Policy: "tts", DueAt: out.DueAt}}
				return out, nil
			})
			w.one(w.firing("svc", "clean_temp", warning))
			w.finished()
			offset = -48 * time.Hour
			<-time.After(2 * time.Minute) // the dispatcher looks each minute
			if until := w.waitsUntil("clean_temp"); until.IsZero() || until.After(now().Add(longestWait)) {
				t.Errorf("the run waits until %s, now is %s", until, now())
			}
		})
	})
}

// The cooldown of a step that is longer than that of its playbook outlives reloads without the playbook.
func TestStepCooldownOutlivesReloads(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		with := w.target("svc", ModeEnforce, Playbooks{"mine": {
			{Do: action.NameCleanTemp, Cooldown: units.Duration(time.Minute)}, {Do: action.NameCollectGarbage, Cooldown: units.Duration(time.Hour)},
		}})
		w.d.Apply(map[string]Target{"svc": with})
		w.one(w.firing("svc", "mine", critical))
		w.finished()
		<-time.After(5 * time.Minute)
		w.d.Apply(nil)
		w.d.Apply(map[string]Target{"svc": with})
		second := w.one(w.firing("svc", "mine", critical))
		w.finished()
		if diff := cmp.Diff([]string{"1 clean_temp done"}, w.steps(second.RunID)); diff != "" {
			t.Errorf("second run (-want +got):\n%s", diff)
		}
	})
}
