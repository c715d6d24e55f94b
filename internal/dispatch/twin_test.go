package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// by submits an alert that came by a trigger.
func (w *world) by(trigger alert.Trigger, a alert.Alert) alert.Disposition {
	w.t.Helper()
	out, err := w.d.Submit(w.t.Context(), alert.Batch{Trigger: trigger, Alerts: []alert.Alert{a}})
	if err != nil {
		w.t.Fatalf("Submit: %v", err)
	}
	return out[0]
}

// runs returns the number of runs that were recorded.
func (w *world) runs() (n int) {
	for _, r := range w.records(journal.Filter{}) {
		if r.Step == 0 {
			n++
		}
	}
	return n
}

// relieves makes every action bring the memory of svc down to a ratio.
func (w *world) relieves(ratio float64) {
	for _, a := range []*fakeAction{w.temp, w.cache, w.gc} {
		a.will(func(context.Context, action.Request) (action.Result, error) {
			w.observer.set("svc", subject.Memory, ratio)
			return action.Result{Outcome: action.Done, Files: 3}, nil
		})
	}
}

// The exporter judges its reflex rules itself, and a Prometheus judges the same file. Its alert comes
// later or earlier, with other labels and times. Whatever the order and the outcome: one run.
func TestAlertOfTheOtherSideActsOnce(t *testing.T) {
	const (
		here  = alert.TriggerStandalone
		there = alert.TriggerWebhook
	)
	for _, tc := range []struct {
		name          string
		first, second alert.Trigger
		after         time.Duration // from the first to the second
		relieved      float64       // to what the run brings it; 0: not at all
		want          string
	}{
		{"while the run is open", here, there, 0, .60, alert.Accepted},
		{"a polled one while the run is open", here, alert.TriggerPull, 0, .60, alert.Accepted},
		{"after the run has relieved it", here, there, 10 * time.Second, .84, alert.Duplicate},
		{"after the run was of no use", here, there, 40 * time.Second, 0, alert.Duplicate},
		{"a polled one after the run was of no use", here, alert.TriggerPull, 40 * time.Second, 0, alert.Duplicate},
		{"the other way round, open", there, here, 0, .60, alert.Accepted},
		{"the other way round, of no use", there, here, 40 * time.Second, 0, alert.Duplicate},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, w *world) {
				w.d.Apply(map[string]Target{"svc": w.target("svc", ModeEnforce, Playbooks{"relieve_memory": {
					{Do: action.NameEvictCache, Verify: Verify{After: 2, Below: series.LevelEmergency}},
				}})})
				w.observer.set("svc", subject.Memory, .97)
				if tc.relieved > 0 {
					w.relieves(tc.relieved)
				}
				began := time.Now()
				first := w.firing("svc", "relieve_memory", emergency)
				d := w.by(tc.first, first)
				if d.Disposition != alert.Accepted {
					t.Fatalf("the first: %+v", d)
				}
				if tc.after > 0 {
					w.finished()
					<-time.After(tc.after - time.Since(began))
				}
				second := w.firing("svc", "relieve_memory", emergency)
				if tc.second == here {
					second.StartsAt = began // it only could not be sent before
				}
				if got := w.by(tc.second, second); got.Disposition != tc.want || got.RunID != d.RunID {
					t.Errorf("the second: %+v, want %s by run %s", got, tc.want, d.RunID)
				}
				w.finished()
				if n := w.runs(); n != 1 {
					t.Errorf("%d runs, want 1", n)
				}
			})
		})
	}
}

// A second emergency is a new one: it breaks the cooldown once, as ever, when this exporter saw it
// begin after the run, and when it is another alert.
func TestNewEmergencyAfterARunOfBothSides(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.set("svc", subject.Memory, .97)
		w.relieves(.60)
		w.by(alert.TriggerStandalone, w.firing("svc", "relieve_memory", emergency))
		w.by(alert.TriggerWebhook, w.firing("svc", "relieve_memory", emergency))
		w.finished()
		<-time.After(3 * time.Second)
		w.observer.set("svc", subject.Memory, .97)
		if d := w.by(alert.TriggerStandalone, w.firing("svc", "relieve_memory", emergency)); d.Disposition != alert.Accepted {
			t.Errorf("the next emergency: %+v", d)
		}
		w.finished()
		if n := w.runs(); n != 2 {
			t.Errorf("%d runs, want 2", n)
		}
	})
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.set("svc", subject.Memory, .97)
		w.by(alert.TriggerStandalone, w.firing("svc", "relieve_memory", emergency))
		w.finished()
		other := w.firing("svc", "relieve_memory", emergency)
		other.Labels[alert.LabelName] = "B"
		if d := w.by(alert.TriggerWebhook, other); d.Disposition != alert.Accepted {
			t.Errorf("another alert: %+v", d)
		}
		w.finished()
	})
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.set("svc", subject.Memory, .97)
		own := w.firing("svc", "relieve_memory", emergency)
		w.by(alert.TriggerStandalone, own)
		w.finished()
		<-time.After(4 * time.Minute) // too late for one that was only slow
		if d := w.by(alert.TriggerWebhook, w.firing("svc", "relieve_memory", emergency)); d.Disposition != alert.Duplicate {
			t.Errorf("one of the Prometheus while the own one fires: %+v", d)
		}
		own.Status = alert.StatusResolved
		w.by(alert.TriggerStandalone, own)
		if d := w.by(alert.TriggerWebhook, w.firing("svc", "relieve_memory", emergency)); d.Disposition != alert.Accepted {
			t.Errorf("an emergency of the Prometheus, minutes later: %+v", d)
		}
		w.finished()
	})
}
