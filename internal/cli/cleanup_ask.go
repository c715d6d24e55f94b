package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/control"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// ask has an exporter that runs do the clean-up, in the journal that it holds. It refuses when it has another configuration
// of the targets. done is false where there is none, or where nothing is to be removed anyway.
func (c *cleaner) ask(ctx context.Context, cfg *config.Config, targets []*config.Target) (done bool, err error) {
	if c.flags.dryRun {
		return false, nil
	}
	client, err := dial(ctx, cfg)
	switch {
	case errors.Is(err, control.ErrNone):
		return false, nil
	case err != nil:
		return c.flags.enforce || cfg.Enforces(), err
	}
	defer client.Close()
	f := c.flags
	fmt.Fprintf(c.env.Stderr, "the exporter with pid %d holds the journal and does the clean-up\n", client.PID())
	err = client.Cleanup(ctx, control.Cleanup{
		Targets: f.targets, Policy: f.policy, Enforce: f.enforce, Force: f.force, Files: f.files, Written: setup.WrittenOf(targets),
	}, c.event)
	switch {
	case errors.Is(err, control.ErrRefused):
		return true, withCode(ExitConfig, err)
	case ctx.Err() != nil:
		err = withCode(ExitPartial, errors.New("interrupted: what has begun goes on in the exporter, and is in the journal"))
	}
	return true, errors.Join(c.out.finish(), err)
}

// dial connects to the exporter that holds the journal of a configuration.
func dial(ctx context.Context, cfg *config.Config) (*control.Client, error) {
	for _, dir := range cfg.Journal.Dirs() {
		if c, err := control.Dial(ctx, dir); !errors.Is(err, control.ErrNone) {
			return c, err
		}
	}
	return nil, control.ErrNone
}

// event prints what the exporter says.
func (c *cleaner) event(e control.Event) {
	switch {
	case e.Progress != nil:
		c.out.progress(*e.Progress)
	case e.File != nil:
		c.out.file(e.File.Policy, e.File.Path, e.File.Why)
	case e.Error != "":
		c.out.faults = append(c.out.faults, e.Error)
	default:
		c.out.policies(slices.Clone(e.Policies))
	}
}
