package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	warning   = series.LevelWarning
	critical  = series.LevelCritical
	emergency = series.LevelEmergency
)

// relieves makes an action bring the memory of svc down to a ratio.
func relieves(w *world, ratio float64) func(context.Context, action.Request) (action.Result, error) {
	return func(_ context.Context, req action.Request) (action.Result, error) {
		w.observer.set(req.Target, SubjectMemory, ratio)
		return action.Result{Outcome: action.Done, Files: 45, Bytes: 100, FreedBytes: 123 << 20, Skipped: map[string]int64{"in_use": 2}, Before: "b", After: "a", Detail: "45 files"}, nil
	}
}

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
		if r.Outcome != OutcomeRelieved || r.Before != "used 90%" || r.After != "used 60%" || r.Files != 48 || r.FreedBytes != 123<<20+4096 || r.Skipped["in_use"] != 2 || r.Level != "critical" || r.Alerts != 1 {
			t.Errorf("the run is %+v", r)
		}
		step := w.records(journal.Filter{RunID: d.RunID})[0]
		if step.Action != ActionEvictCache || step.Files != 45 || step.Before != "b" || step.After != "a" || step.Detail != "45 files" || step.Trigger != "webhook" || step.Fingerprint == "" {
			t.Errorf("the step is %+v", step)
		}
		req := w.cache.calls()[0]
		req.Progress = nil
		want := action.Request{RunID: d.RunID, Target: "svc", Playbook: "relieve_memory", Trigger: "webhook", Level: critical, Relief: true}
		if diff := cmp.Diff(want, req); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
		for _, line := range []string{
			`level=WARN msg="memory pressure" target=svc used=90% level=critical playbook=relieve_memory`,
			`level=INFO msg="memory after relief" target=svc used=60% outcome=relieved`,
			`files=48 freed=123MB`,
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

// What a run gives back has to be an increase in Prometheus, the first time too.
func TestCountersStandBeforeTheFirstRun(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		const name = "spillway_action_freed_bytes_total"
		want := fmt.Sprintf("# HELP %[1]s Allocated blocks that an action has given back to the disk, in bytes.\n# TYPE %[1]s counter\n"+
			"%[1]s{action=\"clean_temp\",target=\"svc\"} 0\n%[1]s{action=\"evict_cache\",target=\"svc\"} 0\n", name)
		if err := testutil.GatherAndCompare(w.reg, strings.NewReader(want), name); err != nil {
			t.Error(err)
		}
		if n, err := testutil.GatherAndCount(w.reg, "spillway_action_removed_files_total"); err != nil || n != 2 {
			t.Errorf("%d counters of removed files, want those of the 2 actions that remove: %v", n, err)
		}
		// What was given back is told for as long as the process runs; what was not goes with its target.
		w.d.metrics.freed.WithLabelValues("svc", ActionEvictCache).Add(5)
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
		w.targets["svc"] = w.target("svc", ModeEnforce, Playbooks{"relieve_memory": {{Do: ActionCleanTemp, Verify: Verify{After: 3}}, {Do: ActionCollectGarbage}}})
		w.d.Apply(w.targets)
		begin := time.Now()
		d := w.one(w.firing("svc", "relieve_memory", critical))
		for n := range 3 {
			time.Sleep(5 * time.Second)
			if n == 2 {
				w.observer.set("svc", SubjectMemory, .50)
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
			w.observer.lose("svc", SubjectMemory)
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
		w.observer.lose("svc", SubjectMemory)
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		if r := w.run(d.RunID); r.Outcome != "done" {
			t.Errorf("outcome %s, want done: nobody can say more", r.Outcome)
		}
		if n := len(w.steps(d.RunID)); n != 3 {
			t.Errorf("%d steps ran", n)
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
			time.Sleep(rest - time.Minute)
			if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Cooldown || d.RunID == "" {
				t.Errorf("round %d: a minute before its end: %+v", i, d)
			}
			time.Sleep(2 * time.Minute)
		}
		w.gc.do = relieves(w, .5)
		w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		w.observer.set("svc", SubjectMemory, .9)
		time.Sleep(5*time.Minute + time.Second)
		if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Accepted {
			t.Errorf("5 minutes after a run that helped: %+v", d)
		}
		w.settled()
		if !strings.Contains(w.log.String(), `level=WARN msg="memory after relief" target=svc used=90% outcome=ineffective`) {
			t.Error("the log does not warn")
		}
	})
}

func TestDuplicatesAndCooldown(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			<-release
			return action.Result{Outcome: action.Done}, nil
		}
		a := w.firing("svc", "clean_temp", warning)
		first := w.one(a)
		w.settled()
		if d := w.one(a); d.Disposition != alert.Duplicate || d.RunID != first.RunID {
			t.Errorf("the same alert while its run is open: %+v", d)
		}
		other := w.firing("svc", "clean_temp", warning)
		if d := w.one(other); d.Disposition != alert.Accepted || d.RunID != first.RunID {
			t.Errorf("another alert while the run is open: %+v, want it served by run %s", d, first.RunID)
		}
		resolved := a
		resolved.Status = alert.StatusResolved
		if d := w.one(resolved); d.Disposition != alert.Resolved {
			t.Errorf("resolved: %+v", d)
		}
		close(release)
		w.finished()
		if r := w.run(first.RunID); r.Alerts != 2 {
			t.Errorf("the run says that it served %d alerts, want 2", r.Alerts)
		}
		for _, again := range []alert.Alert{a, other} {
			if d := w.one(again); d.Disposition != alert.Duplicate || d.RunID != first.RunID {
				t.Errorf("the same alert while its cooldown holds: %+v", d)
			}
		}
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Cooldown {
			t.Errorf("a new alert while the cooldown holds: %+v", d)
		}
		if n := len(w.temp.calls()); n != 1 {
			t.Errorf("the action ran %d times", n)
		}
		time.Sleep(defaultCooldown + time.Second)
		if d := w.one(a); d.Disposition != alert.Accepted || d.RunID == first.RunID {
			t.Errorf("the same alert, still firing, after the cooldown: %+v", d)
		}
		for reason, want := range map[string]float64{SkipDuplicate: 3, SkipCooldown: 1} {
			if got := w.counter("spillway_action_skips_total", map[string]string{"target": "svc", "action": "clean_temp", "reason": reason}); got != want {
				t.Errorf("skips for %s: %v, want %v", reason, got, want)
			}
		}
	})
}

