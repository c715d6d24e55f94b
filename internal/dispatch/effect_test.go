package dispatch

import (
	"context"
	"runtime"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// signalling is an action that says when it runs.
type signalling chan struct{}

func (s signalling) Run(context.Context, action.Request) (action.Result, error) {
	s <- struct{}{}
	return action.Result{Outcome: action.Done}, nil
}

// firstEffect returns a function that submits an alert and waits until its first step runs.
func firstEffect(tb testing.TB, d *Dispatcher) func() {
	ran := make(signalling)
	d.mu.Lock()
	target := d.targets["t0"]
	d.mu.Unlock()
	target.Actions = map[string]action.Action{action.NameCleanTemp: ran}
	d.Apply(map[string]Target{"t0": target})
	n := int64(0)
	return func() {
		n++
		got, err := d.Submit(tb.Context(), alert.Batch{Trigger: alert.TriggerStandalone, Alerts: []alert.Alert{benchAlert("t0", n)}})
		if err != nil || got[0].Disposition != alert.Accepted {
			tb.Fatalf("%+v, %v", got, err)
		}
		<-ran
		for open := true; open; runtime.Gosched() { // or the next alert joins this run
			d.mu.Lock()
			open = len(d.open) > 0
			d.mu.Unlock()
		}
	}
}

// BenchmarkFirstEffect is the way from an alert to the begin of the first step: two intents, each
// synced, one after the other.
func BenchmarkFirstEffect(b *testing.B) {
	submit := firstEffect(b, benchDispatcher(b, 1, Options{}))
	b.ReportAllocs()
	for b.Loop() {
		submit()
	}
}

// TestFirstEffectIsLean: under pressure every allocation may wait for memory. A whole run takes 360,
// four of five of them in the transactions of the journal.
func TestFirstEffectIsLean(t *testing.T) {
	submit := firstEffect(t, benchDispatcher(t, 1, Options{}))
	submit()
	const most = 450
	if got := testing.AllocsPerRun(50, submit); got > most {
		t.Errorf("%v allocations for one run, want at most %d", got, most)
	}
}
