package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
)

// Decider has the dispatcher of the exporter carry out what a person decides about proposals.
type Decider struct {
	Dispatcher func() *dispatch.Dispatcher
}

// Decide does for a command on this host what it asks for.
func (c Decider) Decide(ctx context.Context, from Peer, req Decide) (Decided, error) {
	d := c.Dispatcher()
	out := Decided{Waits: []Proposed{}}
	if req.ID == "" {
		for _, p := range d.Status().Proposals {
			out.Waits = append(out.Waits, Proposed{p.ID, p.Target, p.Playbook, p.Level, p.What(), p.Until})
		}
		return out, nil
	}
	verb := "approve"
	if req.Deny {
		verb = "deny"
	}
	by := fmt.Sprintf("the command %s (%s)", verb, from)
	if req.By != "" {
		by = req.By + ", says " + by
	}
	var err error
	if req.Deny {
		err = d.Deny(ctx, req.ID, by)
	} else {
		out.Run, err = d.Approve(ctx, req.ID, by)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return out, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return out, err
}
