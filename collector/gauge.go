package collector

import (
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
)

// trendPoints is the number of points that a trend needs, as series.Growth has it.
const trendPoints = 50

// clockSet is how far a reading may be older than the last one before the clock counts as set back;
// up to it, a sweep and a reading between two sweeps have overlapped.
const clockSet = 10 * time.Second

// reading is the memory of a target at one moment, in bytes.
type reading struct {
	used  float64 // what counts towards the limit; valid with exact
	bound float64 // what used cannot exceed
	exact bool
	// resident and anon are those of its processes; valid with processes.
	resident, anon float64
	processes      bool
}

// value is the best that is known of what counts.
func (r *reading) value() float64 {
	if r.exact {
		return r.used
	}
	return r.bound
}

// exactly returns the reading of a value that is known.
func exactly(used float64) reading { return reading{used: used, bound: used, exact: true} }

// gauge turns the used memory of one target into ratio, level and trend. Targets, discovered
// groups and the host share it. The sweep calls set, and readings between two sweeps take; what
// both need is behind mu.
type gauge struct {
	target     string
	store      *series.Store
	thresholds series.Thresholds
	interval   time.Duration
	trends     *trend.Board   // nil: nothing is known between days
	points     []series.Point // of the sweep

	near nearState // of the goroutine that reads between two sweeps

	mu       sync.Mutex
	leveller series.Leveller
	seeded   bool
	recent   series.Recent
	distance distance
	place    place
	limit    limit
	owner    *series.Batch // of the last sweep
	at       time.Time     // of the newest reading
	last     reading       // the newest that is exact
	taken    uint64        // readings so far
	swept    uint64        // taken when the last sweep had its reading
	fresh    bool          // the sweep that is not committed yet had a reading
	crossing Crossing      // that is not reported yet; From and To are the same when there is none
	gone     bool
}

// reset forgets the level: the target's processes are gone.
func (g *gauge) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leveller, g.seeded = series.NewLeveller(series.LevelNormal, g.pace()), true
	g.crossing.From, g.crossing.To = 0, 0
	g.place, g.limit = place{}, limit{}
	g.forget()
}

// forget drops what is known of the last seconds. mu is held.
func (g *gauge) forget() {
	g.recent.Reset()
	g.distance.reset()
}

// leave says that there is no such target any more.
func (g *gauge) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone, g.place = true, place{}
}

// pace is how far apart readings count towards a fall of the level: as under pressure, however
// often it is read.
func (g *gauge) pace() time.Duration { return g.interval / hurryFactor }

// set publishes everything that follows from the reading of a sweep and the limit. from says where
// the next readings are taken; cut that this one describes another population than those before.
func (g *gauge) set(b *series.Batch, r reading, l limit, from place, cut bool) {
	b.Set(metric.MemoryUsed, r.used, g.target)
	var growth trend.Growth
	known := false
	if !cut {
		growth, known = g.combined(b.Time, r.used, float64(l.bytes))
	}
	if known {
		b.Set(metric.MemoryGrowth, growth.PerSecond, g.target)
		b.Set(metric.MemoryGrowthConfidence, growth.Confidence, g.target)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if cut || l.basis != g.limit.basis || l.cgroup != g.limit.cgroup {
		g.forget()
	}
	g.limit, g.place, g.owner = l, from, b
	g.note(b.Time, r)
	g.swept, g.fresh = g.taken, true
	g.setState(b, r)
	if known && l.bytes > 0 {
		b.Set(metric.MemoryExhaustion, growth.Exhaustion, g.target)
	}
}

// setState sets what a reading says. mu is held.
func (g *gauge) setState(b *series.Batch, r reading) {
	if fast, ok := g.recent.Growth(); ok {
		b.Set(metric.MemoryFastGrowth, fast, g.target)
	}
	if g.limit.bytes > 0 {
		b.Set(metric.MemoryUsedRatio, r.used/float64(g.limit.bytes), g.target)
		b.Set(metric.MemoryLevel, float64(g.leveller.Level()), g.target)
	}
}

// note takes a reading into the level, the short ring and the distance. mu is held.
func (g *gauge) note(at time.Time, r reading) {
	if since := at.Sub(g.at); since > 0 || since < -clockSet {
		if since < 0 {
			g.forget()
		}
		g.at = at
	}
	g.taken++
	g.distance.note(at, r)
	if r.exact {
		g.recent.Push(at, r.used)
		g.last = r
	}
	if g.limit.bytes <= 0 {
		return
	}
	before := g.seededLevel()
	if after := g.leveller.Update(g.thresholds, r.value()/float64(g.limit.bytes), at); after != before {
		if g.crossing.From == g.crossing.To {
			g.crossing.From = before
		}
		g.crossing.To, g.crossing.At = after, at
	}
}

// seededLevel returns the level so far. The first goes on from the level that was published before
// a reload. mu is held.
func (g *gauge) seededLevel() series.Level {
	if !g.seeded {
		g.seeded = true
		v, _, _ := g.store.Value(metric.MemoryLevel, g.target)
		g.leveller = series.NewLeveller(series.Level(v), g.pace())
	}
	return g.leveller.Level()
}

// take publishes a reading between two sweeps, if it is still one of that place. b is a batch to
// work with.
func (g *gauge) take(b *series.Batch, at time.Time, r reading, from place) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.place != from || g.owner == nil {
		return false
	}
	g.note(at, r)
	if r.exact {
		g.refine(b, at, r)
	}
	return true
}