func TestEveryDispositionIsCountedAndLogged(t *testing.T) {
	bubble(t, Options{Instance: "web-1:10042"}, func(t *testing.T, w *world) {
		mine := w.firing("svc", "clean_temp", warning)
		mine.Labels[alert.LabelInstance] = "web-1:10042"
		theirs := w.firing("svc", "clean_temp", warning)
		theirs.Labels[alert.LabelInstance] = "web-2:10042"
		resolved := w.firing("svc", "clean_temp", warning)
		resolved.Status = alert.StatusResolved
		alerts := []alert.Alert{mine, theirs, w.firing("nobody", "clean_temp", warning), w.firing("svc", "", warning), w.firing("svc", "format_disk", warning), resolved, mine}
		out := w.submit(alerts...)
		w.finished()
		out = append(out, w.one(w.firing("svc", "clean_temp", warning)))
		var got []string
		for _, d := range out {
			got = append(got, d.Disposition)
			if d.Reason == "" || d.Fingerprint == "" {
				t.Errorf("incomplete: %+v", d)
			}
		}
		want := []string{alert.Accepted, alert.NotOurs, alert.NotOurs, alert.NoPlaybook, alert.NoPlaybook, alert.Resolved, alert.Duplicate, alert.Cooldown}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("dispositions (-want +got):\n%s", diff)
		}
		for _, name := range dispositions {
			n := 0.0
			for _, g := range got {
				if g == name {
					n++
				}
			}
			if counted := w.counter("spillway_webhook_alerts_total", map[string]string{"disposition": name}); counted != n {
				t.Errorf("%s is counted %v times, want %v", name, counted, n)
			}
			if n > 0 && name != alert.Accepted && !strings.Contains(w.log.String(), "level=DEBUG msg=alert") {
				t.Errorf("%s is not logged", name)
			}
		}
		// A sender's texts make no series.
		for target, want := range map[string]float64{"nobody": 0, otherTarget: 1, "svc": 5} {
			if got := w.counter("spillway_action_skips_total", map[string]string{"target": target}); got != want {
				t.Errorf("skips of target %q: %v, want %v", target, got, want)
			}
		}
	})
}

