package proc

import (
	"cmp"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/cgroup"
	"github.com/spillway-exporter/spillway_exporter/internal/container"
)

// environment is what selectors ask about the host, read at most once a second each.
type environment struct {
	rootfs string
	boot   func(ticks uint64) time.Time
	now    time.Time
	tree   *cgroup.Tree // nil: paths of cgroups stay as the kernel shows them

	containers *container.Resolver

	pidfiles map[string]*pidfile
	sockets  map[string]*sockets // by network namespace
	programs map[string]*program // by the path that is written
}

func newEnvironment(o *Options, boot func(ticks uint64) time.Time) *environment {
	return &environment{rootfs: cmp.Or(o.RootFS, "/"), tree: o.Cgroups, containers: o.Containers, boot: boot, pidfiles: make(map[string]*pidfile), sockets: make(map[string]*sockets), programs: make(map[string]*program)}
}

// fresh reports whether something that was read at a time is still to be used.
func (e *environment) fresh(at time.Time, every time.Duration) bool {
	return !at.IsZero() && !e.now.Before(at) && e.now.Sub(at) < every
}
