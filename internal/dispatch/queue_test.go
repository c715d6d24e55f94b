package dispatch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

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
		if s.Queued != 2 || len(s.Open) != 3 || s.Open[0].State != StateRunning || s.Open[0].Action != action.NameCleanTemp || s.Open[1].State != StateQueued {
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

func TestRunTwice(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.settled()
		if err := w.d.Run(t.Context()); err == nil {
			t.Error("Run can be called twice")
		}
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
		if r.Outcome != "partial" || !strings.Contains(r.Error, `target "svc" is not configured since the last reload`) || len(w.cache.calls()) != 0 {
			t.Errorf("the run is %+v", r)
		}
	})
}
