package dispatch

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// A reload may come after the intent of a step was read from the configuration, and before its action runs:
// while the journal is slow, or while others act.
func TestReloadBeforeAnActionBegins(t *testing.T) {
	tests := []struct {
		name string
		next func(w *world) map[string]Target
		want string // of the step
		err  string
	}{
		{
			"dry_run now", func(w *world) map[string]Target { return map[string]Target{"svc": w.target("svc", ModeDryRun, nil)} },
			"1 clean_temp failed", "step 1, clean_temp: the target is in mode dry_run since the last reload",
		},
		{
			"gone", func(*world) map[string]Target { return nil },
			"1 clean_temp failed", `target "svc" is not configured since the last reload`,
		},
		{
			"another folder", func(w *world) map[string]Target {
				target := w.target("svc", ModeEnforce, nil)
				target.Actions[action.NameCleanTemp] = &fakeAction{}
				return map[string]Target{"svc": target}
			},
			"1 clean_temp done", "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, w *world) {
				w.journal.slow = 2 * time.Second
				d := w.one(w.firing("svc", "clean_temp", warning))
				<-time.After(time.Second) // the intent of the step is being written
				w.d.Apply(tt.next(w))
				w.finished()
				if calls := w.temp.calls(); len(calls) > 0 {
					t.Errorf("the action of the configuration before ran: %+v", calls)
				}
				if diff := cmp.Diff([]string{tt.want}, w.steps(d.RunID)); diff != "" {
					t.Errorf("steps (-want +got):\n%s", diff)
				}
				for _, r := range w.records(journal.Filter{RunID: d.RunID}) {
					if r.Error != tt.err {
						t.Errorf("%s: error %q, want %q", r.Intent, r.Error, tt.err)
					}
				}
			})
		})
	}
}
