package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// Cleaner has the dispatcher of the exporter do what a command asks for.
type Cleaner struct {
	Config func() *config.Config // that runs
	RunNow func(context.Context, dispatch.ManualRequest) (string, error)
	Host   hostfs.Roots

	File    string       // of that configuration, "" for none
	Trusted func() error // why others could change what the exporter goes by, as mode enforce refuses it
}

// Cleanup does for a command on this host what it asks for, one folder action after the other.
func (c Cleaner) Cleanup(ctx context.Context, from Peer, req Cleanup, send func(Event) error) error {
	if req.Enforce || req.Capture {
		if err := c.Trusted(); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	if req.Capture {
		return c.capture(ctx, from, req, send)
	}
	// The person has read the file of the command, which may be another than the exporter's, or newer than what it has loaded.
	targets, err := setup.CleanupTargets(c.Config(), req.Targets, req.Policy)
	if err != nil || setup.WrittenOf(targets) != req.Written {
		file := cmp.Or(c.File, "its embedded defaults")
		return fmt.Errorf("%w: the exporter that holds the journal (pid %d) has another configuration of these targets than this command: "+
			"it runs with %s as it was when it was last loaded. Give that file with --config.file; if it has changed since, reload the exporter first (systemctl reload, or SIGHUP)", ErrRefused, os.Getpid(), file)
	}
	for _, t := range targets {
		for _, act := range setup.DirActions(t, c.Host, action.DirOptions{}) {
			if req.Policy != "" && !slices.Contains(act.Policies, req.Policy) {
				continue
			}
			dry := t.Mode != config.Enforce && !req.Enforce
			err := c.cleanupOne(ctx, dispatch.ManualRequest{
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

// capture has evidence of the targets captured, whatever their mode is: a person on this host says so.
func (c Cleaner) capture(ctx context.Context, from Peer, req Cleanup, send func(Event) error) error {
	for _, name := range req.Targets {
		err := c.cleanupOne(ctx, dispatch.ManualRequest{
			Target: name, Action: action.NameCaptureEvidence, DryRun: new(false), Insist: true, By: "the command evidence (" + from.String() + ")",
		}, false, send)
		if err != nil {
			return err
		}
	}
	return nil
}

// cleanupOne waits for one run. The error ends the whole request: the caller has gone, or the exporter stops.
func (c Cleaner) cleanupOne(ctx context.Context, req dispatch.ManualRequest, files bool, send func(Event) error) error {
	ended := make(chan dispatch.End, 1)
	req.Follower = &dispatch.Follower{
		Progress: func(p action.PolicyResult) { _ = send(Event{Progress: &p}) },
		Ended:    func(e dispatch.End) { ended <- e },
	}
	if files {
		req.Follower.File = func(p action.PolicyResult, path []byte, why string) {
			_ = send(Event{File: &File{Policy: p, Path: path, Why: why}})
		}
	}
	_, err := c.RunNow(ctx, req)
	if errors.Is(err, dispatch.ErrDraining) || ctx.Err() != nil {
		return err
	}
	if err != nil {
		return send(Event{Error: fmt.Sprintf("%s: %s: %v", req.Target, req.Action, err)})
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case e := <-ended:
		if len(e.Policies) == 0 && e.Err != nil {
			return send(Event{Error: fmt.Sprintf("%s: %s: %s: %v", req.Target, req.Action, e.Outcome, e.Err)})
		}
		if len(e.Policies) == 0 && e.Detail != "" {
			return send(Event{Detail: e.Detail})
		}
		return send(Event{Policies: e.Policies})
	}
}
