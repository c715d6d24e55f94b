package action

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// contender is an action with a world of its own.
type contender struct {
	action  Action
	req     Request
	effects func() int // how often the world was changed
	twice   int        // effects of two runs; 0: any number from 1
	remove  func()     // takes away what the action works on
	gone    Outcome    // of a run after that
}

// contenders makes one of each action.
var contenders = map[string]func(t *testing.T) contender{
	"clean_temp": func(t *testing.T) contender {
		dir := realDir(t)
		for _, name := range []string{"a", "b", "c"} {
			put(t, filepath.Join(dir, name), 10, 2*time.Hour)
		}
		a := newCleanTemp(dirOptions(), []policy.Temp{{Common: common(dir), MaxAge: units.Duration(time.Hour)}})
		return contender{action: a, effects: func() int { return 3 - len(left(t, dir)) }, twice: 3, remove: func() { os.RemoveAll(dir) }, gone: Done}
	},
	"evict_cache": func(t *testing.T) contender {
		dir := realDir(t)
		for _, name := range []string{"a", "b", "c"} {
			put(t, filepath.Join(dir, name), 10, 2*time.Hour)
		}
		a := newEvictCache(dirOptions(), []policy.Cache{{Common: common(dir), MaxAge: units.Duration(time.Hour), MaxEntries: 100}})
		return contender{action: a, effects: func() int { return 3 - len(left(t, dir)) }, twice: 3, remove: func() { os.RemoveAll(dir) }, gone: Done}
	},
	"enforce_uploads": func(t *testing.T) contender {
		dir := realDir(t)
		for _, name := range []string{"a", "b", "c"} {
			put(t, filepath.Join(dir, name), 10, 2*time.Hour)
		}
		a := newEnforceUploads(dirOptions(), []policy.Upload{{Common: common(dir), MaxFileBytes: 1}})
		return contender{action: a, effects: func() int { return 3 - len(left(t, dir)) }, twice: 3, remove: func() { os.RemoveAll(dir) }, gone: Done}
	},
	"rotate_logs": func(t *testing.T) contender {
		dir, p, o := logPolicy(t)
		put(t, dir+"/app.log", 5000, 0)
		a := newRotateLogs(o, []policy.Log{p})
		return contender{action: a, effects: func() int { return len(left(t, dir)) - 1 }, twice: 1, remove: func() { os.RemoveAll(dir) }, gone: Done}
	},
	"collect_garbage": func(*testing.T) contender {
		h := &fakeHeap{}
		a := NewCollectGarbage(CollectGarbageOptions{Target: "svc", Collector: h, Logger: quiet})
		return contender{action: a, effects: func() int { return h.collections }, twice: 2, remove: func() { h.readErr = os.ErrNotExist }, gone: Failed}
	},
	"capture_evidence": func(*testing.T) contender {
		captures := 0
		taken := evidence.Taken{Outcome: evidence.Captured}
		a := NewCaptureEvidence(CaptureEvidenceOptions{Target: "svc", Logger: quiet, Capture: func(_ context.Context, _ string, dryRun bool) evidence.Taken {
			if !dryRun {
				captures++
			}
			return taken
		}})
		return contender{action: a, effects: func() int { return captures }, twice: 2, remove: func() { taken.Outcome = evidence.Failed }, gone: Failed}
	},
	"command": func(t *testing.T) contender {
		log := filepath.Join(realDir(t), "log")
		path := program(t, "echo ran >>"+log)
		return contender{
			action: NewCommand(quiet), req: commandRequest(path), twice: 2, gone: Failed,
			effects: func() int {
				raw, _ := os.ReadFile(log)
				return strings.Count(string(raw), "ran")
			},
			remove: func() { os.Remove(path) },
		}
	},
	"http": func(t *testing.T) contender {
		var calls atomic.Int64
		srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
		t.Cleanup(srv.Close)
		return contender{action: NewHTTP(quiet), req: httpRequest(srv.URL), effects: func() int { return int(calls.Load()) }, twice: 2, remove: srv.Close, gone: Failed}
	},
	"signal": func(t *testing.T) contender {
		log := filepath.Join(realDir(t), "log")
		h, members := startHandler(t, "trap 'echo got >>"+log+"' USR2")
		count := func() int {
			raw, _ := os.ReadFile(log)
			return strings.Count(string(raw), "got")
		}
		sent := 0
		a := NewSignal(SignalOptions{Members: members, Logger: quiet})
		return contender{
			action: actionFunc(func(ctx context.Context, req Request) (Result, error) {
				res, err := a.Run(ctx, req)
				if res.Outcome == Done { // the handler runs when its process does
					sent++
					eventually(t, "the handler has run", func() bool { return count() == sent })
				}
				return res, err
			}),
			req: signalRequest("SIGUSR2"), effects: count, twice: 2, gone: Failed,
			remove: func() {
				_ = h.cmd.Process.Kill()
				_ = h.cmd.Wait()
				// A child that was forked and has not run its own program yet is the shell for that long.
				eventually(t, "its children have ended", func() bool { return len(members()) == 0 })
			},
		}
	},
	"restart": restartContender,
	"reclaim_cgroup": func(t *testing.T) contender {
		sysfs, dir := fakeCgroup(t)
		file := filepath.Join(dir, "memory.reclaim")
		return contender{
			action: reclaimAction(sysfs, "/system.slice/app.service", 10, 11), req: reclaimRequest(8 << 20), gone: Failed,
			effects: func() int {
				raw, _ := os.ReadFile(file)
				return len(raw)
			},
			remove: func() { os.RemoveAll(dir) },
		}
	},
}

