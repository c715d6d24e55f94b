package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/control"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// openControl makes the socket by which a person on this host asks. Without it everything else works.
func (a *App) openControl(ctx context.Context) {
	if !a.journal.Durable() {
		return // nothing can be locked out, and nothing is enforced
	}
	dir := filepath.Dir(a.journal.Path())
	s, err := control.Listen(ctx, dir, control.Options{Cleanup: a.cleanup, Logger: a.logger})
	if err != nil {
		a.logger.Warn("the command cleanup cannot reach this exporter", "dir", dir, "err", err)
		return
	}
	a.control = s
	a.life.Add("control socket", second, func(context.Context) error { return s.Close() })
}

// serveControl answers on the socket, if there is one.
func (a *App) serveControl() {
	if a.control == nil {
		return
	}
	go func() {
		if err := a.control.Serve(); err != nil {
			a.logger.Error("the control socket answers no longer: restart the exporter to clean up by command", "err", err)
		}
	}()
}

// cleanup does for a command on this host what it asks for, one folder action after the other.
func (a *App) cleanup(ctx context.Context, from control.Peer, req control.Cleanup, send func(control.Event) error) error {
	targets, err := setup.CleanupTargets(a.graph.Load().cfg, req.Targets, req.Policy)
	if err != nil {
		return fmt.Errorf("%w: %w", control.ErrRefused, err)
	}
	for _, t := range targets {
		for _, act := range setup.DirActions(t, a.opts.Roots, action.DirOptions{}) {
			if req.Policy != "" && !slices.Contains(act.Policies, req.Policy) {
				continue
			}
			dry := t.Mode != config.Enforce && !req.Enforce
			err := a.cleanupOne(ctx, dispatch.ManualRequest{
				Target: t.Name, Action: act.Name, DryRun: &dry, Insist: req.Enforce, Force: req.Force, Only: req.Policy,
				By: "the command cleanup (" + from.String() + ")",
			}, req.Files, send)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// cleanupOne waits for one run. The error ends the whole request: the caller has gone, or the exporter stops.
func (a *App) cleanupOne(ctx context.Context, req dispatch.ManualRequest, files bool, send func(control.Event) error) error {
	ended := make(chan dispatch.End, 1)
	req.Follower = &dispatch.Follower{
		Progress: func(p action.PolicyResult) { _ = send(control.Event{Progress: &p}) },
		Ended:    func(e dispatch.End) { ended <- e },
	}
	if files {
		req.Follower.File = func(p action.PolicyResult, path []byte, why string) {
			_ = send(control.Event{File: &control.File{Policy: p, Path: path, Why: why}})
		}
	}
	_, err := a.dispatcher.RunNow(ctx, req)
	if errors.Is(err, dispatch.ErrDraining) || ctx.Err() != nil {
		return err
	}
	if err != nil {
		return send(control.Event{Error: fmt.Sprintf("%s: %s: %v", req.Target, req.Action, err)})
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case e := <-ended:
		if len(e.Policies) == 0 && e.Err != nil {
			return send(control.Event{Error: fmt.Sprintf("%s: %s: %s: %v", req.Target, req.Action, e.Outcome, e.Err)})
		}
		return send(control.Event{Policies: e.Policies})
	}
}
