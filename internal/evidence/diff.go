package evidence

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// ErrIncomparable says that two profiles are not of one start of a process, or were not captured alike.
var ErrIncomparable = errors.New("profiles cannot be compared")

// What makes growth more than an error of the measurement, and a culprit of what grows. A cache that breathes
// is higher at one capture than at the one before as often as not: that five in a row rise by chance happens
// once in 120 times, and TestBreathingCacheIsNoCulprit holds the rate that is left.
const (
	sigmas       = 4.0            // standard errors of the growth, so that not one of 200 rows passes by chance
	leastGrowth  = int64(1 << 20) // of a culprit
	leastOfTotal = 0.05           // of what lives, that a culprit has grown by
	leastShare   = 0.20           // of all growth
	leastHighs   = 4              // captures at which it was higher than at each one before: five captures at least
	highSigmas   = 0.5            // standard errors by which a capture must be higher to count
	leastHigh    = 0.08           // of the whole growth, that a capture must be higher to count
	exactNoise   = 0.01           // of a row that was counted: objects in flight
	exactLeast   = int64(64 << 10)
	mostOfDiff   = 50 // rows of a difference
	mostCompared = 24 // captures that are looked at; the newest count
)

// Growth is one row of a difference.
type Growth struct {
	Name    string  `json:"name"`
	File    string  `json:"file,omitempty"`
	Line    int     `json:"line,omitempty"`
	Before  int64   `json:"before"`
	After   int64   `json:"after"`
	Bytes   int64   `json:"bytes"`             // After less Before
	Share   float64 `json:"share,omitempty"`   // of all rows that have grown
	Error   int64   `json:"error"`             // by which Bytes may be wrong, at the 4-sigma level
	Objects int64   `json:"objects,omitempty"` // by which their number grew, where it is known
	Common  bool    `json:"common,omitempty"`  // see Row: what holds them is in another row
	Sure    bool    `json:"sure"`              // Bytes is larger than Error
}

