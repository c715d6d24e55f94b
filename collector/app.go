package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// The names in an AppConfig's map that have a meaning of their own. Of the others, one that ends
// in _total is a counter and every other one a gauge.
const (
	appHits     = "cache_hits"
	appMisses   = "cache_misses"
	appHitRatio = "cache_hit_ratio"
	appEntries  = "cache_entries"
	appBytes    = "cache_bytes"
)

// AppReader reads the values of a service; *fetch.Client is one. A reader that is an io.Closer is
// closed with the source.
type AppReader interface {
	Values(ctx context.Context, format string, wants []fetch.Want) ([]fetch.Value, error)
}

// AppOptions configure an App. Target, Config, Store and Window are required.
type AppOptions struct {
	Target string
	Config AppConfig
	Reader AppReader // default: a client of the config's endpoint
	Store  *series.Store
	Window int // samples over which a hit ratio is taken
	// Running, when set, reports whether the target has live processes at present: while it has
	// none, an address at which nothing listens is absent instead of failed.
	Running func() bool
	Now     func() time.Time // default time.Now
}

// App is the Source of one service's own counters.
type App struct {
	opts     AppOptions
	wants    []fetch.Want
	counters map[string]*monotonic
	hits     hitWindow
	patience patience
}

// NewApp returns the source; nothing is opened before the first sample.
func NewApp(o AppOptions) *App {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Reader == nil {
		o.Reader = fetch.NewClient(o.Config.Endpoint)
	}
	a := &App{opts: o, wants: o.Config.wants(), counters: make(map[string]*monotonic), hits: newHitWindow(o.Window)}
	for _, w := range a.wants {
		a.counters[w.Name] = &monotonic{}
	}
	return a
}

// Sample implements Source. A value that cannot be read is absent and fails the source; the others
// are published all the same.
func (a *App) Sample(ctx context.Context, b *series.Batch) error {
	values, err := a.opts.Reader.Values(ctx, a.opts.Config.Format, a.wants)
	if errors.Is(err, fetch.ErrLate) {
		return a.patience.busy(a.opts.Now(), err)
	}
	a.patience.end()
	if err != nil {
		if errors.Is(err, fetch.ErrUnreachable) && a.opts.Running != nil && !a.opts.Running() {
			return fmt.Errorf("the target does not run: %w", ErrAbsent)
		}
		return fmt.Errorf("read the service's counters: %w", err)
	}
	byName := make(map[string]float64, len(values))
	var failed []error
	for i, v := range values {
		if v.Err != nil {
			failed = append(failed, v.Err)
			continue
		}
		byName[a.wants[i].Name] = v.V
	}
	a.publish(b, byName)
	return errors.Join(failed...)
}

func (a *App) publish(b *series.Batch, values map[string]float64) {
	target, cache := a.opts.Target, a.opts.Config.Cache
	a.publishHits(b, values)
	for _, w := range a.wants {
		v, ok := values[w.Name]
		if !ok {
			continue
		}
		switch {
		case w.Name == appHits, w.Name == appMisses:
		case w.Name == appHitRatio:
			b.Set(metric.CacheHitRatio, v, target, cache, HitsApp)
		case w.Name == appEntries:
			b.Set(metric.CacheEntries, v, target, cache)
		case w.Name == appBytes:
			b.Set(metric.CacheSize, v, target, cache)
		case isCounter(w.Name):
			a.count(b, metric.AppEvents, w.Name, v, target, w.Name)
		default:
			b.Set(metric.AppValue, v, target, w.Name)
		}
	}
}

// publishHits publishes the totals, and the ratio where both are known.
func (a *App) publishHits(b *series.Batch, values map[string]float64) {
	target, cache := a.opts.Target, a.opts.Config.Cache
	hits, haveHits := values[appHits]
	misses, haveMisses := values[appMisses]
	if haveHits {
		a.count(b, metric.CacheHits, appHits, hits, target, cache, HitsApp)
	}
	if haveMisses {
		a.count(b, metric.CacheMisses, appMisses, misses, target, cache, HitsApp)
	}
	if !haveHits || !haveMisses {
		return
	}
	if ratio, ok := a.hits.add(hits, misses); ok {
		b.Set(metric.CacheHitRatio, ratio, target, cache, HitsApp)
	}
}

func (a *App) count(b *series.Batch, d *series.Desc, name string, v float64, values ...string) {
	a.counters[name].set(b, a.opts.Store, d, v, values...)
}

// Close implements io.Closer.
func (a *App) Close() error { return closeReader(a.opts.Reader) }

// closeReader closes what a source reads through, when there is something to close.
func closeReader(r any) error {
	if c, ok := r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