func TestInstanceIsLearned(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		send := func(instance, host string) string {
			a := w.firing("svc", "", warning) // asks for nothing, so that ours is no_playbook
			a.Labels[alert.LabelInstance] = instance
			out, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerWebhook, Host: host, Alerts: []alert.Alert{a}})
			if err != nil {
				t.Fatal(err)
			}
			return out[0].Disposition
		}
		f := func(instance, host, want string) {
			t.Helper()
			if got := send(instance, host); got != want {
				t.Errorf("instance %q by host %q: %s, want %s", instance, host, got, want)
			}
		}
		f("web-1:10042", "127.0.0.1:10042", alert.NotOurs)
		f("web-1:10042", "web-1:10042", alert.NoPlaybook) // by the templated URL
		f("web-1:10042", "127.0.0.1:10042", alert.NotOurs)
		w.d.LearnHost("Web-1:10042")
		f("web-1:10042", "127.0.0.1:10042", alert.NoPlaybook) // Prometheus has scraped us under it
		f("web-2:10042", "127.0.0.1:10042", alert.NotOurs)
		w.d.SetInstance("web-3:10042") // configured: nothing else counts
		f("web-1:10042", "web-1:10042", alert.NotOurs)
		f("web-3:10042", "anything", alert.NoPlaybook)
	})
}

// 1,000 alerts in one second, from both entrances and many goroutines, become one run.
func TestStormIsOneRun(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.journal.slow = time.Millisecond
		var (
			mu   sync.Mutex
			runs = make(map[string]int)
			wg   sync.WaitGroup
		)
		for i := range 1000 {
			a := w.firing("svc", "relieve_memory", critical)
			trigger := alert.TriggerWebhook
			if i%2 == 1 {
				trigger = alert.TriggerStandalone
			}
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				out, err := w.d.Submit(t.Context(), alert.Batch{Trigger: trigger, Alerts: []alert.Alert{a}})
				mu.Lock()
				defer mu.Unlock()
				if err != nil || out[0].RunID == "" {
					t.Errorf("alert %d: %+v, %v", i, out, err)
					return
				}
				runs[out[0].Disposition+" "+out[0].RunID]++
			})
		}
		wg.Wait()
		w.finished()
		all := w.records(journal.Filter{})
		n := 0
		for _, r := range all {
			if r.Step == 0 {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d runs for 1,000 alerts: %v", n, runs)
		}
		for _, a := range []*fakeAction{w.temp, w.cache, w.gc} {
			if n := len(a.calls()); n != 1 {
				t.Errorf("an action ran %d times", n)
			}
		}
	})
}

