package collector

import (
	"context"
	"fmt"
	"sync"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// The values of the label source of CacheHits.
const (
	HitsApp      = "app"
	HitsInferred = "inferred"
)

// watchOpens makes the scan keep the watch of the cache's folders up to date. The function that it
// returns is called after a scan that succeeded and publishes what the watch counted.
func (m *cacheMeter) watchOpens(ctx context.Context, scan *dirscan.Options) func(setFunc) error {
	if m.opens == nil {
		return func(setFunc) error { return nil }
	}
	err := m.opens.Begin(ctx)
	if err != nil {
		return func(setFunc) error { return fmt.Errorf("infer the hits of cache %q: %w", m.Name, err) }
	}
	var (
		mu   sync.Mutex // walkers enter folders alongside each other
		path []byte
	)
	scan.Enter = func(f *dirscan.Folder) {
		mu.Lock()
		defer mu.Unlock()
		path = f.AppendPath(path[:0])
		if e := m.opens.Follow(f.FD(), path); e != nil && err == nil {
			err = e
		}
	}
	return func(set setFunc) error {
		m.opens.End()
		counts, full := m.opens.Counts()
		set(metric.CacheWatchOverflows, float64(counts.Overflows))
		if err == nil {
			err = full
		}
		if err != nil { // what the folders that are not watched would add is not known
			m.hits.clear()
			return fmt.Errorf("infer the hits of cache %q: %w", m.Name, err)
		}
		hits, misses := float64(counts.Hits), float64(counts.Misses)
		set(metric.CacheHits, hits, HitsInferred)
		set(metric.CacheMisses, misses, HitsInferred)
		if ratio, ok := m.hits.add(hits, misses); ok {
			set(metric.CacheHitRatio, ratio, HitsInferred)
		}
		return nil
	}
}

// hitWindow holds the totals of hits and misses at the last samples.
type hitWindow struct {
	size   int
	totals [][2]float64
}

func newHitWindow(size int) hitWindow { return hitWindow{size: max(size, 2)} }

// add adds the totals of one sample and returns the ratio over the window; ok is false when
// nothing was asked in it. Totals that went down start anew.
func (w *hitWindow) add(hits, misses float64) (ratio float64, ok bool) {
	if n := len(w.totals); n > 0 && (hits < w.totals[n-1][0] || misses < w.totals[n-1][1]) {
		w.clear()
		w.totals = append(w.totals, [2]float64{}) // they were 0 at the restart
	}
	if len(w.totals) >= w.size {
		copy(w.totals, w.totals[1:])
		w.totals = w.totals[:w.size-1]
	}
	w.totals = append(w.totals, [2]float64{hits, misses})
	oldest := w.totals[0]
	hits, misses = hits-oldest[0], misses-oldest[1]
	if hits+misses <= 0 {
		return 0, false
	}
	return hits / (hits + misses), true
}

func (w *hitWindow) clear() { w.totals = w.totals[:0] }
