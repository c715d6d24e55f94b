package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// nodePrograms are the programs of which it is known what they do on SIGUSR1.
var nodePrograms = []string{"node", "nodejs"}

const signalActivate = "SIGUSR1"

// activator returns what opens the inspector of a target's process, or nil where the configuration
// does not let anything be sent. Like all that has an effect it stands in the journal before it is
// done, and is not done when it cannot stand there.
func (g *graph) activator(t *config.Target, p *parts) func(context.Context, proc.Member) error {
	if t.Heap.Activate == "" || t.Mode != config.Enforce {
		return nil
	}
	target := t.Name
	return func(ctx context.Context, m proc.Member) error {
		j := p.journal()
		if j == nil || !j.Durable() {
			return fmt.Errorf("%w: there is no durable journal: write journal: {dir: ...}", heap.ErrNotSent)
		}
		h, err := proc.Hold(m)
		if err != nil {
			return fmt.Errorf("%w: %w", heap.ErrNotSent, err)
		}
		defer h.Close()
		if name := filepath.Base(h.Exe()); !slices.Contains(nodePrograms, name) {
			return fmt.Errorf("%w: it runs %s, which is not node: no one knows what it does on %s", heap.ErrNotSent, h.Exe(), signalActivate)
		}
		id, err := j.Begin(ctx, journal.Record{
			Time: p.now(), Target: target, Step: 1, Action: action.NameSignal, Trigger: sourceHeap, Mode: dispatch.ModeEnforce,
			Intent: fmt.Sprintf("send %s to process %d (%s), so that it opens its inspector", signalActivate, m.PID, h.Exe()),
		})
		if err != nil {
			return fmt.Errorf("%w: %w", heap.ErrNotSent, err)
		}
		err = h.Signal(signalActivate)
		p.logger.Info("asked a process to open its inspector", "target", target, "pid", m.PID, "signal", signalActivate, "err", err)
		return errors.Join(err, j.FinishLater(id, func(r *journal.Record) {
			r.Outcome = string(action.Done)
			if err != nil {
				r.Outcome, r.Error = string(action.Failed), err.Error()
			}
		}))
	}
}

// waker returns what makes a Java virtual machine open its attach socket, which only a collection
// asks for: that stands in the journal by then. It is nil where nothing may be sent.
func waker(t *config.Target) func(context.Context, heap.Sleeper) error {
	if t.Mode != config.Enforce {
		return nil
	}
	return action.WakeJVM
}
