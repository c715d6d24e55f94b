package dispatch

import (
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// TestRunningOutIsNotRelieved: memory that is about to reach its limit and has not fallen is not relieved
// because it is still at warning; the next step runs. Where it has fallen, or rises no longer, it is.
func TestRunningOutIsNotRelieved(t *testing.T) {
	for _, tc := range []struct {
		name    string
		after   float64
		rising  bool
		outcome string
		steps   int
	}{
		{"it goes on", .79, true, OutcomeIneffective, 2},
		{"it fell and grows again", .50, true, OutcomeRelieved, 1},
		{"it has stopped", .79, false, OutcomeRelieved, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, w *world) {
				w.d.Apply(map[string]Target{"svc": w.target("svc", ModeEnforce, Playbooks{"relieve_memory": {
					{Do: action.NameCleanTemp, Verify: Verify{Below: critical}}, {Do: action.NameCollectGarbage},
				}})})
				set := func(ratio float64, rising bool) {
					w.observer.set("svc", subject.Memory, ratio)
					w.observer.mu.Lock()
					defer w.observer.mu.Unlock()
					key := "svc/" + string(subject.Memory)
					r := w.observer.readings[key]
					r.Rising = rising
					w.observer.readings[key] = r
				}
				set(.775, true)
				w.observer.refresh = func(o *fakeObserver, target string, s Subject) {
					key := target + "/" + string(s)
					r := o.readings[key]
					r.Samples++
					r.Ratio, r.Rising = tc.after, tc.rising
					r.Level = series.Thresholds{Warning: .70, Critical: .85, Emergency: .95}.Of(tc.after)
					o.readings[key] = r
				}
				d := w.one(w.firing("svc", "relieve_memory", emergency))
				w.finished()
				if r := w.run(d.RunID); r.Outcome != tc.outcome || len(w.steps(d.RunID)) != tc.steps {
					t.Errorf("%s after %q, want %s after %d steps", r.Outcome, w.steps(d.RunID), tc.outcome, tc.steps)
				}
			})
		})
	}
}
