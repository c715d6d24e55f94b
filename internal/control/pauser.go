package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
)

// Pauser has the dispatcher of the exporter pause and go on.
type Pauser struct {
	Dispatcher func() *dispatch.Dispatcher
}

// Pause does for a command on this host what it asks for.
func (p Pauser) Pause(ctx context.Context, from Peer, req Pause) (Paused, error) {
	ask := dispatch.PauseRequest{Target: req.Target, For: req.For, Reason: req.Reason, By: "the command pause (" + from.String() + ")"}
	var changed []dispatch.Pause
	var err error
	if req.Resume {
		ask.By = "the command resume (" + from.String() + ")"
		changed, err = p.Dispatcher().Resume(ctx, ask)
	} else {
		var began dispatch.Pause
		began, err = p.Dispatcher().Pause(ctx, ask)
		changed = []dispatch.Pause{began}
	}
	out := Paused{Changed: []string{}}
	for _, c := range changed {
		out.Changed = append(out.Changed, c.String())
	}
	switch {
	case errors.Is(err, dispatch.ErrJournal):
		out.Warning = err.Error()
	case err != nil:
		return Paused{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return out, nil
}
