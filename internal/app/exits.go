package app

import (
	"context"
	"errors"
	"sync"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// exits notices the end of the last process of a target. A target of which no process was seen
// yet, and one whose processes could not be listed, has not ended.
type exits struct {
	mu    sync.Mutex
	alive map[string]bool
	ended map[string]struct{} // not served yet
	wake  chan struct{}
}

func newExits() *exits {
	return &exits{alive: make(map[string]bool), ended: make(map[string]struct{}), wake: make(chan struct{}, 1)}
}

// note takes the number of processes of a target after a sweep, and returns at once.
func (e *exits) note(target string, processes float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.alive[target]
	e.alive[target] = processes > 0
	switch {
	case processes > 0:
		delete(e.ended, target) // it is back before anything was done
	case was:
		e.ended[target] = struct{}{}
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
}

func (e *exits) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for target := range e.ended {
		out = append(out, target)
	}
	clear(e.ended)
	return out
}

// observeExits looks at the processes of the last sweep.
func (a *App) observeExits() {
	g := a.graph.Load()
	if g == nil {
		return
	}
	for i := range g.cfg.Targets {
		t := &g.cfg.Targets[i]
		if t.Processes == nil {
			continue
		}
		if n, _, ok := a.parts.store.Value(metric.Processes, t.Name); ok {
			a.parts.exits.note(t.Name, n)
		}
	}
}

// serveExits runs the playbook on_exit of targets that have ended.
func (a *App) serveExits(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.parts.exits.wake:
		}
		for _, target := range a.parts.exits.take() {
			_, err := a.dispatcher.RunNow(ctx, dispatch.ManualRequest{Target: target, Playbook: dispatch.PlaybookOnExit, Trigger: alert.TriggerExit})
			switch {
			case err == nil, ctx.Err() != nil:
			case errors.Is(err, dispatch.ErrUnknown): // the target has no such playbook
			case errors.Is(err, dispatch.ErrResting), errors.Is(err, dispatch.ErrPaused), errors.Is(err, dispatch.ErrHeld):
				a.logger.Debug("the last process of a target ended", "target", target, "reason", err)
			default:
				a.logger.Warn("the last process of a target ended, and its playbook was not started", "target", target, "err", err)
			}
		}
	}
}
