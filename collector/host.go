package collector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// HostTarget is the name of the target that stands for the whole host.
const HostTarget = "host"

// HostOptions configure the source of the host's memory.
type HostOptions struct {
	Procfs     string // default /proc
	Store      *series.Store
	Thresholds series.Thresholds
	Interval   time.Duration // the usual sample interval; default 5s
}

// hostSource publishes the host's memory, both as it is and as the target "host".
type hostSource struct {
	opts HostOptions
	gauge
}

// NewHostSource returns the source "host".
func NewHostSource(o HostOptions) Source {
	if o.Procfs == "" {
		o.Procfs = "/proc"
	}
	if o.Interval <= 0 {
		o.Interval = 5 * time.Second
	}
	return &hostSource{opts: o, gauge: gauge{
		target: HostTarget, store: o.Store, thresholds: o.Thresholds, interval: o.Interval,
	}}
}

// Sample implements Source.
func (s *hostSource) Sample(_ context.Context, b *series.Batch) error {
	return errors.Join(s.setMemory(b), s.setPressure(b), s.setKills(b))
}

func (s *hostSource) setMemory(b *series.Batch) error {
	info, err := meminfo(s.opts.Procfs)
	if err != nil {
		return err
	}
	set := func(d *series.Desc, v *uint64) {
		if v != nil {
			b.Set(d, float64(*v))
		}
	}
	set(metric.HostMemoryTotal, info.MemTotalBytes)
	set(metric.HostMemoryAvailable, info.MemAvailableBytes)
	set(metric.HostSwapTotal, info.SwapTotalBytes)
	set(metric.HostSwapFree, info.SwapFreeBytes)
	if huge, ok := hugetlb(&info); ok {
		b.Set(metric.HostMemoryHugetlb, float64(huge))
	}
	sizeBytes, err := hostLimit(&info)
	if err != nil {
		return err
	}
	l := limit{bytes: sizeBytes, source: sourceHost, basis: basisAvailable}
	setLimit(b, HostTarget, l)
	if info.MemAvailableBytes == nil {
		return errors.New("meminfo has no MemAvailable, which Linux has since 3.14")
	}
	arc, ok, err := arcReclaimable(s.opts.Procfs)
	if err != nil {
		return err // a cache of unknown size would pass for used memory
	}
	if ok {
		b.Set(metric.HostMemoryARC, float64(arc))
	}
	used := float64(sizeBytes) - float64(*info.MemAvailableBytes) - float64(arc)
	s.set(b, exactly(max(used, 0)), l, place{procfs: s.opts.Procfs, limitBytes: sizeBytes}, false)
	return nil
}

// gauges returns what may be read between two sweeps.
func (s *hostSource) gauges(dst []*gauge) []*gauge { return append(dst, &s.gauge) }

// setKills publishes what vmstat counts since Linux 4.13.
func (s *hostSource) setKills(b *series.Batch) error {
	raw, err := os.ReadFile(filepath.Join(s.opts.Procfs, "vmstat"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read vmstat: %w", err)
	}
	counts, err := parseEvents(raw)
	if err != nil {
		return fmt.Errorf("vmstat: %w", err)
	}
	if n, ok := counts[oomKill]; ok {
		b.Set(metric.HostOOMKills, n)
	}
	return nil
}

// setPressure publishes the pressure stall information of kernels that have it.
func (s *hostSource) setPressure(b *series.Batch) error {
	root, err := procfs.NewFS(s.opts.Procfs)
	if err != nil {
		return err
	}
	for _, resource := range []string{"cpu", "io", "memory"} {
		psi, err := root.PSIStatsForResource(resource)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, fs.ErrPermission):
			return nil // not built in, switched off (psi=0), or not for this user
		case err != nil:
			return err
		}
		if psi.Some != nil {
			b.Set(metric.HostWaiting, float64(psi.Some.Total)/1e6, resource)
		}
		if psi.Full != nil {
			b.Set(metric.HostStalled, float64(psi.Full.Total)/1e6, resource)
		}
	}
	return nil
}
