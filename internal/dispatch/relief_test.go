package dispatch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// The whole way: the second of three steps helps, so that the third does not run.
func TestRelief(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.cache.do = relieves(w, .60)
		d := w.one(w.firing("svc", "relieve_memory", critical))
		if d.Disposition != alert.Accepted || d.RunID == "" {
			t.Fatalf("disposition %+v", d)
		}
		if got := w.run(d.RunID); got.Outcome != "" || got.Intent != "run clean_temp, evict_cache, collect_garbage" || got.Mode != ModeEnforce || got.Alert != "A" {
			t.Errorf("the intent is %+v", got)
		}
		w.finished()
		if diff := cmp.Diff([]string{"1 clean_temp done", "2 evict_cache done"}, w.steps(d.RunID)); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if n := len(w.gc.calls()); n != 0 {
			t.Errorf("the third step ran %d times although the second helped", n)
		}
		r := w.run(d.RunID)
		if r.Outcome != OutcomeRelieved || r.Before != "used 90%" || r.After != "used 60%" || r.Files != 48 || r.FreedBytes != 123<<20+4096 || r.LostBytes != 9 || r.Skipped["in_use"] != 2 || r.Level != "critical" || r.Alerts != 1 {
			t.Errorf("the run is %+v", r)
		}
		step := w.records(journal.Filter{RunID: d.RunID})[0]
		if step.Action != action.NameEvictCache || step.Files != 45 || step.LostBytes != 9 || step.Before != "b" || step.After != "a" || step.Detail != "45 files" || step.Trigger != "webhook" || step.Fingerprint == "" {
			t.Errorf("the step is %+v", step)
		}
		req := w.cache.calls()[0]
		req.Progress = nil
		want := action.Request{RunID: d.RunID, Target: "svc", Playbook: "relieve_memory", Trigger: "webhook", Level: critical, Below: warning, Relief: true}
		if diff := cmp.Diff(want, req); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
		for _, line := range []string{
			`level=WARN msg="memory pressure" target=svc used=90% level=critical playbook=relieve_memory`,
			`level=INFO msg="memory after relief" target=svc used=60% outcome=relieved`,
			`files=48 freed=123MiB`,
		} {
			if !strings.Contains(w.log.String(), line) {
				t.Errorf("the log has no %q:\n%s", line, w.log)
			}
		}
		f := func(name string, want float64, labels map[string]string) {
			t.Helper()
			if got := w.counter(name, labels); got != want {
				t.Errorf("%s%v = %v, want %v", name, labels, got, want)
			}
		}
		f("spillway_action_runs_total", 1, map[string]string{"target": "svc", "action": "evict_cache", "trigger": "webhook", "outcome": "done"})
		f("spillway_playbook_runs_total", 1, map[string]string{"target": "svc", "playbook": "relieve_memory", "trigger": "webhook", "outcome": "relieved"})
		f("spillway_action_removed_files_total", 45, map[string]string{"action": "evict_cache"})
		f("spillway_action_freed_bytes_total", 123<<20, map[string]string{"action": "evict_cache"})
		f("spillway_action_lost_bytes_total", 9, map[string]string{"action": "evict_cache"})
		f("spillway_action_skipped_files_total", 2, map[string]string{"action": "evict_cache", "reason": "in_use"})
		f("spillway_action_duration_seconds", 2, nil)
		f("spillway_webhook_alerts_total", 1, map[string]string{"disposition": "accepted"})
		f("spillway_dispatch_queue_length", 0, nil)
		f("spillway_action_last_run_timestamp_seconds", 0, map[string]string{"action": "collect_garbage"})
		if problems, err := testutil.GatherAndLint(w.reg); err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
	})
}