// Both entrances see the same pressure at once: one clean-up.
func TestBothEntrancesAreOneCleanup(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.temp.do = relieves(w, .6)
		var wg sync.WaitGroup
		for _, trigger := range []alert.Trigger{alert.TriggerStandalone, alert.TriggerWebhook} {
			a := w.firing("svc", "relieve_memory", critical)
			wg.Go(func() {
				if _, err := w.d.Submit(t.Context(), alert.Batch{Trigger: trigger, Alerts: []alert.Alert{a}}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.finished()
		if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Cooldown {
			t.Errorf("afterwards: %+v", d)
		}
		if n := len(w.temp.calls()); n != 1 {
			t.Errorf("%d clean-ups", n)
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
		time.Sleep(time.Hour + time.Minute)
		f(emergency, alert.Accepted)
		f(emergency, alert.Accepted) // a new cooldown can be broken again
		f(emergency, alert.Cooldown)
	})
}

// One run per target at a time; the highest level goes first; other targets do not wait.
func TestOneRunPerTargetHighestLevelFirst(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.targets["other"] = w.target("other", ModeEnforce, nil)
		w.d.Apply(w.targets)
		release := make(chan struct{})
		var order []string
		w.temp.do = func(_ context.Context, req action.Request) (action.Result, error) {
			if req.Target == "svc" {
				<-release
			}
			return action.Result{Outcome: action.Done}, nil
		}
		note := func(name string) func(context.Context, action.Request) (action.Result, error) {
			return func(context.Context, action.Request) (action.Result, error) {
				order = append(order, name)
				return action.Result{Outcome: action.Done}, nil
			}
		}
		w.cache.do, w.gc.do = note("trim_cache"), note("relieve_heap")
		w.one(w.firing("svc", "clean_temp", warning))
		w.settled()
		w.one(w.firing("svc", "trim_cache", warning))
		w.one(w.firing("svc", "relieve_heap", emergency))
		other := w.one(w.firing("other", "clean_temp", warning))
		w.settled()
		s := w.d.Status()
		if s.Queued != 2 || len(s.Open) != 3 || s.Open[0].State != StateRunning || s.Open[0].Action != ActionCleanTemp || s.Open[1].State != StateQueued {
			t.Errorf("status %+v", s)
		}
		if got := w.counter("spillway_dispatch_queue_length", nil); got != 2 {
			t.Errorf("queue length %v", got)
		}
		if r := w.run(other.RunID); r.Outcome != "done" {
			t.Errorf("another target waits: %+v", r)
		}
		close(release)
		w.finished()
		if diff := cmp.Diff([]string{"relieve_heap", "trim_cache"}, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestJoiningRaisesTheLevel(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.set("svc", SubjectMemory, .78) // not so low that it counts as falling
		w.targets["svc"] = w.target("svc", ModeEnforce, Playbooks{"relieve_memory": {
			{Do: ActionCleanTemp},
			{Do: ActionEvictCache, When: []series.Level{critical, emergency}, To: ratio(.5)},
			{Do: ActionCollectGarbage, When: []series.Level{emergency}},
		}})
		w.d.Apply(w.targets)
		release := make(chan struct{})
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			<-release
			return action.Result{Outcome: action.Done}, nil
		}
		d := w.one(w.firing("svc", "relieve_memory", warning))
		w.settled()
		w.one(w.firing("svc", "relieve_memory", critical))
		close(release)
		w.finished()
		if diff := cmp.Diff([]string{"1 clean_temp done", "2 evict_cache done"}, w.steps(d.RunID)); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if got := w.cache.calls()[0]; got.EvictTo != .5 || got.Level != critical {
			t.Errorf("request %+v", got)
		}
		r := w.run(d.RunID)
		if r.Level != "critical" || !strings.Contains(r.Detail, "collect_garbage was left out at level critical") {
			t.Errorf("the run is %+v", r)
		}
		if got := w.counter("spillway_action_skips_total", map[string]string{"action": "collect_garbage", "reason": "level"}); got != 1 {
			t.Errorf("skips for the level: %v", got)
		}
	})
}

func ratio(f float64) *units.Ratio { r := units.Ratio(f); return &r }

func TestStepCooldown(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.targets["svc"] = w.target("svc", ModeEnforce, Playbooks{"relieve_memory": {
			{Do: ActionCleanTemp, Cooldown: units.Duration(time.Minute)}, {Do: ActionCollectGarbage, Cooldown: units.Duration(time.Hour)},
		}})
		w.d.Apply(w.targets)
		first := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		time.Sleep(3 * time.Minute) // the playbook rests for a minute, twice that as it was ineffective
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

func TestFallingIsLeftAlone(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.set("svc", SubjectMemory, .98)
		w.observer.set("svc", SubjectMemory, .75)
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		r := w.run(d.RunID)
		if r.Outcome != OutcomeFalling || !strings.Contains(r.Detail, "75% is below 85% of its recent peak of 98%") || len(w.temp.calls()) != 0 {
			t.Errorf("the run is %+v, %d calls", r, len(w.temp.calls()))
		}
		for _, a := range []string{ActionCleanTemp, ActionEvictCache, ActionCollectGarbage} {
			if got := w.counter("spillway_action_skips_total", map[string]string{"action": a, "reason": "falling"}); got != 1 {
				t.Errorf("skips of %s: %v", a, got)
			}
		}
		// It has done nothing, so it does not rest; when the value rises again it acts.
		w.observer.set("svc", SubjectMemory, .95)
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
		w.observer.set("svc", SubjectMemory, .96)
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

// A dry run goes through all steps and verifies nothing.
func TestDryRun(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.targets["svc"] = w.target("svc", ModeDryRun, nil)
		w.d.Apply(w.targets)
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.settled() // no time passes
		r := w.run(d.RunID)
		if r.Outcome != "dry_run" || r.Mode != ModeDryRun {
			t.Errorf("the run is %+v", r)
		}
		if diff := cmp.Diff([]string{"1 clean_temp dry_run", "2 evict_cache dry_run", "3 collect_garbage dry_run"}, w.steps(d.RunID)); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if got := w.counter("spillway_action_removed_files_total", nil); got != 0 {
			t.Errorf("a dry run counts %v removed files", got)
		}
		if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Cooldown {
			t.Errorf("a dry run does not rest: %+v", d)
		}
	})
}

// Without a durable journal a target that enforces gets dry runs.
func TestVolatileJournalNeverEnforces(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.journal.volatile = true
		d := w.one(w.firing("svc", "clean_temp", critical))
		w.finished()
		if r := w.run(d.RunID); r.Mode != ModeDryRun || !w.temp.calls()[0].DryRun {
			t.Errorf("the run is %+v", r)
		}
		if _, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Action: ActionCleanTemp, DryRun: new(bool)}); !errors.Is(err, ErrNotEnforced) {
			t.Errorf("a manual run for real: %v", err)
		}
	})
}

