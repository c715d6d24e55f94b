package dispatch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
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
		<-time.After(defaultCooldown + time.Second)
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
				<-time.After(time.Duration(i) * time.Millisecond)
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
		if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Duplicate {
			t.Errorf("afterwards: %+v", d)
		}
		if n := len(w.temp.calls()); n != 1 {
			t.Errorf("%d clean-ups", n)
		}
	})
}

func TestJoiningRaisesTheLevel(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.set("svc", subject.Memory, .78) // not so low that it counts as falling
		w.targets["svc"] = w.target("svc", ModeEnforce, Playbooks{"relieve_memory": {
			{Do: action.NameCleanTemp},
			{Do: action.NameEvictCache, When: []series.Level{critical, emergency}, To: ratio(.5)},
			{Do: action.NameCollectGarbage, When: []series.Level{emergency}},
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
		if r.Level != "critical" || !strings.Contains(r.Detail, "collect_garbage was skipped at level critical") {
			t.Errorf("the run is %+v", r)
		}
		if got := w.counter("spillway_action_skips_total", map[string]string{"action": "collect_garbage", "reason": "level"}); got != 1 {
			t.Errorf("skips for the level: %v", got)
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
		n := len(w.d.playbooks[playbookKey{"svc", "clean_temp"}].open.progress.served)
		w.d.mu.Unlock()
		if n != maxServed {
			t.Errorf("%d alerts are remembered, want %d", n, maxServed)
		}
		close(release)
		w.finished()
	})
}

func ratio(f float64) *units.Ratio { r := units.Ratio(f); return &r }

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
		w.journal.fail(nil) // the sender retries
		if d := w.one(a); d.Disposition != alert.Accepted {
			t.Errorf("the same alert afterwards: %+v", d)
		}
		w.finished()
		if n := len(w.temp.calls()); n != 1 {
			t.Errorf("the action ran %d times", n)
		}
	})
}
