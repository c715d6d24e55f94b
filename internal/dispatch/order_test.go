package dispatch

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// fifty runs a test often enough that an order that only a map gives would show.
func fifty(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	for range 50 {
		if t.Failed() {
			return
		}
		bubble(t, Options{}, f)
	}
}

// crowded gives a world twelve targets, named against the order in which one alert for each is
// returned.
func crowded(w *world) (names []string, alerts []alert.Alert) {
	w.targets = make(map[string]Target)
	for i := range 12 {
		name := fmt.Sprintf("svc%02d", 12-i)
		names = append(names, name)
		w.targets[name] = w.target(name, ModeEnforce, nil)
		alerts = append(alerts, w.firing(name, "clean_temp", warning))
	}
	w.d.Apply(w.targets)
	return names, alerts
}

func TestStuckRunsAreNamedInOrder(t *testing.T) {
	fifty(t, func(t *testing.T, w *world) {
		stuck := make(chan struct{})
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			<-stuck
			return action.Result{Outcome: action.Done}, nil
		}
		_, alerts := crowded(w)
		w.submit(alerts[:defaultWorkers]...)
		w.settled()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := w.d.Drain(ctx)
		want := "4 runs did not end after they were cancelled: svc12: clean_temp, svc11: clean_temp, svc10: clean_temp, svc09: clean_temp"
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		close(stuck)
		w.settled()
	})
}

func TestStatusIsInTheOrderOfAcceptance(t *testing.T) {
	fifty(t, func(t *testing.T, w *world) {
		names, alerts := crowded(w)
		w.journal.slow = time.Second // no run has an id yet, and all are of the same moment
		answered := make(chan error)
		go func() {
			_, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerWebhook, Alerts: alerts})
			answered <- err
		}()
		w.settled()
		var got []string
		for _, r := range w.d.Status().Open {
			got = append(got, r.Target)
		}
		if diff := cmp.Diff(names, got); diff != "" {
			t.Errorf("open runs (-want +got):\n%s", diff)
		}
		if err := <-answered; err != nil {
			t.Error(err)
		}
		w.finished()
	})
}

func TestManualRunJoinsTheOldest(t *testing.T) {
	fifty(t, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			<-release
			return action.Result{Outcome: action.Done}, nil
		}
		oldest, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: "clean_temp", Trigger: alert.TriggerSchedule})
		if err != nil {
			t.Fatal(err)
		}
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.RunID == oldest {
			t.Fatal("the alert has no run of its own: the test shows nothing")
		}
		if id, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: "clean_temp"}); err != nil || id != oldest {
			t.Errorf("joined run %s, %v, want the oldest, %s", id, err, oldest)
		}
		close(release)
		w.finished()
	})
}

func TestDamagedCooldownsAreReportedInOrder(t *testing.T) {
	key := regexp.MustCompile(` key=(\S+)`)
	fifty(t, func(t *testing.T, w *world) {
		w.end()
		var want []string
		for i := range 12 {
			name := fmt.Sprintf("cooldown/svc%02d/clean_temp", i)
			want = append(want, name)
			if err := w.journal.PutState(t.Context(), name, []byte("damaged")); err != nil {
				t.Fatal(err)
			}
		}
		w.journal.putErr = errDisk
		w.start(Options{})
		w.settled()
		var got []string
		for _, m := range key.FindAllStringSubmatch(w.log.String(), -1) {
			got = append(got, m[1])
		}
		if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(got, "\n")); diff != "" {
			t.Errorf("reported (-want +got):\n%s", diff)
		}
	})
}
