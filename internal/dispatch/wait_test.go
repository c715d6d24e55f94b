package dispatch

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// blocked is an action on a folder that may remove nothing before a time; with inUse it never may.
func blocked(due time.Time, inUse bool) func(context.Context, action.Request) (action.Result, error) {
	return func(_ context.Context, req action.Request) (action.Result, error) {
		out := action.Result{Outcome: action.Done, Policies: []action.PolicyResult{{Policy: "tts"}}, InUse: inUse}
		if req.DryRun {
			out.Outcome = action.DryRun
		}
		if time.Now().Before(due) {
			out.DueAt = due
		}
		return out, nil
	}
}

// full is a world whose cache is over its limit and may be trimmed in a minute.
func full(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.set("svc", subject.Cache, .80) // a warning
		w.cache.will(blocked(time.Now().Add(time.Minute), false))
		f(t, w)
	})
}

func (w *world) waitsUntil(playbook string) time.Time {
	w.t.Helper()
	for _, p := range w.d.Status().Playbooks {
		if p.Target == "svc" && p.Playbook == playbook {
			return p.WaitsUntil
		}
	}
	return time.Time{}
}

func TestWaitingRun(t *testing.T) {
	full(t, func(t *testing.T, w *world) {
		due := time.Now().Add(time.Minute)
		a := w.firing("svc", "trim_cache", warning)
		d := w.one(a)
		w.finished()
		first := w.run(d.RunID)
		if first.Outcome != OutcomeWaiting || !first.WaitsUntil.Equal(due) || !strings.Contains(first.Detail, "goes again at 2000-01-01T00:01:00Z") {
			t.Fatalf("the run is %+v, want waiting until %s", first, due)
		}
		if got := w.waitsUntil("trim_cache"); !got.Equal(due) || !w.cooldownUntil("trim_cache").IsZero() {
			t.Errorf("it waits until %s, want %s and no cooldown", got, due)
		}
		if got := w.counter("spillway_dispatch_waiting_runs", nil); got != 1 {
			t.Errorf("%v runs wait, want 1", got)
		}
		for _, again := range []alert.Alert{a, w.firing("svc", "trim_cache", warning)} {
			if d := w.one(again); d.Disposition != alert.Waiting || d.RunID != first.ID || !strings.Contains(d.Reason, "until 2000-01-01T00:01:00Z") {
				t.Errorf("an alert while it waits: %+v", d)
			}
		}
		if got := w.counter("spillway_webhook_alerts_total", map[string]string{"disposition": "waiting"}); got != 2 {
			t.Errorf("%v alerts are counted as waiting, want 2", got)
		}
		if got := w.counter("spillway_action_skips_total", map[string]string{"action": "evict_cache", "reason": "waiting"}); got != 2 {
			t.Errorf("%v skips, want 2", got)
		}
		w.d.Apply(w.targets) // a reload
		w.cache.will(func(context.Context, action.Request) (action.Result, error) {
			w.observer.set("svc", subject.Cache, .60)
			return action.Result{Outcome: action.Done, Files: 5, Policies: []action.PolicyResult{{Policy: "tts", Files: 5}}}, nil
		})
		<-time.After(time.Until(due) + time.Second)
		w.finished()
		runs := w.records(journal.Filter{Playbook: "trim_cache"})
		second := w.run(runs[0].RunID)
		if second.Outcome != OutcomeRelieved || second.Trigger != "webhook" || second.Alert != "A" || second.Fingerprint != a.Fingerprint || second.Alerts != 2 ||
			!second.Time.Equal(due) || !strings.Contains(second.Detail, "goes on with the run "+first.ID) {
			t.Errorf("the run that goes on is %+v", second)
		}
		if got := w.counter("spillway_dispatch_waiting_runs", nil); got != 0 || w.cooldownUntil("trim_cache").IsZero() {
			t.Errorf("%v runs wait, want none and a cooldown", got)
		}
	})
}

