package series

import (
	"slices"
	"strconv"
	"sync"
	"time"
)

// Tier selects one of the three rings of a windowed series.
type Tier int

// The tiers: a slot holds one sample, 15 sample intervals, 300 sample intervals.
const (
	TierSample Tier = iota
	TierMedium
	TierLong
	tiers
)

// MediumSpan is the width of the slots of TierMedium in sample intervals.
const MediumSpan = 15

// spans are the slots' widths in sample intervals.
var spans = [tiers]int{0, MediumSpan, 300}

// Options configure a Store. Zero values take the defaults named in each field.
type Options struct {
	Window    int           // slots per ring; default 100
	Interval  time.Duration // the sample interval that tiers multiply; default 5s
	MaxSeries int           // series above this number are dropped and counted; default 20000
}

// keyLabels is how many label values a Key holds one by one. Hardly any series has more than one beyond
// them; those that have are looked up more slowly.
const keyLabels = 2

// Key identifies a series: Descs are compared by pointer. It is hashed whole, so it is small: up to
// keyLabels+1 values make one without allocating.
type Key struct {
	desc   *Desc
	values [keyLabels]string
	rest   string // the values after those
}

// KeyOf returns the key of the series of d with these label values, in the order of d.Labels.
func KeyOf(d *Desc, values []string) Key {
	k := Key{desc: d}
	if n := copy(k.values[:], values); n < len(values) {
		k.rest = join(values[n:])
	}
	return k
}

// join makes one string of label values: of one value itself, of more each with its length.
func join(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	var b []byte
	for _, v := range values {
		b = append(strconv.AppendInt(b, int64(len(v)), 10), ':')
		b = append(b, v...)
	}
	return string(b)
}

type entry struct {
	desc   *Desc
	values []string // one for each of desc.Labels
	owner  *Batch
	gen    uint64 // generation of the owner's batch that set it last
	value  float64
	ms     int64
	rings  [tiers]*ring // nil unless desc.Window
	sums   *gathering   // nil unless it is gathered
	cutMS  int64        // samples before this time do not belong to the same population
	hidden bool         // not in the owner's newest batch: absent
	next   *entry       // what the owner set after it, which it will most likely do again
}

func (e *entry) sample() Sample {
	return Sample{Desc: e.desc, Values: e.values, Value: e.value, Time: time.UnixMilli(e.ms)}
}

// Sample is the newest value of one series.
type Sample struct {
	Desc   *Desc
	Values []string // label values in the order of Desc.Labels; the store's own, not to be changed
	Value  float64
	Time   time.Time
}

// Store holds the newest value and the rings of every series. It is safe for concurrent use.
type Store struct {
	opts Options

	mu      sync.RWMutex
	series  map[Key]*entry
	order   []*entry // in order of first sight, for a stable and cheap walk
	dropped uint64
	seq     uint64 // commits so far

	gatherStep int64 // milliseconds
	gatherWant func(*Desc) bool
}

// NewStore returns an empty Store.
func NewStore(o Options) *Store {
	if o.Window <= 0 {
		o.Window = 100
	}
	if o.Interval <= 0 {
		o.Interval = 5 * time.Second
	}
	if o.MaxSeries <= 0 {
		o.MaxSeries = 20000
	}
	return &Store{opts: o, series: make(map[Key]*entry)}
}

// Batch gathers what one source read in one sample. It belongs to one goroutine. Series that an
// earlier batch of the same owner set and this one did not become absent at Commit.
type Batch struct {
	Time    time.Time // of the sample; set by the frame before Sample is called
	items   []item
	values  []string // the label values of all items, one after the other
	gen     uint64
	cutNow  bool
	between bool
	store   *Store // that it was committed to
	first   *entry // what its first item was then
}

type item struct {
	desc  *Desc
	value float64
	from  int // where its label values begin
	cut   bool
}

// labels returns the label values of an item.
func (b *Batch) labels(it *item) []string {
	end := it.from + len(it.desc.Labels)
	return b.values[it.from:end:end]
}

// Set records a value. values are the label values in the order of d.Labels; a wrong number is
// a programming error and panics. It allocates only while the batch grows to its usual size.
func (b *Batch) Set(d *Desc, value float64, values ...string) {
	if len(values) != len(d.Labels) {
		panic("series: " + d.Name + ": wrong number of label values")
	}
	b.items = append(b.items, item{desc: d, value: value, from: len(b.values)})
	b.values = append(b.values, values...)
}