// refine makes a reading the newest in the store. mu is held, so that the newest is published last.
func (g *gauge) refine(b *series.Batch, at time.Time, r reading) {
	b.Reset(at)
	b.Set(metric.MemoryUsed, r.used, g.target)
	g.setState(b, r)
	if r.processes {
		setExtent(b, g.store, g.target, r.resident)
		b.Set(metric.MemoryAnon, r.anon, g.target)
	}
	g.store.Refine(g.owner, b)
}

// settle follows the commit of a sweep. A reading that came between the sweep's own and its commit
// is the newer one, and is published again. What the sweep could not read is absent until the next
// one. b is a batch to work with.
func (g *gauge) settle(b *series.Batch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.fresh:
		g.place = place{}
	case g.taken != g.swept && g.last.exact:
		g.refine(b, g.at, g.last)
	}
	g.fresh = false
}

// crossed returns the change of level that was not reported yet. confirm asks for a level at warning or
// above even where it has not changed.
func (g *gauge) crossed(confirm bool) (c Crossing, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c = g.crossing
	level := g.leveller.Level()
	g.crossing.From, g.crossing.To = level, level
	if ok = c.From != c.To; !ok && confirm && level >= series.LevelWarning {
		c, ok = Crossing{From: level, To: level, At: g.at}, true
	}
	c.Target, c.Signal = g.target, SignalMemory
	return c, ok
}

// within returns how soon the next reading is due; it is the usual interval where nothing is near.
func (g *gauge) within() due {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.place == (place{}) || g.limit.bytes <= 0 {
		return due{next: g.interval}
	}
	left := wayTo(g.thresholds, g.distance.value, float64(g.limit.bytes))
	return g.distance.within(left, g.interval, g.leveller.Rising(), memoryAllowance)
}

// next returns where the next reading is taken, and from which bound on it has to be exact: while
// that is below warning, no more has to be known.
func (g *gauge) next() (from place, need float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leveller.Level() == series.LevelNormal {
		need = g.thresholds.Warning * float64(g.limit.bytes)
	}
	return g.place, need
}

// spent notes what a reading took.
func (g *gauge) spent(took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.distance.spent(took)
}

// combined returns the growth that counts: between days, or of the last hours. What is known between days is of
// the present processes only if it was judged since they changed.
func (g *gauge) combined(now time.Time, used, limit float64) (trend.Growth, bool) {
	short, ok := g.growth(now)
	o := g.trends.Of(g.target)
	if o.Judged.Before(g.store.CutTime(metric.MemoryUsed, g.target)) {
		o = trend.Outlook{}
	}
	return o.Combine(now, short, ok, used, limit)
}

// growth returns the trend since the members changed: over the medium tier once it holds enough,
// be it of before this process started; before that over single samples, provided that they span what
// they do at the usual interval: where they span less, one rise of a garbage collector's sawtooth would
// pass for a leak.
func (g *gauge) growth(now time.Time) (perSecond float64, ok bool) {
	g.points = g.store.PointsSinceCut(g.points[:0], series.TierMedium, metric.MemoryUsed, g.target)
	if perSecond, ok = series.GrowthOver(g.points, (trendPoints-1)*series.MediumSpan*g.interval); ok {
		return perSecond, true
	}
	g.points = g.store.PointsSinceCut(g.points[:0], series.TierSample, metric.MemoryUsed, g.target)
	if len(g.points) == 0 || now.Sub(g.points[0].Time) < (trendPoints-1)*g.interval {
		return 0, false
	}
	return series.Growth(g.points)
}

// setExtent publishes the resident memory, and its extremes over the window.
func setExtent(b *series.Batch, store *series.Store, target string, resident float64) {
	lowest, highest, ok := store.Extent(metric.MemoryResident, target)
	if !ok {
		lowest, highest = resident, resident
	}
	b.Set(metric.MemoryResident, resident, target)
	b.Set(metric.MemoryWindowMax, max(highest, resident), target)
	b.Set(metric.MemoryWindowMin, min(lowest, resident), target)
}
