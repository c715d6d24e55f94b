package collector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
)

// HostTarget is the name of the target that stands for the whole host.
const HostTarget = "host"

// HostOptions configure the source of the host's memory.
type HostOptions struct {
	Procfs     string // default /proc
	Store      *series.Store
	Thresholds series.Thresholds
	Interval   time.Duration // the usual sample interval; default 5s
	Trends     *trend.Board  // what is known of the growth between days; nil: nothing
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
		target: HostTarget, store: o.Store, thresholds: o.Thresholds, interval: o.Interval, trends: o.Trends,
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
	huge := info.reserved()
	for _, f := range []struct {
		desc *series.Desc
		is   *figure
	}{
		{metric.HostMemoryTotal, &info.total},
		{metric.HostMemoryAvailable, &info.available},
		{metric.HostSwapTotal, &info.swapTotal},
		{metric.HostSwapFree, &info.swapFree},
		{metric.HostMemoryHugetlb, &huge},
	} {
		if f.is.known {
			b.Set(f.desc, float64(f.is.value))
		}
	}
	return errors.Join(info.swapTotal.err, info.swapFree.err, s.setUsed(b, &info))
}

// setUsed publishes the limit of the target host and what is used of it.
func (s *hostSource) setUsed(b *series.Batch, info *hostMemory) error {
	sizeBytes, err := info.limit()
	if err != nil {
		return errors.Join(info.available.err, err)
	}
	l := limit{bytes: sizeBytes, source: sourceHost, basis: basisAvailable}
	setLimit(b, HostTarget, l)
	switch {
	case info.available.err != nil:
		return info.available.err
	case !info.available.known:
		return errors.New("meminfo has no MemAvailable, which Linux has since 3.14")
	}
	arc, ok, err := arcReclaimable(s.opts.Procfs)
	if err != nil {
		return err // a cache of unknown size would pass for used memory
	}
	if ok {
		b.Set(metric.HostMemoryARC, float64(arc))
	}
	used := float64(sizeBytes) - float64(info.available.value) - float64(arc)
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
	counts, err := parseEvents(raw, oomKill)
	if n, ok := counts[oomKill]; ok {
		b.Set(metric.HostOOMKills, n)
	}
	if err != nil {
		return fmt.Errorf("vmstat: %w", err)
	}
	return nil
}

// setPressure publishes the pressure stall information of kernels that have it.
func (s *hostSource) setPressure(b *series.Batch) error {
	var errs []error
	for _, resource := range resources {
		p, err := readPressure(filepath.Join(s.opts.Procfs, "pressure", resource))
		if p.hasSome {
			b.Set(metric.HostWaiting, p.some, resource)
		}
		if p.hasFull {
			b.Set(metric.HostStalled, p.full, resource)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