// TestRunsAreBornAtZero: the first run of a playbook and of an action is an increase, whatever its outcome
// and whichever of its triggers began it; what is no longer expected goes unless it has counted.
func TestRunsAreBornAtZero(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		target := w.target("new", ModeEnforce, nil)
		target.Starts = []Start{
			{Playbook: "clean_temp", Triggers: []alert.Trigger{alert.TriggerStandalone, alert.TriggerManual}},
			{Playbook: action.NameEvictCache, Triggers: []alert.Trigger{alert.TriggerSchedule}},
		}
		series := func(want int, family string) {
			t.Helper()
			if n, err := testutil.GatherAndCount(w.reg, family); err != nil || n != want {
				t.Errorf("%d series of %s, want %d (%v)", n, family, want, err)
			}
		}
		const playbooks, actions = "spillway_playbook_runs_total", "spillway_action_runs_total"
		w.d.Apply(map[string]Target{"new": target})
		series(3*11, playbooks)
		series(3*4, actions)
		is := func(want float64, family string, labels ...string) {
			t.Helper()
			m := make(map[string]string)
			for i := 0; i < len(labels); i += 2 {
				m[labels[i]] = labels[i+1]
			}
			if got := w.counter(family, m); got != want {
				t.Errorf("%s%v is %v, want %v", family, m, got, want)
			}
		}
		is(0, playbooks, "playbook", "clean_temp", "trigger", "standalone", "outcome", OutcomeIneffective)
		is(0, actions, "action", action.NameEvictCache, "trigger", "schedule", "outcome", string(action.Failed))
		w.d.metrics.playbook.WithLabelValues("new", "clean_temp", "manual", OutcomeRelieved).Inc()
		target.Mode = ModeDryRun
		w.d.Apply(map[string]Target{"new": target})
		series(3*7+1, playbooks)
		series(3*4, actions)
		is(1, playbooks, "playbook", "clean_temp", "trigger", "manual", "outcome", OutcomeRelieved)
		w.d.Apply(nil)
		series(1, playbooks)
		series(0, actions)
	})
}

// What a run gives back has to be an increase in Prometheus, the first time too.
func TestCountersStandBeforeTheFirstRun(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		const name = "spillway_action_freed_bytes_total"
		want := fmt.Sprintf("# HELP %[1]s Disk space freed by an action, in allocated bytes.\n# TYPE %[1]s counter\n"+
			"%[1]s{action=\"clean_temp\",target=\"svc\"} 0\n%[1]s{action=\"evict_cache\",target=\"svc\"} 0\n", name)
		if err := testutil.GatherAndCompare(w.reg, strings.NewReader(want), name); err != nil {
			t.Error(err)
		}
		if n, err := testutil.GatherAndCount(w.reg, "spillway_action_removed_files_total"); err != nil || n != 2 {
			t.Errorf("%d counters of removed files, want those of the 2 actions that remove: %v", n, err)
		}
		// What was given back is reported for as long as the process runs; what was not goes with its target.
		w.d.metrics.freed.WithLabelValues("svc", action.NameEvictCache).Add(5)
		w.d.Apply(map[string]Target{"other": w.target("other", ModeEnforce, nil)})
		want = strings.NewReplacer(`action="clean_temp",target="svc"} 0`, `action="evict_cache",target="svc"} 5`, `action="evict_cache",target="svc"} 0`, `action="clean_temp",target="other"} 0`).Replace(want) +
			name + "{action=\"evict_cache\",target=\"other\"} 0\n"
		if err := testutil.GatherAndCompare(w.reg, strings.NewReader(want), name); err != nil {
			t.Error(err)
		}
	})
}

func TestVerificationWaitsForFreshSamples(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		// Samples come each 5 s whatever is asked for; the effect shows in the third.
		w.observer.refresh = func(*fakeObserver, string, Subject) {}
		w.targets["svc"] = w.target("svc", ModeEnforce, Playbooks{"relieve_memory": {{Do: action.NameCleanTemp, Verify: Verify{After: 3}}, {Do: action.NameCollectGarbage}}})
		w.d.Apply(w.targets)
		begin := time.Now()
		d := w.one(w.firing("svc", "relieve_memory", critical))
		for n := range 3 {
			<-time.After(5 * time.Second)
			if n == 2 {
				w.observer.set("svc", subject.Memory, .50)
			}
			w.settled()
			if state := w.d.Status().Open[0].State; state != StateVerifying {
				t.Fatalf("after %d samples the run is %s", n, state)
			}
			w.observer.mu.Lock()
			r := w.observer.readings["svc/memory"]
			r.Samples++
			w.observer.readings["svc/memory"] = r
			w.observer.mu.Unlock()
		}
		w.finished()
		if took := time.Since(begin); took < 15*time.Second || took > 17*time.Second {
			t.Errorf("the run took %s", took)
		}
		if r := w.run(d.RunID); r.Outcome != OutcomeRelieved {
			t.Errorf("outcome %s", r.Outcome)
		}
	})
}

