package app

import (
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// opensKey names a cache.
type opensKey struct{ target, cache string }

// watchOpens takes a handle for each cache of a target whose hits are inferred. Nothing is opened
// before the first scan.
func (g *graph) watchOpens(t *config.Target, o *Options, p *parts) error {
	for i := range t.Caches {
		c := &t.Caches[i]
		if c.HitRate != policy.HitRateInferred {
			continue
		}
		names, err := c.Compile()
		if err != nil {
			return err
		}
		key := []string{strings.Join(c.Include, "\x00"), strings.Join(c.Keep, "\x00"), strings.Join(c.Exclude, "\x00")}
		if c.IsRecursive() {
			key = append(key, "recursive")
		}
		if c.EntriesAreDirs() {
			key = append(key, policy.EntryDir)
		}
		h, err := p.opens.Get(hitrate.Cache{Name: c.Name, Dir: o.Join(c.Dir), Key: strings.Join(key, "\x01")}, c.SelectFile(names))
		if err != nil {
			return err
		}
		g.opens[opensKey{t.Name, c.Name}] = h
	}
	return nil
}

// opensOf returns the watches of a target's caches, by the name of the cache.
func (g *graph) opensOf(t *config.Target) map[string]action.Opens {
	out := make(map[string]action.Opens)
	for i := range t.Caches {
		if h := g.opens[opensKey{t.Name, t.Caches[i].Name}]; h != nil {
			out[t.Caches[i].Name] = h
		}
	}
	return out
}

// opensFor returns the watch of one policy's folder: of a cache whose hits are inferred.
func (g *graph) opensFor(t *config.Target, kind, name string) *hitrate.Handle {
	if kind != policy.KindCache {
		return nil
	}
	return g.opens[opensKey{t.Name, name}]
}
