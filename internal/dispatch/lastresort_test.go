package dispatch

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// withRestart is svc with a playbook that evicts and then, at emergency, restarts.
func (w *world) withRestart(restart action.Action) {
	out := w.target("svc", ModeEnforce, nil)
	out.Actions[action.NameRestart] = restart
	out.Playbooks = Playbooks{"last": {{Do: action.NameEvictCache}, {Do: action.NameRestart, When: []series.Level{series.LevelEmergency}}}}.
		Build(func(a string) bool { return out.Actions[a] != nil }, nil)
	w.targets["svc"] = out
	w.d.Apply(w.targets)
}

// TestRestartKeepsToItsLevels: it runs at the levels that are written for it, as they are when its turn comes,
// whoever asks.
func TestRestartKeepsToItsLevels(t *testing.T) {
	f := func(name string, before, after float64, manual bool, want ...string) {
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, w *world) {
				w.withRestart(&fakeAction{})
				w.observer.set("svc", subject.Memory, before)
				w.cache.do = func(ctx context.Context, req action.Request) (action.Result, error) {
					w.observer.set("svc", subject.Memory, after)
					return removing(1)(ctx, req)
				}
				var id string
				if manual {
					var err error
					if id, err = w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: "last"}); err != nil {
						t.Fatal(err)
					}
				} else {
					id = w.one(w.firing("svc", "last", series.LevelEmergency)).RunID
				}
				w.finished()
				if diff := cmp.Diff(want, w.steps(id)); diff != "" {
					t.Errorf("steps (-want +got):\n%s", diff)
				}
			})
		})
	}
	f("at emergency", .99, .99, false, "1 evict_cache done", "2 restart done")
	f("the step before it has helped a bit", .99, .88, false, "1 evict_cache done")
	f("by hand, at emergency", .99, .99, true, "1 evict_cache done", "2 restart done")
	f("by hand, without pressure", .50, .50, true, "1 evict_cache done")
}

// TestRestartRefused: a refusal is counted by its reason, and neither as a file nor as an effect.
func TestRestartRefused(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		restart := &fakeAction{do: func(context.Context, action.Request) (action.Result, error) {
			return action.Result{Outcome: action.Failed, Refused: "restart_budget"}, errors.New("refused")
		}}
		w.withRestart(restart)
		w.observer.set("svc", subject.Memory, .99)
		id := w.one(w.firing("svc", "last", series.LevelEmergency)).RunID
		w.finished()
		if diff := cmp.Diff([]string{"1 evict_cache done", "2 restart failed"}, w.steps(id)); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if n := w.counter("spillway_action_skips_total", map[string]string{"target": "svc", "action": "restart", "reason": "restart_budget"}); n != 1 {
			t.Errorf("counted %v times", n)
		}
	})
}

func TestLastResortIsLast(t *testing.T) {
	f := func(text string, want int) {
		t.Helper()
		p, errs := decodePlaybooks(t, text)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		n := 0
		p.checkLast(func(string, string, ...any) { n++ })
		if n != want {
			t.Errorf("%s: %d mistakes, want %d", text, n, want)
		}
	}
	f("p: [{do: clean_temp}, {do: restart, unit: a, when: [emergency]}]", 0)
	f("p: [{do: restart, unit: a, when: [emergency]}, {do: clean_temp}]", 1)
	f("p: [{do: restart, unit: a}]", 1)
	f("p: [{do: restart, unit: a, when: [emergency]}]\nq: [p]", 0)
	f("p: [{do: restart, unit: a, when: [emergency]}]\nq: [p, {do: clean_temp}]", 1)
}
