package collector

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// monotonic makes a counter of a figure that may start anew: a cgroup that was made again, or a
// source that took over by a reload. What is published never goes down.
type monotonic struct {
	base, last float64
	known      bool
}

// set publishes the counter and returns what it published.
func (m *monotonic) set(b *series.Batch, store *series.Store, d *series.Desc, raw float64, values ...string) float64 {
	if !m.known {
		m.known = true
		if before, _, ok := store.Value(d, values...); ok && before > raw {
			m.base = before - raw
		}
	} else if raw < m.last {
		m.base += m.last
	}
	m.last = raw
	b.Set(d, m.base+raw, values...)
	return m.base + raw
}
