package dispatch

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
)

// TestActionThatDoesNotReturn: a folder whose file server is gone holds an action in the kernel.
// Its run ends as unknown, other actions of the target go on, and it is not started again alongside
// itself.
func TestActionThatDoesNotReturn(t *testing.T) {
	bubble(t, Options{Workers: 1}, func(t *testing.T, w *world) {
		gate := make(chan struct{})
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			<-gate
			return action.Result{Outcome: action.Done, Files: 1}, nil
		}
		run := func(name string) (outcome, text string) {
			t.Helper()
			id, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Action: name})
			if err != nil {
				t.Fatal(err)
			}
			w.finished()
			r := w.run(id)
			return r.Outcome, r.Error
		}
		start := time.Now()
		id, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Action: action.NameCleanTemp})
		if err != nil {
			t.Fatal(err)
		}
		w.finished()
		if took := time.Since(start); took > defaultStepTimeout+time.Minute {
			t.Errorf("the run ended after %s", took)
		}
		if r := w.run(id); r.Outcome != "unknown" || len(w.steps(id)) != 1 || w.steps(id)[0] != "1 clean_temp unknown" {
			t.Errorf("the run is %s, its steps %v, want unknown", r.Outcome, w.steps(id))
		}
		if outcome, text := run(action.NameEvictCache); outcome != "done" {
			t.Errorf("another action of the target: %s %s, want done", outcome, text)
		}
		if outcome, text := run(action.NameCleanTemp); outcome != "failed" || !strings.Contains(text, "has not returned") {
			t.Errorf("the same action again: %s %q, want failed, and why", outcome, text)
		}
		if n := len(w.temp.calls()); n != 1 {
			t.Errorf("the action was called %d times while it was stuck, want once", n)
		}
		close(gate)
		synctest.Wait()
		if r := w.run(id); r.Outcome != "unknown" {
			t.Errorf("the run became %s when it came back", r.Outcome)
		}
		if outcome, text := run(action.NameCleanTemp); outcome != "done" {
			t.Errorf("once it has returned: %s %s, want done", outcome, text)
		}
	})
}

// TestDrainNamesActionsThatNeverReturned: they end with the process.
func TestDrainNamesActionsThatNeverReturned(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		gate := make(chan struct{})
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			<-gate
			return action.Result{}, nil
		}
		if _, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Action: action.NameCleanTemp}); err != nil {
			t.Fatal(err)
		}
		w.finished()
		if err := w.d.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "svc: clean_temp") {
			t.Errorf("Drain: %v, want the action named", err)
		}
		close(gate)
	})
}

// TestActionThatPanics: it takes the process down neither on its goroutine nor later.
func TestActionThatPanics(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			<-time.After(defaultStepTimeout + time.Hour)
			panic("late")
		}
		id, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Action: action.NameCleanTemp})
		if err != nil {
			t.Fatal(err)
		}
		w.finished()
		if r := w.run(id); r.Outcome != "unknown" {
			t.Errorf("the run is %s, want unknown", r.Outcome)
		}
		<-time.After(2 * time.Hour)
	})
}