// What waits is dropped when it is not needed, and started at once where more is at stake.
func TestWaitEnds(t *testing.T) {
	tests := []struct {
		name string
		do   func(w *world, a alert.Alert)
		want []string
	}{
		{"the alert is resolved", func(w *world, a alert.Alert) {
			a.Status = alert.StatusResolved
			w.one(a)
		}, []string{"waiting"}},
		{"another alert is resolved", func(w *world, _ alert.Alert) {
			other := w.firing("svc", "trim_cache", warning)
			other.Status = alert.StatusResolved
			w.one(other)
		}, []string{"waiting", "ineffective"}},
		{"an alert of a higher level", func(w *world, _ alert.Alert) {
			if d := w.one(w.firing("svc", "trim_cache", critical)); d.Disposition != alert.Accepted {
				w.t.Errorf("an alert of a higher level: %+v", d)
			}
		}, []string{"waiting", "waiting", "ineffective"}},
		{"the playbook has gone", func(w *world, _ alert.Alert) {
			w.d.Apply(map[string]Target{"svc": w.target("svc", ModeEnforce, Playbooks{"trim_cache": {}})})
		}, []string{"waiting"}},
		{"the target acts no more", func(w *world, _ alert.Alert) {
			w.d.Apply(map[string]Target{"svc": w.target("svc", ModeDryRun, nil)})
		}, []string{"waiting", "dry_run"}},
		{"the journal fails for a while", func(w *world, _ alert.Alert) {
			w.journal.fail(errDisk)
			time.AfterFunc(75*time.Second, func() { w.journal.fail(nil) })
		}, []string{"waiting", "ineffective"}},
		{"a restart", func(w *world, a alert.Alert) {
			w.end()
			w.start(Options{})
			<-time.After(2 * time.Minute)
			if d := w.one(a); d.Disposition != alert.Accepted {
				w.t.Errorf("after a restart the alert is answered %+v", d)
			}
		}, []string{"waiting", "ineffective"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			full(t, func(t *testing.T, w *world) {
				a := w.firing("svc", "trim_cache", warning)
				w.one(a)
				w.finished()
				tt.do(w, a)
				<-time.After(3 * time.Minute)
				w.finished()
				if diff := cmp.Diff(tt.want, w.outcomes()); diff != "" {
					t.Errorf("outcomes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What is in use is looked at again after 30 s, then less and less often, and never makes a run
// ineffective.
func TestInUseIsLookedAtAgain(t *testing.T) {
	full(t, func(t *testing.T, w *world) {
		w.cache.will(blocked(time.Time{}, true))
		w.one(w.firing("svc", "trim_cache", warning))
		<-time.After(30 * time.Minute)
		w.finished()
		var gaps []time.Duration
		var before time.Time
		for _, o := range w.outcomes() {
			if o != OutcomeWaiting {
				t.Errorf("outcome %s, want waiting", o)
			}
		}
		runs := w.records(journal.Filter{Playbook: "trim_cache"})
		for _, r := range slices.Backward(runs) {
			if r.Step > 0 {
				continue
			}
			if !before.IsZero() {
				gaps = append(gaps, r.Time.Sub(before).Round(10*time.Second))
			}
			before = r.Time
		}
		const s = time.Second
		if diff := cmp.Diff([]time.Duration{30 * s, 60 * s, 120 * s, 240 * s, 300 * s, 300 * s, 300 * s, 300 * s}, gaps); diff != "" {
			t.Errorf("times between two runs (-want +got):\n%s", diff)
		}
	})
}

// Young files are always there: a service that leaks is not waited for, once something was done.
func TestLeakIsIneffectiveWhateverIsYoung(t *testing.T) {
	full(t, func(t *testing.T, w *world) {
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		if r := w.run(d.RunID); r.Outcome != OutcomeIneffective {
			t.Errorf("the run is %+v, want ineffective: two of its steps acted", r)
		}
		w.temp.will(nothingToDo)
		w.gc.will(nothingToDo)
		<-time.After(20 * time.Minute)
		w.cache.will(blocked(time.Now().Add(time.Minute), false))
		d = w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		if r := w.run(d.RunID); r.Outcome != OutcomeWaiting {
			t.Errorf("the run is %+v, want waiting: nothing could be done yet", r)
		}
		w.observer.set("svc", subject.Memory, .50)
		<-time.After(10 * time.Minute)
		w.finished()
		if got := w.outcomes(); len(got) != 2 {
			t.Errorf("outcomes %q: memory has room again, and a run went on for it", got)
		}
	})
}

// The own cooldown of a step holds back what it did, not what it could not do yet.
func TestWaitingStepHasNoCooldown(t *testing.T) {
	full(t, func(t *testing.T, w *world) {
		w.d.Apply(map[string]Target{"svc": w.target("svc", ModeEnforce, Playbooks{"trim_cache": {{Do: action.NameEvictCache, Cooldown: 3600e9}}})})
		w.one(w.firing("svc", "trim_cache", warning))
		<-time.After(2 * time.Minute)
		w.finished()
		if n := len(w.cache.calls()); n != 2 {
			t.Errorf("the step ran %d times, want 2", n)
		}
	})
}

// An Alertmanager alone knows whether its alert still fires, or was silenced: its next word counts.
func TestCooldownOfAWebhook(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		a := w.firing("svc", "relieve_memory", critical)
		w.one(a)
		<-time.After(time.Hour)
		w.finished()
		if got := w.outcomes(); len(got) != 1 {
			t.Errorf("outcomes %q, want one run", got)
		}
	})
}

// An alert of the evaluator that came during the cooldown has its run when that ends, if the pressure
// is still there.
func TestCooldownOfTheEvaluator(t *testing.T) {
	for _, still := range []bool{true, false} {
		bubble(t, Options{}, func(t *testing.T, w *world) {
			w.temp.will(relieves(w, .60))
			submit := func(a alert.Alert) alert.Disposition {
				t.Helper()
				out, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerStandalone, Alerts: []alert.Alert{a}})
				if err != nil {
					t.Fatal(err)
				}
				return out[0]
			}
			begin := time.Now()
			submit(w.firing("svc", "relieve_memory", warning))
			w.finished()
			<-time.After(4 * time.Minute)
			if still {
				w.observer.set("svc", subject.Memory, .90)
			}
			if d := submit(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Cooldown {
				t.Fatalf("during the cooldown: %+v", d)
			}
			<-time.After(2 * time.Minute)
			w.finished()
			calls := w.temp.calls()
			if want := map[bool]int{true: 2, false: 1}[still]; len(calls) != want {
				t.Fatalf("still %v: %d runs, want %d", still, len(calls), want)
			}
			if still {
				r := w.run(calls[1].RunID)
				if after := r.Time.Sub(begin); after < 5*time.Minute || after > 5*time.Minute+2*time.Second || r.Level != "critical" || r.Trigger != "standalone" {
					t.Errorf("the second run is %+v, %s after the first", r, after)
				}
			}
		})
	}
}

func TestWaitUntil(t *testing.T) {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	f := func(due time.Duration, inUse bool, before int, cooldown, want time.Duration) {
		t.Helper()
		at := time.Time{}
		if due != 0 {
			at = now.Add(due)
		}
		if got := waitUntil(at, inUse, before, cooldown, now).Sub(now); got != want {
			t.Errorf("due %s, in use %v, %d before, cooldown %s: waits %s, want %s", due, inUse, before, cooldown, got, want)
		}
	}
	const s, m = time.Second, time.Minute
	f(55*s, false, 0, 5*m, 55*s)
	f(-s, false, 0, 5*m, s) // due since: at once, but not at the same moment
	f(s/10, false, 1, 5*m, s)
	f(s/10, false, 2, 5*m, 2*s)
	f(s/10, false, 5, 5*m, 16*s)
	f(s/10, false, 100, 5*m, 5*m)
	f(0, true, 0, 5*m, 30*s)
	f(0, true, 2, 5*m, 120*s)
	f(0, true, 50, 5*m, 5*m)
	f(0, true, 3, 20*s, 20*s) // never longer than the cooldown
	f(0, true, 3, s/100, 4*s/4)
	f(10*s, true, 0, 5*m, 10*s)
	f(40*s, true, 0, 5*m, 30*s)
	f(365*24*time.Hour, false, 0, 5*m, time.Hour)
}

func TestSettling(t *testing.T) {
	// ratios are taken once a second, the first after one second.
	f := func(within time.Duration, want int, ratios ...float64) {
		t.Helper()
		s := settling{within: within}
		for i, r := range ratios {
			after := time.Duration(i+1) * time.Second
			s.add(after, r)
			if s.settled(after) {
				if i+1 != want {
					t.Errorf("%v settled after %d s, want %d", ratios, i+1, want)
				}
				return
			}
		}
		if want != 0 {
			t.Errorf("%v has not settled, want after %d s", ratios, want)
		}
	}
	f(0, 1, .9)
	f(15*time.Second, 5, .9, .9, .9, .9, .9, .9)
	f(15*time.Second, 5, .90, .91, .92, .93, .94)     // it rises
	f(15*time.Second, 0, .9, .88, .86, .84, .82, .80) // it falls
	f(15*time.Second, 8, .9, .8, .7, .7, .7, .7, .7, .7)
	f(6*time.Second, 6, .9, .8, .7, .6, .5, .4, .3) // for as long as it is followed
}
