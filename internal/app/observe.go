package app

import (
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// risingSeconds is how near the limit has to be, at the growth of the last seconds, for a value to
// count as rising: twice the horizon of SpillwayMemoryRunningOut.
const risingSeconds = 60

// peakShare is the part of the window that is looked at for the peak from which a value falls.
const peakShare = 5

// observer reads for the dispatcher what a playbook relieves.
type observer struct{ a *App }

// jobsOf selects the jobs that a fresh reading of a subject needs.
func jobsOf(target string, s dispatch.Subject) func(collector.Job) bool {
	return func(j collector.Job) bool {
		// The listing of processes comes before the sample of a target's memory.
		return j.Target == target && j.Source == subject.Of(s).Source || s == subject.Memory && j.Source == sourceDiscovery
	}
}

// Refresh implements dispatch.Observer.
func (o observer) Refresh(target string, s dispatch.Subject) {
	if g := o.a.graph.Load(); g != nil {
		g.sampler.Kick(jobsOf(target, s))
	}
}

// Observe implements dispatch.Observer.
func (o observer) Observe(target string, s dispatch.Subject) dispatch.Reading {
	g := o.a.graph.Load()
	if g == nil {
		return dispatch.Reading{}
	}
	var r dispatch.Reading
	switch s {
	case subject.Memory:
		r = o.memory(target)
	case subject.Heap:
		r = o.heap(target)
	default:
		r = o.directories(target, s)
	}
	if r.Known {
		r.Samples = g.sampler.Runs(jobsOf(target, s))
	}
	return r
}

func (o observer) thresholds() *config.Thresholds { return &o.a.graph.Load().cfg.Thresholds }

func (o observer) memory(target string) dispatch.Reading {
	store := o.a.parts.store
	ratio, _, ok := store.Value(metric.MemoryUsedRatio, target)
	if !ok {
		return dispatch.Reading{}
	}
	used, _, _ := store.Value(metric.MemoryUsed, target)
	limit, _, _ := store.Value(metric.MemoryLimit, target)
	r := dispatch.Reading{
		Known: true, Ratio: ratio, Peak: ratio, Level: o.thresholds().Memory.Of().Of(ratio),
		Text: fmt.Sprintf("memory %s of %s (%s)", units.Bytes(used).String(), units.Bytes(limit).String(), health.Percent(ratio)),
	}
	r.Peak = o.peak(ratio, metric.MemoryUsedRatio, target)
	growth, _, ok := store.Value(metric.MemoryFastGrowth, target)
	r.Rising = ok && series.Exhaustion(used, limit, growth) < risingSeconds
	return r
}

// peak returns the highest value of the last sweeps: a fifth of the window. A spike between two
// sweeps is none: what came down from one has not been falling.
func (o observer) peak(now float64, d *series.Desc, labels ...string) float64 {
	points := o.a.parts.store.Points(nil, series.TierSample, d, labels...)
	for _, p := range points[max(0, len(points)-o.a.graph.Load().cfg.Window/peakShare):] {
		now = max(now, p.Last)
	}
	return now
}

func (o observer) heap(target string) dispatch.Reading {
	store := o.a.parts.store
	for _, sample := range store.SnapshotOf(nil, target) {
		if sample.Desc != metric.HeapUsedRatio || sample.Values[0] != target {
			continue
		}
		runtime, ratio := sample.Values[1], sample.Value
		used, _, _ := store.Value(metric.HeapUsed, target, runtime)
		limit, _, _ := store.Value(metric.HeapLimit, target, runtime)
		r := dispatch.Reading{
			Known: true, Ratio: ratio, Peak: ratio, Level: o.thresholds().Heap.Of().Of(ratio),
			Text: fmt.Sprintf("%s heap %s of %s (%s)", runtime, units.Bytes(used).String(), units.Bytes(limit).String(), health.Percent(ratio)),
		}
		r.Peak = o.peak(ratio, metric.HeapUsedRatio, target, runtime)
		if live, _, ok := store.Value(metric.HeapLive, target, runtime); ok && limit > 0 { // as the rules judge it
			r.Ratio, r.Peak = live/limit, o.peak(live, metric.HeapLive, target, runtime)/limit
			r.Level = o.thresholds().Heap.Of().Of(r.Ratio)
			r.Text += fmt.Sprintf(", %s live (%s)", units.Bytes(live).String(), health.Percent(r.Ratio))
		}
		return r
	}
	return dispatch.Reading{}
}

// directories reads the fullest cache, or the folder that is furthest over its policy. Over a limit
// is at warning.
func (o observer) directories(target string, s dispatch.Subject) dispatch.Reading {
	var r dispatch.Reading
	for _, t := range health.Targets(o.a.parts.store.SnapshotOf(nil, target)) {
		if t.Name != target {
			continue
		}
		switch s {
		case subject.Cache:
			for i := range t.Caches {
				r = worse(r, cacheReading(&t.Caches[i]))
			}
		case subject.Temp:
			for i := range t.Temps {
				r = worse(r, tempReading(&t.Temps[i], o.a.parts.left.Of(target, policy.KindTemp, t.Temps[i].Name)))
			}
		default:
			for i := range t.Folders {
				if f := &t.Folders[i]; f.Kind == string(s) {
					r = worse(r, folderReading(f, o.a.parts.left.Of(target, f.Kind, f.Name)))
				}
			}
		}
	}
	return r
}

// worse returns the reading that is further over its limit.
func worse(a, b dispatch.Reading) dispatch.Reading {
	if !a.Known || b.Known && (b.Level > a.Level || b.Level == a.Level && b.Ratio > a.Ratio) {
		return b
	}
	return a
}

func cacheReading(c *health.Cache) dispatch.Reading {
	if c.UsedRatio == nil || c.Entries == nil || c.SizeBytes == nil {
		return dispatch.Reading{}
	}
	r := dispatch.Reading{
		Known: true, Ratio: *c.UsedRatio, Peak: *c.UsedRatio,
		Text: fmt.Sprintf("cache %s: %.0f entries, %s (%s)", c.Name, *c.Entries, units.Bytes(*c.SizeBytes).String(), health.Percent(*c.UsedRatio)),
	}
	if *c.UsedRatio > 1 {
		r.Level = series.LevelWarning
	}
	return r
}

// tempReading judges a folder; left are the due files that the last clean-up had to leave.
func tempReading(d *health.Temp, left int64) dispatch.Reading {
	if d.Files == nil {
		return dispatch.Reading{}
	}
	r := dispatch.Reading{Known: true, Text: fmt.Sprintf("temp %s: %.0f files", d.Name, *d.Files)}
	if d.MaxFiles != nil && *d.MaxFiles > 0 {
		r.Ratio = *d.Files / *d.MaxFiles
	}
	if d.UsedRatio != nil {
		r.Ratio = *d.UsedRatio
	}
	if d.Expired != nil {
		r.Text += fmt.Sprintf(", %.0f due", *d.Expired)
	}
	if r.Ratio > 1 || d.Expired != nil && *d.Expired > float64(left) {
		r.Level = series.LevelWarning
	}
	r.Peak = r.Ratio
	return r
}

// folderReading judges a folder of uploads or logs; left are the due files that the last run had
// to leave.
func folderReading(f *health.Folder, left int64) dispatch.Reading {
	if f.Files == nil || f.SizeBytes == nil {
		return dispatch.Reading{}
	}
	r := dispatch.Reading{Known: true, Text: fmt.Sprintf("%s %s: %.0f files, %s", f.Kind, f.Name, *f.Files, units.Bytes(*f.SizeBytes).String())}
	if f.MaxBytes != nil && *f.MaxBytes > 0 {
		r.Ratio = *f.SizeBytes / *f.MaxBytes
	}
	due, ok := f.Due()
	if ok {
		r.Text += fmt.Sprintf(", %.0f due", due)
	}
	if f.Over() || due > float64(left) {
		r.Level = series.LevelWarning
	}
	r.Peak = r.Ratio
	return r
}