// Whatever is asked and however the mode changes meanwhile, an action is asked to act for real
// only when the target's mode was enforce, both when the run was accepted and when it acts.
func TestDryRunTargetNeverActs(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		var mode string
		var mu sync.Mutex
		set := func(m string) {
			mu.Lock()
			defer mu.Unlock()
			mode = m
			w.d.Apply(map[string]Target{"svc": w.target("svc", m, nil)})
		}
		check := func(_ context.Context, req action.Request) (action.Result, error) {
			mu.Lock()
			now := mode
			mu.Unlock()
			if !req.DryRun && now != ModeEnforce {
				t.Errorf("%s is asked to act for real in mode %q", req.RunID, now)
			}
			// The mode changes while the playbook is at work.
			if now == ModeEnforce {
				set(ModeDryRun)
			} else {
				set("")
			}
			return action.Result{Outcome: action.Done}, nil
		}
		w.temp.do, w.cache.do, w.gc.do = check, check, check
		yes, no := true, false
		real := 0
		for _, m := range []string{ModeDryRun, ModeEnforce, "", "ENFORCE", "enforced"} {
			for _, dry := range []*bool{nil, &yes, &no} {
				for name := range w.target("svc", m, nil).Playbooks {
					set(m)
					_, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: name, DryRun: dry, Force: true})
					if dry == &no && m != ModeEnforce && !errors.Is(err, ErrNotEnforced) {
						t.Errorf("mode %q: a run for real is not refused: %v", m, err)
					}
					if dry == &no && m == ModeEnforce {
						real++
					}
					w.finished()
					set(m)
					a := w.firing("svc", name, emergency)
					if _, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerWebhook, Alerts: []alert.Alert{a}}); err != nil {
						t.Error(err)
					}
					w.finished()
					time.Sleep(2 * time.Hour)
				}
			}
		}
		acted := 0
		for _, a := range []*fakeAction{w.temp, w.cache, w.gc} {
			for _, req := range a.calls() {
				if !req.DryRun {
					acted++
				}
			}
		}
		if acted < real {
			t.Errorf("only %d calls for real: the test shows nothing", acted)
		}
	})
}

func TestJournalFailsAtTheIntentOfARun(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.journal.fail(errDisk)
		a := w.firing("svc", "clean_temp", critical)
		out, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerWebhook, Alerts: []alert.Alert{a, a, w.firing("svc", "", warning)}})
		if !errors.Is(err, ErrJournal) || !errors.Is(err, errDisk) {
			t.Errorf("error %v, want ErrJournal with its cause", err)
		}
		want := []string{alert.Refused, alert.Refused, alert.NoPlaybook}
		for i, d := range out {
			if d.Disposition != want[i] || d.RunID != "" {
				t.Errorf("alert %d: %+v, want %s", i, d, want[i])
			}
		}
		w.settled()
		if n := len(w.temp.calls()); n != 0 {
			t.Errorf("the action ran %d times without an intent", n)
		}
		if got := w.counter("spillway_action_skips_total", map[string]string{"action": "clean_temp", "reason": "journal"}); got != 2 {
			t.Errorf("skips for the journal: %v", got)
		}
		if s := w.d.Status(); s.Queued != 0 || len(s.Open) != 0 {
			t.Errorf("status %+v", s)
		}
		w.journal.fail(nil) // the sender comes again
		if d := w.one(a); d.Disposition != alert.Accepted {
			t.Errorf("the same alert afterwards: %+v", d)
		}
		w.finished()
		if n := len(w.temp.calls()); n != 1 {
			t.Errorf("the action ran %d times", n)
		}
	})
}

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

func TestQueueFull(t *testing.T) {
	bubble(t, Options{QueueLength: 2}, func(t *testing.T, w *world) {
		release := make(chan struct{})
		block := func(context.Context, action.Request) (action.Result, error) {
			<-release
			return action.Result{Outcome: action.Done}, nil
		}
		w.temp.do, w.gc.do, w.cache.do = block, block, block
		w.one(w.firing("svc", "clean_temp", warning))
		w.settled()
		w.one(w.firing("svc", "trim_cache", warning))
		w.one(w.firing("svc", "relieve_heap", warning))
		a := w.firing("svc", "relieve_memory", critical)
		out, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerWebhook, Alerts: []alert.Alert{a}})
		if !errors.Is(err, ErrQueueFull) || out[0].Disposition != alert.Refused {
			t.Errorf("%+v, %v, want ErrQueueFull", out, err)
		}
		if _, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: "relieve_memory"}); !errors.Is(err, ErrQueueFull) {
			t.Errorf("manual: %v, want ErrQueueFull", err)
		}
		if got := w.counter("spillway_action_skips_total", map[string]string{"reason": "queue_full"}); got != 3 {
			t.Errorf("skips for the queue: %v, want one for each action of the playbook", got)
		}
		close(release)
		w.finished()
		if d := w.one(a); d.Disposition != alert.Accepted {
			t.Errorf("afterwards: %+v", d)
		}
		w.finished()
	})
}

