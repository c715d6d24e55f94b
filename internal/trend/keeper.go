package trend

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// Value is the lowest and the highest value of a gauge of a target over some minutes.
type Value struct {
	Target, Gauge string
	Time          time.Time // where they begin
	Low, High     float64
}

// Start is a start of a target's service.
type Start struct {
	Time time.Time
	Same bool // it runs the same build as the start before
}

// Options configure a Keeper. All are required.
type Options struct {
	Board  *Board
	Past   func(target, gauge string, from time.Time, take func(*Value)) // passes on what the history has, in its order
	Starts func(target string) []Start                                   // of all that is kept, in their order, none before the host's
	Limit  func(target string) float64                                   // of the memory; 0 where there is none

	Memory string // the gauge of the memory that counts
	Live   string // how the gauges begin of what collections leave of a heap
}

// forgotten is after how long a target that has no values is read anew from the history.
const forgotten = 2 * day

// Keeper keeps the hours of each target and judges them. It is not safe for concurrent use.
type Keeper struct {
	opts    Options
	targets map[string]*target
}

// target is what is kept of one.
type target struct {
	hours  map[string]*track // by gauge
	newest int64             // hour
	starts []Start
	build  Build // without Now, until the present start is known
	usual  Rate  // of the longest earlier start of the present build
}

// track is the hours of a gauge; the newest is not over yet.
type track struct{ hours []Hour }

// NewKeeper returns a Keeper that has nothing yet.
func NewKeeper(o Options) *Keeper { return &Keeper{opts: o, targets: make(map[string]*target)} }

// Counts reports whether a gauge is one that a Keeper wants.
func (k *Keeper) Counts(gauge string) bool {
	return gauge == k.opts.Memory || strings.HasPrefix(gauge, k.opts.Live)
}

// Add takes the values of the last minutes of all targets, and judges those that have some. restarted are the targets whose
// service has started meanwhile.
func (k *Keeper) Add(values []Value, restarted []string, now time.Time) {
	touched := make(map[string]struct{})
	for i := range values {
		v := &values[i]
		if !k.Counts(v.Gauge) {
			continue
		}
		t := k.targets[v.Target]
		if t == nil {
			t = &target{hours: make(map[string]*track)}
			k.targets[v.Target] = t
			restarted = append(restarted, v.Target)
		}
		t.trackOf(k, v, now).add(v)
		t.newest = max(t.newest, v.Time.Unix()/3600)
		touched[v.Target] = struct{}{}
	}
	for _, name := range restarted {
		if t := k.targets[name]; t != nil {
			t.starts = k.opts.Starts(name)
			t.compare(k.opts.Memory)
		}
	}
	hour := now.Unix() / 3600
	for name, t := range k.targets {
		if _, ok := touched[name]; ok {
			o := k.judge(name, t, now)
			o.hours = nil // they go on changing
			k.opts.Board.Put(name, &o)
		} else if hour-t.newest > forgotten {
			delete(k.targets, name)
			k.opts.Board.drop(name)
		}
	}
}

// trackOf returns the track of a gauge, filled from the history when it is new.
func (t *target) trackOf(k *Keeper, v *Value, now time.Time) *track {
	tr := t.hours[v.Gauge]
	if tr == nil {
		tr = &track{}
		t.hours[v.Gauge] = tr
		k.opts.Past(v.Target, v.Gauge, now.Add(-Most*time.Hour), tr.add)
	}
	return tr
}

// add takes values into their hour. After the clock was set back, what it had shown later is dropped.
func (t *track) add(v *Value) {
	n := v.Time.Unix() / 3600
	if math.IsNaN(v.Low) || math.IsInf(v.Low, 0) || math.IsNaN(v.High) || math.IsInf(v.High, 0) {
		return
	}
	i, found := slices.BinarySearchFunc(t.hours, n, func(h Hour, n int64) int { return cmp.Compare(h.Number, n) })
	if found {
		h := &t.hours[i]
		h.Low, h.High = min(h.Low, v.Low), max(h.High, v.High)
		return
	}
	t.hours = append(t.hours[:i], Hour{n, v.Low, v.High})
	if old := len(t.hours) - 1 - Most; old > 0 {
		t.hours = slices.Delete(t.hours, 0, old)
	}
}

// between returns the whole hours of a start: neither that of its begin nor that of its end.
func (t *track) between(from, to time.Time) []Hour {
	if t == nil {
		return nil
	}
	at := func(n int64) int {
		i, _ := slices.BinarySearchFunc(t.hours, n, func(h Hour, n int64) int { return cmp.Compare(h.Number, n) })
		return i
	}
	first := 0
	if !from.IsZero() {
		first = at(from.Unix()/3600 + 1)
	}
	return t.hours[min(first, at(to.Unix()/3600)):at(to.Unix()/3600)]
}

// judge makes the outlook of a target.
func (k *Keeper) judge(name string, t *target, now time.Time) Outlook {
	var from time.Time
	if n := len(t.starts); n > 0 {
		from = t.starts[n-1].Time
	}
	o := Outlook{Estimate: Of(t.hours[k.opts.Memory].between(from, now)), Judged: now, Limit: k.opts.Limit(name), Signal: "memory", Build: t.build}
	memory := o.Estimate
	// What collections leave has no garbage, so it is the better signal, unless what grows lies outside of the heap.
	for gauge, tr := range t.hours {
		if gauge == k.opts.Memory {
			continue
		}
		live := Of(tr.between(from, now))
		if live.Growing && (!memory.Known || live.PerSecond > 0 && memory.PerSecond > 0) && live.Confidence >= o.Confidence {
			live.hours, live.steepest = memory.hours, max(memory.steepest, live.steepest) // the limit is that of the memory
			o.Estimate, o.Signal = live, gauge
		}
	}
	if o.Limit > 0 {
		o.Forecast = o.Reaches(o.Limit, now)
	}
	if !t.build.Since.IsZero() {
		if o.Build.Now = rateOf(&o.Estimate); !o.Build.Now.Known {
			o.Build.Now = t.usual
		}
	}
	return o
}

// compare judges the build before the present one, and the earlier starts of the present one, each by its longest start.
func (t *target) compare(gauge string) {
	t.build, t.usual = Build{}, Rate{}
	tr := t.hours[gauge]
	n := len(t.starts)
	if n == 0 || tr == nil {
		return
	}
	first := firstOf(t.starts, n)
	t.usual = longest(tr, t.starts[first:n])
	if first > 0 {
		t.build.Since = t.starts[first].Time
		t.build.Before = longest(tr, t.starts[firstOf(t.starts, first):first+1])
	}
}

// firstOf returns the first start of the build that runs before start i.
func firstOf(starts []Start, i int) int {
	for i--; i > 0 && starts[i].Same; {
		i--
	}
	return max(i, 0)
}

// longest judges the longest of consecutive starts, each up to the next; the last is only an end.
func longest(tr *track, starts []Start) Rate {
	var best []Hour
	for i := 1; i < len(starts); i++ {
		if hours := tr.between(starts[i-1].Time, starts[i].Time); len(hours) > len(best) {
			best = hours
		}
	}
	e := Of(best)
	return rateOf(&e)
}
