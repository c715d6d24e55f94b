package dispatch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// TestEvidenceDoesNotHoldReliefBack: whatever a capture comes to, the collection follows at once, and the run ends as
// it would without.
func TestEvidenceDoesNotHoldReliefBack(t *testing.T) {
	f := func(name, want string, do func(context.Context, action.Request) (action.Result, error)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, w *world) {
				capture := &fakeAction{do: do}
				target := w.target("svc", ModeEnforce, nil)
				target.Actions = map[string]action.Action{action.NameCaptureEvidence: capture, action.NameCollectGarbage: w.gc}
				target.Playbooks = Playbooks{}.Build(func(a string) bool { return target.Actions[a] != nil }, nil)
				w.targets["svc"] = target
				w.d.Apply(w.targets)
				w.gc.do = relieves(w, .5)
				begin := time.Now()
				d := w.one(w.firing("svc", "relieve_memory", critical))
				synctest.Wait()
				if len(w.gc.calls()) != 1 || time.Since(begin) != 0 {
					t.Errorf("the collection waited: %d calls", len(w.gc.calls()))
				}
				w.finished()
				if diff := cmp.Diff([]string{"1 capture_evidence " + want, "2 collect_garbage done"}, w.steps(d.RunID)); diff != "" {
					t.Errorf("steps (-want +got):\n%s", diff)
				}
				if r := w.run(d.RunID); r.Outcome != OutcomeRelieved {
					t.Errorf("the run ended %s", r.Outcome)
				}
			})
		})
	}
	f("captured", "done", func(context.Context, action.Request) (action.Result, error) {
		return action.Result{Outcome: action.Done}, nil
	})
	f("skipped", "done", func(context.Context, action.Request) (action.Result, error) {
		return action.Result{Outcome: action.Done, Skipped: map[string]int64{"headroom": 1}}, nil
	})
	f("failed", "failed", func(context.Context, action.Request) (action.Result, error) {
		return action.Result{Outcome: action.Failed}, errDisk
	})
	f("unknown", "unknown", func(context.Context, action.Request) (action.Result, error) {
		return action.Result{Outcome: action.Unknown}, nil
	})
	f("a panic", "unknown", func(context.Context, action.Request) (action.Result, error) { panic("boom") })
}

// TestEvidenceAlone: a run that only captures ends as its capture, and a default playbook is not made of it.
func TestEvidenceAlone(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		capture := &fakeAction{do: func(context.Context, action.Request) (action.Result, error) {
			return action.Result{Outcome: action.Done}, nil
		}}
		target := w.target("svc", ModeEnforce, nil)
		target.Actions = map[string]action.Action{action.NameCaptureEvidence: capture}
		target.Playbooks = Playbooks{}.Build(func(a string) bool { return target.Actions[a] != nil }, nil)
		if len(target.Playbooks) != 0 {
			t.Errorf("default playbooks that relieve nothing: %v", target.Playbooks)
		}
		w.targets["svc"] = target
		w.d.Apply(w.targets)
		w.observer.set("svc", subject.Memory, .99)
		id, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: action.NameCaptureEvidence, Steps: []Step{{Do: action.NameCaptureEvidence}}, Trigger: alert.TriggerSchedule})
		if err != nil {
			t.Fatal(err)
		}
		w.finished()
		if r := w.run(id); r.Outcome != "done" || r.Trigger != "schedule" {
			t.Errorf("%+v", r)
		}
		if diff := cmp.Diff([]string{"1 capture_evidence done"}, w.steps(id)); diff != "" {
			t.Error(diff)
		}
	})
}