// While a crowd of alerts is being answered a run waits, but not for ever.
func TestRunsGiveWayToACrowd(t *testing.T) {
	f := func(crowd int64, want time.Duration) {
		t.Helper()
		bubble(t, Options{}, func(t *testing.T, w *world) {
			begin := time.Now()
			var began time.Duration
			w.temp.do = func(context.Context, action.Request) (action.Result, error) {
				began = time.Since(begin)
				return action.Result{Outcome: action.Done}, nil
			}
			w.d.submitting.Store(crowd)
			w.one(w.firing("svc", "clean_temp", warning))
			w.finished()
			if began != want {
				t.Errorf("%d submissions at once: the run began after %s, want %s", crowd, began, want)
			}
		})
	}
	f(crowd, 0)
	f(crowd+1, giveWayMost)
}

func TestStepTimesOut(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.targets["svc"] = w.target("svc", ModeEnforce, Playbooks{"clean_temp": {{Do: ActionCleanTemp, Timeout: units.Duration(7 * time.Second)}}})
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

func TestReloadWhileARunIsOpen(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			w.d.Apply(map[string]Target{"new": w.target("new", ModeEnforce, nil)})
			return action.Result{Outcome: action.Done, Files: 1}, nil
		}
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		r := w.run(d.RunID)
		if r.Outcome != "partial" || !strings.Contains(r.Error, `target "svc": not configured any more`) || len(w.cache.calls()) != 0 {
			t.Errorf("the run is %+v", r)
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
		time.Sleep(9 * time.Minute)
		w.start(Options{})
		d := w.one(w.firing("svc", "relieve_memory", critical))
		if d.Disposition != alert.Cooldown || d.RunID != first.RunID {
			t.Errorf("after a restart: %+v", d)
		}
		s := w.d.Status()
		if len(s.Playbooks) != 1 || s.Playbooks[0].LastOutcome != OutcomeIneffective || s.Playbooks[0].CooldownUntil.IsZero() {
			t.Errorf("status %+v", s)
		}
		time.Sleep(2 * time.Minute)
		if !w.d.Status().Playbooks[0].CooldownUntil.IsZero() {
			t.Error("the status shows a cooldown that is over")
		}
		second := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		if second.Disposition != alert.Accepted {
			t.Fatalf("after the cooldown: %+v", second)
		}
		time.Sleep(19 * time.Minute)
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
		time.Sleep(6 * time.Minute)
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
			{RunID: "1", Target: "svc", Playbook: "clean_temp", Trigger: "webhook", Step: 1, Action: ActionCleanTemp},
		}
		w.start(Options{})
		if got := w.counter("spillway_playbook_runs_total", map[string]string{"outcome": "interrupted"}); got != 1 {
			t.Errorf("%v runs are counted as interrupted, want 1", got)
		}
		if n := strings.Count(w.log.String(), "interrupted by the end of the last start"); n != 2 {
			t.Errorf("%d lines in the log, want one for each record", n)
		}
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Accepted {
			t.Errorf("the alert comes again: %+v", d)
		}
		w.finished()
	})
}

