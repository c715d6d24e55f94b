package dispatch

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/regret"
)

// TestForeseen: the files that a dry run names are remembered, those of a run that acts, logs and entries of several
// files are not; what cannot be written is logged and costs nothing else.
func TestForeseen(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		two := int64(2)
		w.temp.will(func(_ context.Context, req action.Request) (action.Result, error) {
			if req.OnFile != nil {
				for _, p := range []action.PolicyResult{{Kind: policy.KindTemp, Policy: "tts"}, {Kind: policy.KindLog, Policy: "app"}, {Kind: policy.KindTemp, Policy: "dirs", EntryFiles: &two}} {
					req.OnFile(p, []byte("a"), "expired")
				}
			}
			return action.Result{Outcome: action.DryRun, Files: 1}, nil
		})
		run := func(mode string) (outcome string) {
			t.Helper()
			w.d.Apply(map[string]Target{"svc": w.target("svc", mode, nil)})
			id, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Action: action.NameCleanTemp})
			if err != nil {
				t.Fatal(err)
			}
			w.finished()
			return w.run(id).Outcome
		}
		victims := func(kind, name string) int {
			t.Helper()
			c, _ := regret.Look(t.Context(), w.journal, regret.Of{Target: "svc", Kind: kind, Policy: name}, regret.Options{Dir: "/nonexistent", Now: time.Now()})
			return c.Victims
		}
		run(ModeEnforce)
		if n := victims(policy.KindTemp, "tts"); n != 0 {
			t.Errorf("a run that acts: %d", n)
		}
		w.journal.putErr = errDisk
		if outcome := run(ModeDryRun); outcome != string(action.DryRun) || !strings.Contains(w.log.String(), "is not remembered") {
			t.Errorf("outcome %s, log %s", outcome, w.log)
		}
		w.journal.putErr = nil
		run(ModeDryRun)
		if tts, logs, dirs := victims(policy.KindTemp, "tts"), victims(policy.KindLog, "app"), victims(policy.KindTemp, "dirs"); tts != 1 || logs != 0 || dirs != 0 {
			t.Errorf("%d files, %d logs, %d entries", tts, logs, dirs)
		}
	})
}
