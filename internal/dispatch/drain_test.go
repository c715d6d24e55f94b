package dispatch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

func TestDrain(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			<-time.After(10 * time.Second)
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
		if got := w.counter("spillway_action_skips_total", map[string]string{"reason": "draining", "action": action.NameCollectGarbage}); got != 2 {
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
		if diff := cmp.Diff([]string{"1 clean_temp unknown"}, w.steps(d.RunID)); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
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
// A run that ends just before it would be given up is in the journal when Drain returns: the journal is
// closed next.
func TestDrainAwaitsWhatIsWritten(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.journal.slowEnd = 500 * time.Millisecond
		w.temp.do = func(ctx context.Context, _ action.Request) (action.Result, error) {
			<-ctx.Done()
			<-time.After(drainGrace - 100*time.Millisecond)
			return action.Result{Outcome: action.Unknown}, ctx.Err()
		}
		d := w.one(w.firing("svc", "clean_temp", warning))
		w.settled()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := w.d.Drain(ctx)
		if r := w.run(d.RunID); r.Outcome != string(action.Unknown) || err != nil {
			t.Errorf("after Drain (%v) the run is %+v", err, r)
		}
	})
}

// No step begins once a shutdown has begun, also where the intent is written already and a turn is free.
func TestDrainAfterTheIntentOfAStep(t *testing.T) {
	for range 20 { // it was decided by chance
		bubble(t, Options{}, func(t *testing.T, w *world) {
			w.journal.slow = 2 * time.Second
			d := w.one(w.firing("svc", "clean_temp", warning))
			<-time.After(time.Second) // the intent of the step is being written
			if err := w.d.Drain(t.Context()); err != nil {
				t.Error(err)
			}
			if calls := w.temp.calls(); len(calls) > 0 {
				t.Fatalf("a step began after the shutdown: %+v", calls)
			}
			if r := w.run(d.RunID); r.Outcome != journal.OutcomeInterrupted {
				t.Errorf("the run is %+v", r)
			}
		})
	}
}

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