type actionFunc func(ctx context.Context, req Request) (Result, error)

func (f actionFunc) Run(ctx context.Context, req Request) (Result, error) { return f(ctx, req) }

// TestConformance runs every action through what the dispatcher relies on.
func TestConformance(t *testing.T) {
	for _, spec := range Table {
		if contenders[spec.Name] == nil {
			t.Errorf("%s is not tested: write a contender of it", spec.Name)
		}
	}
	for name, build := range contenders {
		t.Run(name, func(t *testing.T) {
			t.Run("a dry run changes nothing and says so", func(t *testing.T) {
				s := build(t)
				s.req.DryRun = true
				res, err := s.action.Run(t.Context(), s.req)
				if err != nil || res.Outcome != DryRun || s.effects() != 0 {
					t.Errorf("%+v, %v, %d effects", res, err, s.effects())
				}
			})
			t.Run("a run has its effect and is done", func(t *testing.T) {
				s := build(t)
				res, err := s.action.Run(t.Context(), s.req)
				if err != nil || res.Outcome != Done || s.effects() == 0 {
					t.Errorf("%+v, %v, %d effects", res, err, s.effects())
				}
			})
			t.Run("called twice", func(t *testing.T) {
				s := build(t)
				for range 2 {
					if res, err := s.action.Run(t.Context(), s.req); err != nil || res.Outcome != Done {
						t.Errorf("%+v, %v", res, err)
					}
				}
				if n := s.effects(); s.twice != 0 && n != s.twice || n == 0 {
					t.Errorf("%d effects, want %d", n, s.twice)
				}
			})
			t.Run("cancelled before it begins", func(t *testing.T) {
				s := build(t)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				res, err := s.action.Run(ctx, s.req)
				if err == nil || res.Outcome == Done || s.effects() != 0 {
					t.Errorf("%+v, %v, %d effects", res, err, s.effects())
				}
			})
			t.Run("what it works on is gone", func(t *testing.T) {
				s := build(t)
				s.remove()
				res, _ := s.action.Run(t.Context(), s.req)
				if res.Outcome != s.gone || res.Files != 0 {
					t.Errorf("%+v, want %s", res, s.gone)
				}
			})
		})
	}
}
