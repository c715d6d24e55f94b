package collector

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const mib = 1 << 20

// memory is a target of the tests whose memory is a function of the time since it began; it counts
// the readings that are taken of it.
type memory struct {
	gauge
	limitBytes int64
	used       func(time.Duration) float64 // bytes
	cached     float64                     // what a bound is above used
	began      time.Time

	mu      sync.Mutex
	fast    []time.Duration // when it was read between two sweeps
	sweeps  []time.Duration
	cost    time.Duration
	failing bool
	closed  int
	unswept atomic.Bool // sweeps fail
}

func newMemory(store *series.Store, target string, limitBytes int64, used func(time.Duration) float64) *memory {
	return &memory{
		gauge:      gauge{target: target, store: store, thresholds: testThresholds, interval: 5 * time.Second},
		limitBytes: limitBytes, used: used, began: time.Now(),
	}
}

// Sample implements Source.
func (m *memory) Sample(_ context.Context, b *series.Batch) error {
	m.mu.Lock()
	m.sweeps = append(m.sweeps, time.Since(m.began))
	m.mu.Unlock()
	if m.unswept.Load() {
		return errors.New("the sweep failed")
	}
	u := m.used(time.Since(m.began))
	m.set(b, reading{used: u, bound: u + m.cached, exact: true}, limit{bytes: m.limitBytes, source: sourceConfig, basis: BasisRSS}, place{meter: m}, false)
	return nil
}

func (m *memory) gauges(dst []*gauge) []*gauge { return append(dst, &m.gauge) }

func (m *memory) read(_ []byte, need float64) (reading, error) {
	<-time.After(m.cost)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failing {
		return reading{}, errors.New("it cannot be read")
	}
	m.fast = append(m.fast, time.Since(m.began))
	u := m.used(time.Since(m.began))
	if u+m.cached < need {
		return reading{bound: u + m.cached}, nil
	}
	return reading{used: u, bound: u + m.cached, exact: true}, nil
}

func (m *memory) close() { m.closed++ }

func (m *memory) readings() []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.fast)
}

// crossings are what the callback was called with, with the value that the store had then.
type crossings struct {
	store *series.Store
	mu    sync.Mutex
	all   []Crossing
	seen  []float64
}

func (c *crossings) note(x Crossing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, _, _ := c.store.Value(metric.MemoryLevel, x.Target)
	c.all, c.seen = append(c.all, x), append(c.seen, v)
}

// sofar returns them.
func (c *crossings) sofar() []Crossing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

// at returns when the level was first reached.
func (c *crossings) at(l series.Level) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.all {
		if x.To >= l {
			return x.At, true
		}
	}
	return time.Time{}, false
}

// sampleMemory runs a sampler over targets for some time.
func sampleMemory(t *testing.T, length time.Duration, make func(store *series.Store) []*memory, during func(*Sampler, *crossings)) (*crossings, *series.Store) {
	t.Helper()
	s, store, _, _ := newTestSampler(t)
	c := &crossings{store: store}
	lane := Lane{Name: "process", Interval: 5 * time.Second}
	for _, m := range make(store) {
		lane.Jobs = append(lane.Jobs, Job{Source: "process", Target: m.target, Impl: m})
	}
	s.opts.Crossed = c.note
	s.lanes = append(s.lanes, newLane(s, lane))
	s.Start(t.Context())
	<-s.Ready()
	if during != nil {
		during(s, c)
	}
	<-time.After(length)
	stopSampler(t, s)
	return c, store
}
