package app

import (
	"cmp"
	"time"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	sourceApp   = "app"
	sourceProbe = "probe"
	// httpSlack is what a lane waits beyond the deadline of its one request.
	httpSlack = time.Second
)

// serviceLanes are the lanes that ask the service itself over HTTP. Each has its own, so that a
// service that does not answer holds up nothing else.
func (g *graph) serviceLanes(t *config.Target, p *parts) []collector.Lane {
	var out []collector.Lane
	if c := t.App; c != nil {
		out = append(out, g.serviceLane(sourceApp, t.Name, c.Interval, c.Timeout, collector.NewApp(collector.AppOptions{
			Target: t.Name, Config: *c, Store: p.store, Window: g.cfg.Window,
			Running: g.running(t), Now: p.now,
		})))
	}
	if c := t.Probe; c != nil {
		probe := collector.NewProbe(collector.ProbeOptions{
			Target: t.Name, Config: *c, Store: p.store, Tracker: g.watched(t), Now: p.now,
		})
		out = append(out, g.serviceLane(sourceProbe, t.Name, c.Interval, c.Timeout, probe))
	}
	return out
}

func (g *graph) serviceLane(source, target string, interval, timeout units.Duration, impl collector.Source) collector.Lane {
	return collector.Lane{
		Name: source, Interval: cmp.Or(interval, g.cfg.SampleInterval).Std(), Timeout: timeout.Std() + httpSlack,
		Jobs: []collector.Job{{Source: source, Target: target, Impl: impl}},
	}
}

// running reports whether a target has processes; nil when it watches none.
func (g *graph) running(t *config.Target) func() bool {
	if t.Processes == nil {
		return nil
	}
	name := t.Name
	return func() bool {
		u, err := g.tracker.Usage(name)
		return err != nil || u.Processes > 0
	}
}

// watched returns what knows the processes of a target; nil when it watches none.
func (g *graph) watched(t *config.Target) *proc.Tracker {
	if t.Processes == nil {
		return nil
	}
	return g.tracker
}
