package dispatch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/window"
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
		p.Validate(func(string, string, ...any) { n++ })
		if n != want {
			t.Errorf("%s: %d mistakes, want %d", text, n, want)
		}
	}
	f("p: [{do: clean_temp}, {do: restart, unit: a, when: [emergency]}]", 0)
	f("p: [{do: restart, unit: a, when: [emergency]}, {do: clean_temp}]", 1)
	f("p: [{do: restart, unit: a}]", 1)
	f("p: [{do: restart, unit: a, when: [emergency]}]\nq: [p]", 0)
	f("p: [{do: restart, unit: a, when: [emergency]}]\nq: [p, {do: clean_temp}]", 1)
	f("p: [{do: clean_temp}, {do: restart, unit: a, when: [emergency], run: always}]", 1)
	f("p: [{do: clean_temp}, {do: restart, unit: a, when: [emergency], run: if_removed}]", 1)
	f("p: [{do: restart, unit: a, when: [emergency], timeout: 2m, ready: 1m}]", 0)
	f("p: [{do: restart, unit: a, when: [emergency], timeout: 1m, ready: 1m}]", 1)
	f("p: [{do: restart, unit: a, when: [emergency], timeout: 5m, ready: 1m, drain: {post: 'http://127.0.0.1/', deadline: 5m}}]", 1)
}

// TestLastResortHasTheTime: without a timeout a restart has the time that its drain and its start may take.
func TestLastResortHasTheTime(t *testing.T) {
	f := func(text string, want time.Duration) {
		t.Helper()
		p, errs := decodePlaybooks(t, text)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		p.Validate(func(key, format string, args ...any) { t.Errorf(key+" "+format, args...) })
		if got := p["p"][0].Timeout.Std(); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	f("p: [{do: restart, unit: a, when: [emergency]}]", defaultStepTimeout)
	f("p: [{do: restart, unit: a, when: [emergency], ready: 10m, drain: {post: 'http://127.0.0.1/', deadline: 20m}}]", 31*time.Minute)
}

// TestRestartKeepsToItsWindow: it runs only while its window is open, whoever asks.
func TestRestartKeepsToItsWindow(t *testing.T) {
	f := func(open, manual bool, want ...string) {
		t.Helper()
		bubble(t, Options{}, func(t *testing.T, w *world) {
			restart := &fakeAction{}
			w.withRestart(restart)
			w.observer.set("svc", subject.Memory, .99)
			ref := window.Ref("now")
			if !open {
				ref = "not now"
			}
			w.withHours(ref)
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
				t.Errorf("open %v, manual %v: steps (-want +got):\n%s", open, manual, diff)
			}
		})
	}
	f(true, false, "1 evict_cache done", "2 restart done")
	f(true, true, "1 evict_cache done", "2 restart done")
	f(false, false, "1 evict_cache done")
	f(false, true, "1 evict_cache done")
}

// withHours gives the restart a window, which is the present minute.
func (w *world) withHours(ref window.Ref) {
	now := w.d.opts.Now().UTC()
	windows := window.Windows{"now": {{Times: []window.Range{{Start: now.Format("15:04"), End: now.Add(time.Minute).Format("15:04")}}}}}
	out := w.targets["svc"]
	out.Playbooks["last"].Steps[1].Hours = windows.Hours(ref)
	w.d.Apply(w.targets)
}

// TestRestartIsHeldAtTheLastMoment: what changed while it drained holds it back.
func TestRestartIsHeldAtTheLastMoment(t *testing.T) {
	f := func(name, want string, meanwhile func(w *world)) {
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, w *world) {
				reason, text := "not asked", ""
				restart := &fakeAction{do: func(_ context.Context, req action.Request) (action.Result, error) {
					meanwhile(w)
					reason, text = req.Held()
					return action.Result{Outcome: action.Done}, nil
				}}
				w.withRestart(restart)
				w.withHours("now")
				w.observer.set("svc", subject.Memory, .99)
				w.one(w.firing("svc", "last", series.LevelEmergency))
				w.finished()
				if reason != want || (text != "") != (want != "") {
					t.Errorf("%q %q, want %q", reason, text, want)
				}
			})
		})
	}
	f("nothing", "", func(*world) {})
	f("it has recovered", SkipLevel, func(w *world) { w.observer.set("svc", subject.Memory, .80) })
	f("its reading is lost", "", func(w *world) { w.observer.lose("svc", subject.Memory) })
	f("its window has closed", SkipWindow, func(*world) { passes(time.Minute) })
	f("a person has paused it", SkipPaused, func(w *world) { w.pause(PauseRequest{Target: "svc"}) })
	f("it is in dry run", SkipMode, func(w *world) {
		out := w.targets["svc"]
		out.Mode = ModeDryRun
		w.targets["svc"] = out
		w.d.Apply(w.targets)
	})
}
