package app

import (
	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// addOwnActions adds the actions that do what a step of a playbook says.
func (g *graph) addOwnActions(out *dispatch.Target, t *config.Target, o *Options, p *parts) {
	out.Actions[dispatch.ActionCommand] = action.NewCommand(p.logger)
	out.Actions[dispatch.ActionHTTP] = action.NewHTTP(p.logger)
	if t.Processes == nil {
		return
	}
	tracker, name := g.tracker, t.Name
	members := func() []proc.Member { return tracker.Members(name) }
	out.Actions[dispatch.ActionSignal] = action.NewSignal(action.SignalOptions{Members: members, Logger: p.logger})
	out.Actions[dispatch.ActionReclaimCgroup] = action.NewReclaimCgroup(action.ReclaimOptions{
		Cgroup: func() (string, error) {
			u, err := tracker.Usage(name)
			return u.CgroupV2, err
		},
		Members: members, Sysfs: g.cgroups.Sysfs(p.now()), Logger: p.logger,
	})
}