// Len returns the number of values set since Reset.
func (b *Batch) Len() int { return len(b.items) }

// Each calls f for every value set since Reset, in order. It serves tests and one-shot readers.
func (b *Batch) Each(f func(d *Desc, value float64, values []string)) {
	for i := range b.items {
		it := &b.items[i]
		f(it.desc, it.value, b.labels(it))
	}
}

// Cut marks that the series of this batch describe another population from now on (the members
// of a target changed): trends do not reach over it. The rings keep their points.
func (b *Batch) Cut() { b.cutNow = true }

// Between marks a sample that is taken between two of the cadence: its values are the newest and
// widen the newest slots of the rings, which do not move on.
func (b *Batch) Between() { b.between = true }

// CutFrom is Cut for the values set since the batch held n of them (see Len), where a batch
// holds the series of several populations.
func (b *Batch) CutFrom(n int) {
	for i := n; i < len(b.items); i++ {
		b.items[i].cut = true
	}
}

// Reset empties the batch for a sample taken at now.
func (b *Batch) Reset(now time.Time) {
	b.Time = now
	b.items, b.values = b.items[:0], b.values[:0]
	b.cutNow, b.between = false, false
}

// Commit publishes the batch: its values become the newest, are pushed into the rings, and what
// the same batch published before and does not hold now becomes absent. All readers see either
// the whole batch or nothing of it.
func (s *Store) Commit(b *Batch) {
	ms := b.Time.UnixMilli()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	b.gen++
	if b.store != s {
		b.store, b.first = s, nil
	}
	guess := &b.first
	for i := range b.items {
		it := &b.items[i]
		e := s.find(guess, it.desc, b.labels(it))
		if e == nil {
			continue
		}
		guess = &e.next
		if b.cutNow || it.cut {
			e.cutMS = ms
		}
		e.owner, e.gen = b, b.gen
		e.take(ms, it.value, b.between)
	}
	for _, e := range s.order {
		if e.owner == b && e.gen != b.gen {
			e.hidden = true
		}
	}
}

// Refine publishes a reading that was taken between two samples of owner: its values are the newest
// of the series that it has, until the next Commit of owner. Whatever else owner has published stays.
func (s *Store) Refine(owner, b *Batch) {
	ms := b.Time.UnixMilli()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	for i := range b.items {
		it := &b.items[i]
		var guess *entry // the order of owner is not that of b
		if e := s.find(&guess, it.desc, b.labels(it)); e != nil {
			e.owner, e.gen = owner, owner.gen
			e.take(ms, it.value, true)
		}
	}
}

// take makes a value the newest of the series.
func (e *entry) take(ms int64, v float64, between bool) {
	e.value, e.ms, e.hidden = v, ms, false
	if e.sums != nil {
		e.sums.add(ms, v)
	}
	for _, r := range e.rings {
		switch {
		case r == nil:
		case between:
			r.widen(ms, v)
		default:
			r.push(ms, v)
		}
	}
}

// find returns a series, which is new when it is not there; nil when the store is full. It is called
// with mu held. A batch sets mostly the same series in the same order, so that guess, what came next
// the last time, saves the look into the map. It is put right where it was wrong.
func (s *Store) find(guess **entry, d *Desc, values []string) *entry {
	if e := *guess; e != nil && e.desc == d && slices.Equal(e.values, values) {
		return e
	}
	k := KeyOf(d, values)
	e := s.series[k]
	if e == nil {
		if len(s.series) >= s.opts.MaxSeries {
			s.dropped++
			return nil
		}
		e = s.add(k, values)
	}
	*guess = e
	return e
}

// add is called with mu held.
func (s *Store) add(k Key, values []string) *entry {
	e := &entry{desc: k.desc, values: slices.Clone(values)}
	if k.desc.Window {
		for i := range e.rings {
			e.rings[i] = newRing(s.opts.Window, time.Duration(spans[i])*s.opts.Interval)
		}
	}
	s.gatherFor(e)
	s.series[k] = e
	s.order = append(s.order, e)
	return e
}

// Forget removes everything that the batch's owner has published, rings included: the source is
// gone, by a reload or because a discovered group left.
func (s *Store) Forget(b *Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(func(e *entry) bool { return e.owner == b })
}

