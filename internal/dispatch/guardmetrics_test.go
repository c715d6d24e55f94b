package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/window"
)

// TestRunningIsWhatActs: a run is shown from its acceptance to its end, a dry run never.
func TestRunningIsWhatActs(t *testing.T) {
	for mode, want := range map[string]float64{ModeEnforce: 1, ModeDryRun: 0} {
		bubble(t, Options{}, func(t *testing.T, w *world) {
			w.guard(mode, "x", Guard{}, nil, nil)
			running := func() float64 { return w.counter("spillway_playbook_running", nil) }
			during := -1.0
			w.temp.will(func(context.Context, action.Request) (action.Result, error) {
				during = running()
				return action.Result{Outcome: action.Done}, nil
			})
			if running() != 0 {
				t.Error("shown before it runs")
			}
			if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Accepted {
				t.Fatalf("%+v", d)
			}
			w.finished()
			if during != want || running() != 0 {
				t.Errorf("%s: %v while it ran, want %v; then %v", mode, during, want, running())
			}
		})
	}
}

// TestWindowOpenMetric: shown for playbooks with a window only, or with a step that has one.
func TestWindowOpenMetric(t *testing.T) {
	// The bubble begins at midnight UTC.
	windows := window.Windows{"noon": {{Times: []window.Range{{Start: "12:00", End: "14:00"}}}}}
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.guard(ModeEnforce, "clean_temp", Guard{WhenOpen: "noon"}, windows, Playbooks{
			"steps": {{Do: action.NameCleanTemp, WhenOpen: "noon"}}, "some": {{Do: action.NameCleanTemp, WhenOpen: "noon"}, {Do: action.NameCollectGarbage}},
		})
		open := func(playbook string) float64 {
			return w.counter("spillway_window_open", map[string]string{"playbook": playbook})
		}
		for _, want := range []float64{0, 1} {
			if got := [3]float64{open("clean_temp"), open("steps"), open("some")}; got != [3]float64{want, want, 1} {
				t.Errorf("%v, want %v for the first two", got, want)
			}
			passes(12 * time.Hour)
		}
		if n, err := testutil.GatherAndCount(w.reg, "spillway_window_open"); err != nil || n != 3 {
			t.Errorf("%d series, want one for each playbook with a window: %v", n, err)
		}
	})
}
