package dispatch

import (
	"context"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// TestFollower: whoever follows a run, its joiners included, learns of each file, of its progress and of
// its end once, and the journal says who asked.
func TestFollower(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		var ends []End
		files, progress := 0, 0
		w.temp.will(func(_ context.Context, req action.Request) (action.Result, error) {
			req.Progress(action.PolicyResult{Files: 1})
			if req.OnFile != nil {
				req.OnFile(action.PolicyResult{}, []byte("x"), "expired")
			}
			return action.Result{Outcome: action.Done, Files: 1, Policies: []action.PolicyResult{{Policy: "tts", Files: 1}}}, nil
		})
		req := ManualRequest{Target: "svc", Action: action.NameCleanTemp, By: "a test"}
		ask := func(f *Follower) string {
			t.Helper()
			req.Follower = f
			id, err := w.d.RunNow(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		id := ask(&Follower{
			Progress: func(action.PolicyResult) { progress++ },
			File:     func(action.PolicyResult, []byte, string) { files++ },
			Ended:    func(e End) { ends = append(ends, e) },
		})
		w.finished()
		if len(ends) != 1 || ends[0].Outcome != string(action.Done) || ends[0].Err != nil || len(ends[0].Policies) != 1 || files != 1 || progress != 1 {
			t.Errorf("%d files, %d times progress, %+v", files, progress, ends)
		}
		if r := w.run(id); !strings.HasSuffix(r.Intent, ", requested by a test") {
			t.Errorf("intent %q", r.Intent)
		}
		ask(&Follower{Ended: func(e End) { ends = append(ends, e) }})
		ask(&Follower{Ended: func(e End) { ends = append(ends, e) }})
		w.finished()
		if files != 1 || len(ends) != 3 {
			t.Errorf("%d files were named to who did not ask, %+v", files-1, ends)
		}
	})
}

// TestInsist: a person on this host enforces on a target in mode dry_run, for that run alone.
func TestInsist(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.d.Apply(map[string]Target{"svc": w.target("svc", ModeDryRun, nil)})
		no := false
		for _, insist := range []bool{true, false} {
			id, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Action: action.NameCleanTemp, DryRun: &no, Insist: insist})
			w.finished()
			if !insist {
				if err == nil {
					t.Error("it enforces although no one insists")
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range append(w.records(journal.Filter{RunID: id}), w.run(id)) {
				if r.Mode != ModeEnforce {
					t.Errorf("%+v", r)
				}
			}
			if calls := w.temp.calls(); calls[len(calls)-1].DryRun {
				t.Error("a dry run")
			}
		}
	})
}
