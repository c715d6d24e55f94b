package dispatch

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func TestJournalFailsAtTheIntentOfAStep(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			w.journal.fail(errDisk)
			return action.Result{Outcome: action.Done, Files: 1}, nil
		}
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		if n := len(w.cache.calls()) + len(w.gc.calls()); n != 0 {
			t.Errorf("%d actions ran without an intent", n)
		}
		r := w.run(d.RunID)
		if r.Outcome != "partial" || !strings.Contains(r.Error, errDisk.Error()) {
			t.Errorf("the run is %+v", r)
		}
		if got := w.counter("spillway_action_skips_total", map[string]string{"action": "evict_cache", "reason": "journal"}); got != 1 {
			t.Errorf("skips for the journal: %v", got)
		}
		w.journal.fail(nil)
		if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Accepted {
			t.Errorf("it rests although it could not work: %+v", d)
		}
		w.finished()
	})
}

func TestStepTimesOut(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.targets["svc"] = w.target("svc", ModeEnforce, Playbooks{"clean_temp": {{Do: action.NameCleanTemp, Timeout: units.Duration(7 * time.Second)}}})
		w.d.Apply(w.targets)
		w.temp.do = func(ctx context.Context, _ action.Request) (action.Result, error) {
			<-ctx.Done()
			return action.Result{Files: 5}, ctx.Err()
		}
		d := w.one(w.firing("svc", "clean_temp", warning))
		w.finished()
		step := w.records(journal.Filter{RunID: d.RunID})[0]
		if step.Outcome != "unknown" || step.Files != 5 || step.DurationSecs != 7 || step.Error == "" {
			t.Errorf("the step is %+v", step)
		}
		if r := w.run(d.RunID); r.Outcome != "unknown" {
			t.Errorf("the run is %+v", r)
		}
	})
}

func TestActionsThatFail(t *testing.T) {
	f := func(name string, do func(context.Context, action.Request) (action.Result, error), step, run string) {
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, w *world) {
				w.temp.do = do
				d := w.one(w.firing("svc", "clean_temp", warning)) // temp has no reading: nothing to verify
				w.finished()
				got := w.records(journal.Filter{RunID: d.RunID})[0]
				if got.Outcome != step || w.run(d.RunID).Outcome != run {
					t.Errorf("step %q (%s), run %q, want %q and %q", got.Outcome, got.Error, w.run(d.RunID).Outcome, step, run)
				}
				if got.Error == "" && step != "partial" {
					t.Error("no error is recorded")
				}
			})
		})
	}
	f("an error", func(context.Context, action.Request) (action.Result, error) { return action.Result{}, errDisk }, "failed", "failed")
	f("a part", func(context.Context, action.Request) (action.Result, error) {
		return action.Result{Outcome: action.Partial, Files: 1}, nil
	}, "partial", "partial")
	f("an unknown end", func(context.Context, action.Request) (action.Result, error) {
		return action.Result{Outcome: action.Unknown}, errDisk
	}, "unknown", "unknown")
	f("a panic", func(context.Context, action.Request) (action.Result, error) { panic("boom") }, "unknown", "unknown")
}

func TestFailedStepGoesOnToTheNext(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.temp.do = func(context.Context, action.Request) (action.Result, error) { return action.Result{}, errDisk }
		w.cache.do = relieves(w, .5)
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		if diff := cmp.Diff([]string{"1 clean_temp failed", "2 evict_cache done"}, w.steps(d.RunID)); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if r := w.run(d.RunID); r.Outcome != OutcomeRelieved {
			t.Errorf("outcome %s", r.Outcome)
		}
	})
}