// Difference is what grew between two captures.
type Difference struct {
	Target   string    `json:"target"`
	Runtime  string    `json:"runtime"`
	Kind     Kind      `json:"kind"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Captures int       `json:"captures"`          // that were looked at
	Before   int64     `json:"before"`            // that lived at From
	After    int64     `json:"after"`             // that lived at To
	Rows     []Growth  `json:"rows"`              // by growth, the largest first
	Culprit  *Growth   `json:"culprit,omitempty"` // what leaks, where the captures suffice to say so
	Why      string    `json:"why,omitempty"`     // why no culprit is named
}

// Diff ranks rows by how much they grew from a to b. It names a culprit only if its growth is larger than the
// error of the measurement, is a good part of all growth, and went on over a, the captures between and b,
// with no fall. The error is an ErrIncomparable.
func Diff(a, b Profile, between ...Profile) (Difference, error) {
	for _, p := range append([]Profile{a}, between...) {
		if err := alike(&p, &b); err != nil {
			return Difference{}, err
		}
	}
	d := Difference{
		Target: b.Target, Runtime: b.Runtime, Kind: b.Kind, From: a.Time, To: b.Time,
		Captures: len(between) + 2, Before: a.Total, After: b.Total,
	}
	before := index(&a)
	least := leastKept(&a)
	var grown int64
	for i := range b.Rows {
		r := &b.Rows[i]
		g := Growth{Name: r.Name, File: r.File, Line: r.Line, After: r.Bytes, Common: r.Common}
		if old, ok := before[r.key()]; ok {
			g.Before, g.Objects = old.Bytes, r.Objects-old.Objects
		} else if g.Before = least; g.Before > g.After {
			continue // it may have been as large: smaller rows were dropped
		} else {
			g.Objects = r.Objects
		}
		g.Bytes = g.After - g.Before
		if g.Bytes <= 0 {
			continue
		}
		g.Error = errorOf(b.Step, g.Before, g.After, sigmas)
		g.Sure = g.Bytes > g.Error
		grown += g.Bytes
		d.Rows = append(d.Rows, g)
	}
	d.sort()
	for i := range d.Rows {
		d.Rows[i].Share = math.Round(float64(d.Rows[i].Bytes)/float64(grown)*1000) / 1000
	}
	d.judge(slices.Concat([]Profile{a}, between, []Profile{b}))
	d.Rows = d.Rows[:min(len(d.Rows), mostOfDiff)]
	return d, nil
}

// ownShare is of the largest growth in number: classes of the service that grew by so many hold what the JDK's classes grew by.
const ownShare = 0.1

// sort puts the rows with the largest growth first. Of classes and types, those of the service itself come before those of the runtime: an
// object is small, and the strings and arrays that it refers to are what fills the heap.
func (d *Difference) sort() {
	most := int64(0)
	for i := range d.Rows {
		most = max(most, d.Rows[i].Objects)
	}
	holds := func(g *Growth) bool {
		return g.Objects > 0 && !g.Common && g.Sure && float64(g.Objects) >= ownShare*float64(most)
	}
	slices.SortFunc(d.Rows, func(x, y Growth) int {
		switch hx, hy := holds(&x), holds(&y); {
		case !d.Kind.Counted() || hx == hy:
		case hx:
			return -1
		default:
			return 1
		}
		return cmp.Or(cmp.Compare(y.Bytes, x.Bytes), cmp.Compare(x.Name, y.Name), cmp.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line))
	})
}

// SinceBegin compares a profile with nothing, where its objects are known to be younger than a moment.
func SinceBegin(b Profile) (Difference, error) {
	if b.Since.IsZero() {
		return Difference{}, fmt.Errorf("%w: there is no earlier one of this start", ErrIncomparable)
	}
	a := b
	a.Time, a.Rows, a.Total, a.Dropped = b.Since, nil, 0, 0
	return Diff(a, b)
}

func alike(a, b *Profile) error {
	switch {
	case a.Target != b.Target || a.Runtime != b.Runtime || a.Rung != b.Rung || a.Kind != b.Kind:
		return fmt.Errorf("%w: %s of %s and %s of %s", ErrIncomparable, a.Rung, a.Target, b.Rung, b.Target)
	case a.Epoch != b.Epoch:
		return fmt.Errorf("%w: %s was restarted or sampled anew between them", ErrIncomparable, b.Target)
	case a.Time.After(b.Time):
		return fmt.Errorf("%w: the first is younger", ErrIncomparable)
	}
	return nil
}

// Comparable returns the profiles that can be compared with b, b itself not among them, in their order.
func Comparable(all []Profile, b *Profile) []Profile {
	var out []Profile
	for i := range all {
		if all[i].ID != b.ID && alike(&all[i], b) == nil {
			out = append(out, all[i])
		}
	}
	return out
}

func index(p *Profile) map[key]Row {
	out := make(map[key]Row, len(p.Rows))
	for i := range p.Rows {
		out[p.Rows[i].key()] = p.Rows[i]
	}
	return out
}

// leastKept returns what a row that a profile does not have may have held at the most.
func leastKept(p *Profile) int64 {
	if p.Dropped == 0 || len(p.Rows) == 0 {
		return 0
	}
	return p.Rows[len(p.Rows)-1].Bytes
}

// errorOf returns by how much a difference may be wrong. Of n samples, one each step bytes, the error is the
// square root of n; what was counted is exact but for what is in flight.
func errorOf(step, before, after int64, sigmas float64) int64 {
	if step > 0 {
		return int64(sigmas * math.Sqrt(float64(step)*float64(before+after+step)))
	}
	return max(exactLeast, int64(exactNoise*float64(max(before, after))))
}

// judge names the culprit, or says why none is named.
func (d *Difference) judge(captures []Profile) {
	captures = captures[max(0, len(captures)-mostCompared):]
	if len(captures) <= leastHighs {
		d.Why = fmt.Sprintf("not known yet: %d captures of this start, and it takes %d to distinguish a leak from a cache that breathes", len(captures), leastHighs+1)
		return
	}
	d.Why = "nothing has grown by more than the error of the measurement"
	for i := range d.Rows {
		g := &d.Rows[i]
		switch {
		case !g.Sure:
		case !d.matters(g):
			d.Why = cmp.Or(d.whyOf(i), "what grew is a small part of what lives")
		default:
			if why := falls(captures, key{g.Name, g.File, g.Line}); why != "" {
				d.Why = g.Name + why
				continue
			}
			culprit := *g
			d.Culprit, d.Why = &culprit, ""
			return
		}
	}
}

// matters reports whether a row is a good part of all growth, and that a good part of what lives. An object of the service is
// small: of classes all growth is weighed, and the number of objects.
func (d *Difference) matters(g *Growth) bool {
	least := max(leastGrowth, int64(leastOfTotal*float64(d.After)))
	if !d.Kind.Counted() || g.Objects == 0 {
		return g.Bytes >= least && g.Share >= leastShare
	}
	var most, grown int64
	for i := range d.Rows {
		most, grown = max(most, d.Rows[i].Objects), grown+d.Rows[i].Bytes
	}
	return grown >= least && float64(g.Objects) >= ownShare*float64(most)
}

// whyOf keeps the reason of a larger row.
func (d *Difference) whyOf(i int) string {
	if i == 0 {
		return ""
	}
	return d.Why
}

// falls says why a row is not seen to rise: it falls beyond the error from one capture to the next, or is higher than ever
// before at too few. It is empty for one that rises. To count as higher takes half of the error only: what lives on keeps
// its samples, so that two captures of it differ by less than two independent ones.
func falls(captures []Profile, k key) string {
	sizes := make([]int64, len(captures))
	for i := range captures {
		j := slices.IndexFunc(captures[i].Rows, func(r Row) bool { return r.key() == k })
		if j >= 0 {
			sizes[i] = captures[i].Rows[j].Bytes
		} else {
			sizes[i] = leastKept(&captures[i])
		}
	}
	step := captures[0].Step
	highest, highs := sizes[0], 0
	need := int64(leastHigh * float64(sizes[len(sizes)-1]-sizes[0]))
	for _, size := range sizes[1:] {
		if size < highest-errorOf(step, highest, size, sigmas/2) {
			return " grew, and was smaller in between: it may come and go"
		}
		if size > highest+max(need, errorOf(step, highest, size, highSigmas)) {
			highs++
			highest = size
		}
	}
	if highs < leastHighs {
		return fmt.Sprintf(" grew, but at %d captures of %d only: it may come and go", highs, len(sizes)-1)
	}
	return ""
}
