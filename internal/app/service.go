package app

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
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
		out = append(out, g.serviceLane(sourceApp, t.Name, c.Timeout.Std(), collector.NewApp(collector.AppOptions{
			Target: t.Name, Config: *c, Store: p.store, Window: g.cfg.Window,
			Running: g.running(t), Now: p.now,
		})))
	}
	if c := t.Probe; c != nil {
		probe := collector.NewProbe(collector.ProbeOptions{
			Target: t.Name, Config: *c, Store: p.store, Started: g.started(t), Now: p.now,
		})
		lane := g.serviceLane(sourceProbe, t.Name, c.Timeout.Std(), probe)
		lane.Hurry = probe.Starting
		out = append(out, lane)
	}
	return out
}

func (g *graph) serviceLane(source, target string, timeout time.Duration, impl collector.Source) collector.Lane {
	return collector.Lane{
		Name: source, Interval: g.cfg.SampleInterval.Std(), Timeout: timeout + httpSlack,
		Jobs: []collector.Job{{Source: source, Target: target, Impl: impl}},
	}
}

// running tells whether a target has processes; nil when it watches none.
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

// started tells when the oldest process of a target started; nil when it watches none.
func (g *graph) started(t *config.Target) func() (time.Time, uint64, bool) {
	if t.Processes == nil {
		return nil
	}
	name := t.Name
	return func() (time.Time, uint64, bool) {
		u, err := g.tracker.Usage(name)
		return u.Oldest, u.OldestTicks, err != nil || u.Processes > 0
	}
}