func TestDrain(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			time.Sleep(10 * time.Second)
			return action.Result{Outcome: action.Done, Files: 1}, nil
		}
		running := w.one(w.firing("svc", "relieve_memory", critical))
		w.settled()
		waiting := w.one(w.firing("svc", "trim_cache", warning))
		drained := make(chan error)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() { drained <- w.d.Drain(ctx) }()
		w.settled()
		for _, name := range []string{"relieve_memory", "relieve_heap"} {
			out, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerWebhook, Alerts: []alert.Alert{w.firing("svc", name, critical)}})
			if !errors.Is(err, ErrDraining) || out[0].Disposition != alert.Refused {
				t.Errorf("%s while draining: %+v, %v", name, out, err)
			}
		}
		if _, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: "clean_temp"}); !errors.Is(err, ErrDraining) {
			t.Errorf("manual while draining: %v", err)
		}
		if err := <-drained; err != nil {
			t.Errorf("Drain: %v", err)
		}
		if r := w.run(waiting.RunID); r.Outcome != journal.OutcomeInterrupted || !strings.Contains(r.Error, "not begun") {
			t.Errorf("the run that waited: %+v", r)
		}
		r := w.run(running.RunID)
		if r.Outcome != journal.OutcomeInterrupted || len(w.cache.calls()) != 0 {
			t.Errorf("the run that was at work: %+v", r)
		}
		if diff := cmp.Diff([]string{"1 clean_temp done"}, w.steps(running.RunID)); diff != "" {
			t.Errorf("its step was not let to its end (-want +got):\n%s", diff)
		}
		if got := w.counter("spillway_action_skips_total", map[string]string{"reason": "draining", "action": ActionCollectGarbage}); got != 2 {
			t.Errorf("skips for draining: %v", got)
		}
	})
}

func TestDrainCancelsAtItsDeadline(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.temp.do = func(ctx context.Context, _ action.Request) (action.Result, error) {
			<-ctx.Done()
			return action.Result{Outcome: action.Partial, Files: 7}, ctx.Err()
		}
		d := w.one(w.firing("svc", "clean_temp", warning))
		w.settled()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		if err := w.d.Drain(ctx); err != nil {
			t.Errorf("Drain: %v", err)
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("it took %s", took)
		}
		if diff := cmp.Diff([]string{"1 clean_temp partial"}, w.steps(d.RunID)); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if r := w.run(d.RunID); r.Outcome != "unknown" || r.Files != 7 {
			t.Errorf("the run is %+v", r)
		}
	})
}

func TestDrainGivesUpAStuckAction(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		stuck := make(chan struct{})
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			<-stuck
			return action.Result{Outcome: action.Done}, nil
		}
		d := w.one(w.firing("svc", "clean_temp", warning))
		w.settled()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.d.Drain(ctx); err == nil || !strings.Contains(err.Error(), "svc: clean_temp") {
			t.Errorf("Drain: %v, want the stuck action named", err)
		}
		if r := w.run(d.RunID); r.Outcome != "unknown" {
			t.Errorf("the run is %+v, want unknown and never done", r)
		}
		<-w.ended    // Run does not wait for it, so that the process can end
		close(stuck) // it comes back after all
		synctest.Wait()
		if r := w.run(d.RunID); r.Outcome != "unknown" {
			t.Errorf("the run became %+v", r)
		}
		if got := w.counter("spillway_playbook_runs_total", nil); got != 1 {
			t.Errorf("the run is counted %v times", got)
		}
	})
}

// The exporter ends while an intent is being written: the record is there, nothing has run.
func TestDrainWhileAnIntentIsWritten(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.journal.slow = time.Second
		a := w.firing("svc", "clean_temp", warning)
		answered := make(chan error)
		go func() {
			_, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerWebhook, Alerts: []alert.Alert{a}})
			answered <- err
		}()
		w.settled()
		if err := w.d.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-answered; !errors.Is(err, ErrDraining) {
			t.Errorf("Submit: %v, want ErrDraining", err)
		}
		records := w.records(journal.Filter{})
		if len(records) != 1 || records[0].Outcome != journal.OutcomeInterrupted || len(w.temp.calls()) != 0 {
			t.Errorf("records %+v", records)
		}
		if s := w.d.Status(); s.Queued != 0 || len(s.Open) != 0 || !s.Draining {
			t.Errorf("status %+v", s)
		}
	})
}

func TestRunNow(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		run := func(req ManualRequest) string {
			t.Helper()
			id, err := w.d.RunNow(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			w.finished()
			return id
		}
		w.observer.set("svc", SubjectMemory, .5)
		id := run(ManualRequest{Target: "svc", Playbook: "relieve_memory", Force: true})
		if r := w.run(id); r.Trigger != "manual" || r.Outcome != "done" || len(w.steps(id)) != 3 {
			t.Errorf("without pressure every step runs: %+v", r)
		}
		if !w.temp.calls()[0].Force {
			t.Error("Force does not reach the action")
		}
		// A cooldown holds alerts back, not a person.
		if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Cooldown {
			t.Errorf("an alert after it: %+v", d)
		}
		if again := run(ManualRequest{Target: "svc", Playbook: "relieve_memory"}); again == id {
			t.Error("a person is held back")
		}

		yes := true
		id = run(ManualRequest{Target: "svc", Playbook: "trim_cache", DryRun: &yes})
		if r := w.run(id); r.Mode != ModeDryRun || r.Outcome != "dry_run" {
			t.Errorf("a dry run: %+v", r)
		}
		if d := w.one(w.firing("svc", "trim_cache", warning)); d.Disposition != alert.Accepted {
			t.Errorf("a person's dry run holds alerts back: %+v", d)
		}
		w.finished()

		id = run(ManualRequest{Target: "svc", Action: ActionCleanTemp, Only: "tts", Trigger: alert.TriggerSchedule})
		last := w.temp.calls()[len(w.temp.calls())-1]
		if r := w.run(id); r.Trigger != "schedule" || last.Only != "tts" || last.Relief || r.Playbook != ActionCleanTemp {
			t.Errorf("an action alone: %+v, request %+v", r, last)
		}
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Accepted {
			t.Errorf("a schedule holds alerts back: %+v", d)
		}
		w.finished()
	})
}