// ForgetOlder removes series that have been absent since before t, so that names that come and
// go do not stay in memory.
func (s *Store) ForgetOlder(t time.Time) {
	ms := t.UnixMilli()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(func(e *entry) bool { return e.hidden && e.ms < ms })
}

func (s *Store) forget(gone func(*entry) bool) {
	kept := s.order[:0]
	for _, e := range s.order {
		if gone(e) {
			delete(s.series, KeyOf(e.desc, e.values))
			*e = entry{} // what came before it may still point here, and must not find it
			continue
		}
		kept = append(kept, e)
	}
	clear(s.order[len(kept):])
	s.order = kept
}

// Hide makes everything that the batch's owner has published absent and keeps its rings: the
// source takes over again after a reload.
func (s *Store) Hide(b *Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.order {
		if e.owner == b {
			e.hidden = true
		}
	}
}

// Snapshot appends the newest value of every series that is present to dst and returns it.
func (s *Store) Snapshot(dst []Sample) []Sample {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, e := range s.order {
		if !e.hidden {
			dst = append(dst, e.sample())
		}
	}
	return dst
}

// SnapshotOf is Snapshot for the series of one target: those whose first label is target.
func (s *Store) SnapshotOf(dst []Sample, target string) []Sample {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, e := range s.order {
		if !e.hidden && len(e.values) > 0 && e.values[0] == target && e.desc.Labels[0] == "target" {
			dst = append(dst, e.sample())
		}
	}
	return dst
}

// SnapshotWhere is Snapshot for the series of some targets: those whose first label is target and
// whose target keep approves. keep is called with the store locked.
func (s *Store) SnapshotWhere(dst []Sample, keep func(d *Desc, target string) bool) []Sample {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, e := range s.order {
		if !e.hidden && len(e.desc.Labels) > 0 && e.desc.Labels[0] == "target" && keep(e.desc, e.values[0]) {
			dst = append(dst, Sample{Desc: e.desc, Values: e.values, Value: e.value, Time: time.UnixMilli(e.ms)})
		}
	}
	return dst
}

// Value returns the newest value of a series and its time; ok is false when it is absent.
func (s *Store) Value(d *Desc, values ...string) (value float64, at time.Time, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.series[KeyOf(d, values)]
	if e == nil || e.hidden {
		return 0, time.Time{}, false
	}
	return e.value, time.UnixMilli(e.ms), true
}

// Points appends the slots of one ring, oldest first, to dst. A series that is absent, or keeps
// no rings, has none.
func (s *Store) Points(dst []Point, tier Tier, d *Desc, values ...string) []Point {
	return s.points(dst, tier, false, d, values)
}

// PointsSinceCut is Points without the samples of an earlier population (see Batch.Cut).
func (s *Store) PointsSinceCut(dst []Point, tier Tier, d *Desc, values ...string) []Point {
	return s.points(dst, tier, true, d, values)
}

func (s *Store) points(dst []Point, tier Tier, sinceCut bool, d *Desc, values []string) []Point {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.series[KeyOf(d, values)]
	if e == nil || e.rings[tier] == nil {
		return dst
	}
	r := e.rings[tier]
	for i := range r.len() {
		p := r.at(i)
		if sinceCut && p.ms-r.span < e.cutMS {
			continue
		}
		dst = append(dst, Point{Time: time.UnixMilli(p.ms), Min: p.min, Max: p.max, Last: p.last})
	}
	return dst
}

// CutTime returns when the present population of a series began (see Batch.Cut); zero where none was marked, or there is no such
// series.
func (s *Store) CutTime(d *Desc, values ...string) time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.series[KeyOf(d, values)]
	if e == nil || e.cutMS == 0 {
		return time.Time{}
	}
	return time.UnixMilli(e.cutMS)
}

// Extent returns the smallest and largest value in the ring of single samples.
func (s *Store) Extent(d *Desc, values ...string) (lowest, highest float64, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.series[KeyOf(d, values)]
	if e == nil || e.rings[TierSample] == nil {
		return 0, 0, false
	}
	return e.rings[TierSample].extent()
}

// Len returns how many series are held and how many values were dropped because the store was
// full.
func (s *Store) Len() (held int, dropped uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.series), s.dropped
}

// Seq returns the number of commits so far; a reader that saw it grow knows there is news.
func (s *Store) Seq() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.seq
}
