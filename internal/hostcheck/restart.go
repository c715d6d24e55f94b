package hostcheck

import (
	"context"
	"errors"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/needs"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// connectLimit is how long a manager has to answer.
const connectLimit = 15 * time.Second

// restart adds what keeps a step from restarting its service. The manager itself is asked with Options.Connect alone.
func (l *look) restart(t *config.Target, of string, with *action.RestartSettings) {
	if c := with.Command(); c != nil {
		l.command(t.Name, of, c.Argv)
		return
	}
	place := setup.PlaceOf(l.Tracker, t.Name)()
	spec, err := with.Spec(&place)
	asked := err == nil && l.Connect != nil
	if asked {
		err = l.connect(&spec, &place)
	}
	if (!asked && err == nil || errors.Is(err, restart.ErrUnproven) || errors.Is(err, restart.ErrUnreachable)) && spec.Via == restart.ViaSystemd {
		l.polkit(t.Name, of, "restart", []string{spec.Unit}) // what its rules look like
	}
	if l.Connect != nil && err != nil && !errors.Is(err, restart.ErrUnproven) {
		l.add(Finding{Target: t.Name, Of: of, Feature: needs.Restart, Problem: err.Error()})
	}
}

// connect asks the manager of a service, without an effect.
func (l *look) connect(spec *restart.Spec, place *restart.Place) error {
	ctx, cancel := context.WithTimeout(context.Background(), connectLimit)
	defer cancel()
	m, err := l.Connect(spec)
	if err != nil {
		return err
	}
	unproven := m.Check(ctx)
	if unproven != nil && !errors.Is(unproven, restart.ErrUnproven) {
		return unproven
	}
	now, err := m.State(ctx)
	if err != nil {
		return err
	}
	if why := restart.Elsewhere(spec, place, &now); why != "" {
		return &restart.Refusal{Reason: restart.ReasonNotIts, Text: why}
	}
	return unproven
}
