package app

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

const (
	laneDirs = "dirs" // of every folder: the label stays bounded
	minStall = 2 * time.Second
	maxStall = time.Minute
)

// dirLanes returns a lane for each folder, so that one whose file server does not answer holds up
// no other. They share the budget and the number of scans at the same time.
func (g *graph) dirLanes(o *Options, p *parts) ([]collector.Lane, error) {
	var jobs []collector.Job
	for i := range g.cfg.Targets {
		more, err := g.dirJobs(&g.cfg.Targets[i], o, p)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, more...)
	}
	if g.cfg.Defaults {
		tmp := hostTemp(o.Roots)
		src, err := collector.NewDir(collector.DirOptions{Target: collector.HostTarget, Kind: policy.KindTemp, Policy: &tmp})
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, dirJob(policy.KindTemp, collector.HostTarget, &tmp.Common, src))
	}
	interval := g.cfg.ScanInterval.Std()
	lanes := make([]collector.Lane, len(jobs))
	for i, j := range jobs {
		lanes[i] = collector.Lane{
			Name: laneDirs, Interval: interval, Timeout: scanTimeout, Stall: stall(interval), Share: p.share, Jobs: []collector.Job{j},
		}
		if src, ok := j.Impl.(*collector.DirSource); ok {
			lanes[i].Hurry = src.Away // it is not known before the first sweep of the processes either
		}
	}
	return lanes, nil
}

// stall is how long a scan may meet no file before its folder counts as stuck. With it, a folder
// that stops answering is noticed within three intervals.
func stall(interval time.Duration) time.Duration {
	return min(max(interval*3/2, minStall), maxStall)
}

// dirJobs returns the sources of a target's folders.
func (g *graph) dirJobs(t *config.Target, o *Options, p *parts) ([]collector.Job, error) {
	folders, inside := setup.Rooted(t, o.Roots), setup.Inside(t.Name, g.cfg, o.Roots, g.tracker, true)
	var out []collector.Job
	for _, k := range policy.Kinds {
		for _, of := range folders.Of(k.Name) {
			c := of.CommonKeys()
			open, verify := g.comparing(inside(c), c.Dir)
			src, err := collector.NewDir(collector.DirOptions{
				Target: t.Name, Kind: k.Name, Policy: of, Opens: g.opensFor(t, k.Name, c.Name), Window: g.cfg.Window, Open: open, Shapes: p.evidence.Folder(t, k.Name, c.Name), Log: p.files,
			})
			if err != nil {
				return nil, err
			}
			j := dirJob(k.Name, t.Name, c, src)
			j.Verify = verify
			out = append(out, j)
		}
	}
	return out, nil
}

func dirJob(source, target string, c *policy.Common, impl collector.Source) collector.Job {
	return collector.Job{Source: source, Target: target, Name: c.Name, Dir: c.Where(), Impl: impl}
}

// followCgroups has the kernel report on the cgroups in which the targets are after a sweep.
func (a *App) followCgroups() {
	if g := a.graph.Load(); g != nil {
		a.wakes.Follow(&setup.Swept{
			Config: g.cfg, Tracker: g.tracker, Cgroups: g.cgroups, Store: a.parts.store, Now: a.parts.now(), ProcFS: a.opts.ProcFS,
		})
	}
}

// wakeTarget samples a target that the kernel has reported on. It is called by the Waker and returns
// at once.
func (a *App) wakeTarget(target, reason string) {
	if g := a.graph.Load(); g != nil {
		g.sampler.Wake(target, reason)
	}
}