func TestRunNowWithPressureVerifies(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.temp.do = relieves(w, .5)
		id, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: "relieve_memory"})
		if err != nil {
			t.Fatal(err)
		}
		w.finished()
		if r := w.run(id); r.Outcome != OutcomeRelieved || len(w.steps(id)) != 1 {
			t.Errorf("the run is %+v", r)
		}
	})
}

func TestRunNowJoinsTheSame(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.temp.do = func(_ context.Context, req action.Request) (action.Result, error) {
			<-release
			return action.Result{Outcome: action.Done}, nil
		}
		d := w.one(w.firing("svc", "clean_temp", warning))
		yes := true
		ids := make(map[string]bool)
		for _, req := range []ManualRequest{
			{Target: "svc", Playbook: "clean_temp"},
			{Target: "svc", Playbook: "clean_temp"},
			{Target: "svc", Playbook: "clean_temp", DryRun: &yes},
			{Target: "svc", Playbook: "clean_temp", Force: true},
			{Target: "svc", Playbook: "clean_temp", Only: "tts"},
			{Target: "svc", Action: ActionCleanTemp},
		} {
			id, err := w.d.RunNow(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			ids[id] = true
		}
		if len(ids) != 5 || !ids[d.RunID] {
			t.Errorf("runs %v, want the open one for the first two and one for each of the others", ids)
		}
		close(release)
		w.finished()
		if w.temp.overlap {
			t.Error("an action ran twice at once for one target")
		}
	})
}

func TestRunNowMistakes(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		f := func(req ManualRequest, want error, says string) {
			t.Helper()
			if _, err := w.d.RunNow(t.Context(), req); !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
				t.Errorf("%+v: %v, want %v and a word about %q", req, err, want, says)
			}
		}
		f(ManualRequest{Target: "nobody", Playbook: "clean_temp"}, ErrUnknown, "write one of svc")
		f(ManualRequest{Target: "svc", Playbook: "format_disk"}, ErrUnknown, "write one of clean_temp, on_exit, relieve_heap, relieve_memory, trim_cache")
		f(ManualRequest{Target: "svc", Action: "rm"}, ErrUnknown, "write one of clean_temp, collect_garbage, evict_cache")
		f(ManualRequest{Target: "svc"}, ErrBadRequest, "either a playbook")
		f(ManualRequest{Target: "svc", Playbook: "clean_temp", Action: "clean_temp"}, ErrBadRequest, "either a playbook")
		w.journal.fail(errDisk)
		f(ManualRequest{Target: "svc", Playbook: "clean_temp"}, ErrJournal, errDisk.Error())
		if len(w.d.Status().Open) != 0 {
			t.Error("a run that was not recorded is open")
		}
	})
}

func TestRunTwice(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.settled()
		if err := w.d.Run(t.Context()); err == nil {
			t.Error("Run can be called twice")
		}
	})
}

func TestServedAlertsAreBounded(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			<-release
			return action.Result{Outcome: action.Done}, nil
		}
		var alerts []alert.Alert
		for range 3 * maxServed {
			alerts = append(alerts, w.firing("svc", "clean_temp", warning))
		}
		out := w.submit(alerts...)
		if slices.ContainsFunc(out, func(d alert.Disposition) bool { return d.RunID != out[0].RunID || d.Disposition != alert.Accepted }) {
			t.Error("one run does not serve them all")
		}
		w.d.mu.Lock()
		n := len(w.d.lanes[laneKey{"svc", "clean_temp"}].served)
		w.d.mu.Unlock()
		if n != maxServed {
			t.Errorf("%d alerts are remembered, want %d", n, maxServed)
		}
		close(release)
		w.finished()
	})
}
