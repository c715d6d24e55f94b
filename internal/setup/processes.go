package setup

import (
	"cmp"
	"fmt"
	"log/slog"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/cgroup"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// NewCgroups returns the tree of the host's cgroups as this process sees it.
func NewCgroups(host hostfs.Roots) *cgroup.Tree {
	return cgroup.NewTree(cgroup.Options{Procfs: host.ProcFS, Sysfs: host.SysFS})
}

// NewTracker returns the tracker of the processes that a configuration names or discovers. It lists
// none before its first Refresh. cgroups may be shared; nil is a tree of its own.
func NewTracker(cfg *config.Config, host hostfs.Roots, cgroups *cgroup.Tree, logger *slog.Logger) (*proc.Tracker, error) {
	if cgroups == nil {
		cgroups = NewCgroups(host)
	}
	opts := proc.Options{Root: host.ProcFS, RootFS: host.RootFS, Cgroups: cgroups, Discover: cfg.Discover, Reserved: []string{collector.HostTarget}, Logger: logger}
	for i := range cfg.Targets {
		if t := &cfg.Targets[i]; t.Processes != nil {
			opts.Targets = append(opts.Targets, proc.Target{Name: t.Name, Config: *t.Processes, Shares: t.Memory.Proportional})
		}
	}
	t, err := proc.New(opts)
	if err != nil {
		return nil, fmt.Errorf("observe processes: %w", err)
	}
	return t, nil
}

// MembersOf returns a function that lists a target's current processes.
func MembersOf(tracker *proc.Tracker, target string) func() []proc.Member {
	return func() []proc.Member { return tracker.Members(target) }
}

// HeapMembersOf is MembersOf, nil for a target that watches no processes: whoever listens at the address of its heap is
// believed.
func HeapMembersOf(tracker *proc.Tracker, t *config.Target) func() []proc.Member {
	if t.Processes == nil {
		return nil
	}
	return MembersOf(tracker, t.Name)
}

// ProcessOf returns a function that names the oldest process of a target, by its pid and start, "" while there is none; nil
// for a target that watches no processes.
func ProcessOf(t *config.Target, members func() []proc.Member) func() string {
	if t.Processes == nil {
		return nil
	}
	return func() string {
		var oldest *proc.Member
		all := members()
		for i := range all {
			if m := &all[i]; m.StartTicks() > 0 && (oldest == nil || cmp.Or(cmp.Compare(m.StartTicks(), oldest.StartTicks()), cmp.Compare(m.PID, oldest.PID)) < 0) {
				oldest = m
			}
		}
		if oldest == nil {
			return ""
		}
		return fmt.Sprintf("%d/%d", oldest.PID, oldest.StartTicks())
	}
}