func TestLostReadingIsUnknown(t *testing.T) {
	bubble(t, Options{VerifyTimeout: 30 * time.Second}, func(t *testing.T, w *world) {
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			w.observer.lose("svc", subject.Memory)
			return action.Result{Outcome: action.Done, Files: 1}, nil
		}
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		if r := w.run(d.RunID); r.Outcome != "unknown" || !strings.Contains(r.Error, "no fresh reading of memory within 30s") {
			t.Errorf("the run is %+v", r)
		}
		if diff := cmp.Diff([]string{"1 clean_temp done"}, w.steps(d.RunID)); diff != "" {
			t.Errorf("steps went on blindly (-want +got):\n%s", diff)
		}
	})
}

func TestWithoutAReadingAllStepsRun(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.lose("svc", subject.Memory)
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		if r := w.run(d.RunID); r.Outcome != "done" {
			t.Errorf("outcome %s, want done: no more can be said", r.Outcome)
		}
		if n := len(w.steps(d.RunID)); n != 3 {
			t.Errorf("%d steps ran", n)
		}
	})
}

func TestFallingIsLeftAlone(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.set("svc", subject.Memory, .98)
		w.observer.set("svc", subject.Memory, .75)
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		r := w.run(d.RunID)
		if r.Outcome != OutcomeFalling || !strings.Contains(r.Detail, "75% is below 85% of its recent peak of 98%") || len(w.temp.calls()) != 0 {
			t.Errorf("the run is %+v, %d calls", r, len(w.temp.calls()))
		}
		for _, a := range []string{action.NameCleanTemp, action.NameEvictCache, action.NameCollectGarbage} {
			if got := w.counter("spillway_action_skips_total", map[string]string{"action": a, "reason": "falling"}); got != 1 {
				t.Errorf("skips of %s: %v", a, got)
			}
		}
		// It has done nothing, so it does not rest; when the value rises again it acts.
		w.observer.set("svc", subject.Memory, .95)
		if d := w.one(w.firing("svc", "relieve_memory", emergency)); d.Disposition != alert.Accepted {
			t.Errorf("the next alert: %+v", d)
		}
		w.finished()
		if len(w.temp.calls()) != 1 {
			t.Error("nothing was done at 95 %")
		}
	})
}

// A step that starts the fall ends the escalation.
func TestFallingAfterAStepEndsTheEscalation(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.set("svc", subject.Memory, .96)
		w.temp.do = relieves(w, .75) // still a warning
		d := w.one(w.firing("svc", "relieve_memory", emergency))
		w.finished()
		if r := w.run(d.RunID); r.Outcome != OutcomeFalling || len(w.cache.calls()) != 0 {
			t.Errorf("the run is %+v", r)
		}
		if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Cooldown {
			t.Errorf("it acted and does not rest: %+v", d)
		}
	})
}

// A step that found nothing to remove is not waited for.
func TestNothingToDoIsNotVerified(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.refresh = func(*fakeObserver, string, Subject) {} // no sample ever comes
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			return action.Result{Outcome: action.Done, Policies: []action.PolicyResult{{Policy: "tts"}}}, nil
		}
		begin := time.Now()
		w.one(w.firing("svc", "relieve_memory", critical))
		w.settled()
		if len(w.cache.calls()) != 1 || time.Since(begin) != 0 {
			t.Errorf("the next step waited: %d calls", len(w.cache.calls()))
		}
		w.finished()
	})
}

// relieves makes an action bring the memory of svc down to a ratio.
func relieves(w *world, ratio float64) func(context.Context, action.Request) (action.Result, error) {
	return func(_ context.Context, req action.Request) (action.Result, error) {
		w.observer.set(req.Target, subject.Memory, ratio)
		return action.Result{Outcome: action.Done, Files: 45, Bytes: 100, FreedBytes: 123 << 20, LostBytes: 9, Skipped: map[string]int64{"in_use": 2}, Before: "b", After: "a", Detail: "45 files"}, nil
	}
}
