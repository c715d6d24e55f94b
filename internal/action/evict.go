package action

import (
	"cmp"
	"math"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

const (
	// maxEdge is how many files are held in memory at once: those of the one bucket of ages in
	// which an eviction ends.
	maxEdge = 4096
	// maxRounds bounds the passes of a run that finds file after file in use.
	maxRounds = 4
)

// oldestFirst removes files in the order of a key, oldest first, until what is left is down to
// its target. It is exact and its memory is bounded: the first pass counts files by age, the
// second removes what is older than the bucket in which the eviction ends and collects that
// bucket, refined until it has at most maxEdge files, so that the end is in exact order. What
// cannot be removed is passed over, and the next oldest goes instead: in the bucket itself, and
// beyond it in a further round. A dry run takes the same way, so it names what a run removes.
type oldestFirst struct {
	*dirRun
	key  func(*dirscan.Entry) int64 // nanoseconds since 1970
	size func(*dirscan.Entry) int64
	skip func(*dirscan.Entry) bool // entries that another rule has dealt with

	target amount             // how much may stay
	fixed  amount             // what skip leaves out and is still there
	sum    amount             // of the last counting pass
	young  *young             // of the last counting pass; made for the first that is too young
	ages   *dirscan.Histogram // of the last counting pass; made for the first file, since it is large
	start  position           // everything before it has been dealt with in an earlier round
	named  amount             // what earlier rounds of a dry run would have removed
	gone   amount             // what all rounds have removed, or would have
	path   []byte
}

// amount is a number of files and of bytes.
type amount struct{ files, bytes int64 }

// unlimited is the part of a target that is not limited.
const unlimited = math.MaxInt64

func (a *amount) add(size int64) { a.addNames(1, size) }

// addNames adds a file with so many names.
func (a *amount) addNames(n, size int64) { a.files += n; a.bytes += size }

// enough reports whether a covers need: both parts.
func (a amount) enough(need amount) bool { return a.files >= need.files && a.bytes >= need.bytes }

// over returns by how much sum exceeds a, part by part.
func (a amount) over(sum amount) (need amount) {
	if a.files < sum.files {
		need.files = sum.files - a.files
	}
	if a.bytes < sum.bytes {
		need.bytes = sum.bytes - a.bytes
	}
	return need
}

// position is where a file stands in the order: by its key and, among files of one instant, by a
// hash of its path, which is the same in every run.
type position struct {
	key int64
	tie uint64
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.key, q.key), cmp.Compare(p.tie, q.tie))
}

// next returns the position right behind p.
func (p position) next() position {
	if p.tie == math.MaxUint64 {
		return position{key: p.key + 1}
	}
	return position{p.key, p.tie + 1}
}

// first stands before every file and last behind.
var (
	first = position{key: math.MinInt64}
	last  = position{key: math.MaxInt64}
)

// reach is a part of the order: from inclusive, to exclusive.
type reach struct{ from, to position }

// parts is into how many a reach is divided at once.
const parts = 4096

// instant reports whether all files of a reach have the same key.
func (r reach) instant() bool {
	return r.from.key == r.to.key || r.to.tie == 0 && r.to.key-1 == r.from.key
}

// width returns the width of a part, in nanoseconds or, for one instant, in hashes.
func (r reach) width() uint64 {
	if r.instant() {
		return (r.to.tie-1-r.from.tie)/parts + 1
	}
	return uint64(r.to.key-r.from.key-1)/parts + 1
}

// part returns the part that a position of the reach lies in.
func (r reach) part(p position, width uint64) int {
	if r.instant() {
		return int((p.tie - r.from.tie) / width)
	}
	return int(uint64(p.key-r.from.key) / width)
}

// cut returns part i.
func (r reach) cut(i int, width uint64) reach {
	at := uint64(i) * width
	if r.instant() {
		out := reach{position{r.from.key, r.from.tie + at}, r.to}
		if i < parts-1 && at+width-1 < r.to.tie-1-r.from.tie {
			out.to = position{r.from.key, r.from.tie + at + width}
		}
		return out
	}
	from := r.from.key + int64(at)
	return reach{position{key: from}, position{key: min(r.to.key, from+int64(width))}}
}

// tie hashes the path of an entry (FNV-1a).
func (o *oldestFirst) tie(e *dirscan.Entry) uint64 {
	o.path = e.AppendPath(o.path[:0])
	h := uint64(14695981039346656037)
	for _, c := range o.path {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// before reports whether an entry stands before a position.
func (o *oldestFirst) before(e *dirscan.Entry, p position) bool {
	k := o.key(e)
	return k < p.key || k == p.key && p.tie > 0 && o.tie(e) < p.tie
}

// weigh counts an entry that stands for n names: all towards what is there, and those that may go by age.
func (o *oldestFirst) weigh(e *dirscan.Entry, n int64) {
	size := o.size(e)
	o.sum.addNames(n, size)
	if o.ages == nil {
		o.ages = new(dirscan.Histogram)
	}
	switch o.allowed(e) {
	case safefs.Removed:
		if !o.before(e, o.start) {
			age := o.now.UnixNano() - o.key(e)
			o.ages.Add(age, size, e.AllocatedBytes)
			for range n - 1 {
				o.ages.Add(age, 0, 0)
			}
		}
	case safefs.TooYoung:
		o.waits(e, n, size)
	}
}

// waits counts an entry that is only too young.
func (o *oldestFirst) waits(e *dirscan.Entry, n, size int64) {
	if o.young == nil {
		o.young = new(young)
	}
	o.young.add(o.dirRun, e, n, size)
}

// need returns what has to go when sum is what is there.
func (o *oldestFirst) need(sum amount) amount {
	return o.target.over(amount{sum.files + o.fixed.files - o.named.files, sum.bytes + o.fixed.bytes - o.named.bytes})
}

// evict removes, oldest first, what is there beyond the target, after weigh was called for each
// entry. It returns what is still missing in the end.
func (o *oldestFirst) evict(why string) (missing amount, err error) {
	missing = o.need(o.sum)
	if o.ages == nil { // nothing was weighed
		return missing, nil
	}
	for round := 0; round < maxRounds && missing != (amount{}) && o.start != last; round++ {
		if round > 0 {
			if err := o.recount(); err != nil {
				return missing, err
			}
		}
		if missing, err = o.round(o.need(o.sum), why); err != nil {
			return missing, err
		}
	}
	return missing, nil
}

// recount is a pass that only counts.
func (o *oldestFirst) recount() error {
	o.sum, *o.ages, o.young = amount{}, dirscan.Histogram{}, nil
	_, err := o.scan(func(e *dirscan.Entry) error {
		if n := o.standsFor(e); n > 0 && !o.skip(e) {
			o.weigh(e, n)
		}
		return nil
	})
	return err
}

// boundary finds the reach in which the removal of need ends: everything before it goes. older is
// what may go before it, inside how many files it has. In a further round it goes on as far as
// memory allows, because what comes first has turned out to stay.
func (o *oldestFirst) boundary(need amount, further bool) (at reach, older amount, inside int64) {
	now := o.now.UnixNano()
	for b := dirscan.Buckets() - 1; b >= 0; b-- {
		with := amount{older.files + int64(o.ages.Files[b]), older.bytes + o.ages.Size[b]}
		if !with.enough(need) {
			older = with
			continue
		}
		at = reach{first, last}
		if b+1 < dirscan.Buckets() {
			at.from.key = now - dirscan.BucketStart(b+1) + 1
		}
		inside = int64(o.ages.Files[b])
		for ; further && b > 0 && inside+int64(o.ages.Files[b-1]) <= maxEdge; b-- {
			inside += int64(o.ages.Files[b-1])
		}
		if b > 0 { // the first bucket has the ages of 0 and below
			at.to.key = now - dirscan.BucketStart(b) + 1
		}
		return at, older, inside
	}
	return reach{last, last}, older, 0 // everything goes
}

// forecast returns about how many files an eviction of need would remove.
func (o *oldestFirst) forecast(need amount) int64 {
	if o.ages == nil { // nothing may go by its age
		return 0
	}
	at, older, inside := o.boundary(need, false)
	if at.from == last || inside == 0 {
		return older.files
	}
	b := dirscan.Bucket(o.now.UnixNano() - at.from.key)
	share := float64(need.files-older.files) / float64(inside)
	if size := o.ages.Size[b]; size > 0 {
		share = max(share, float64(need.bytes-older.bytes)/float64(size))
	}
	return older.files + int64(math.Ceil(share*float64(inside)))
}

// refine narrows a reach until it holds few files.
func (o *oldestFirst) refine(at reach, older, need amount) (reach, error) {
	for {
		width := at.width()
		var sums [parts]amount
		inside := 0
		_, err := o.scan(func(e *dirscan.Entry) error {
			n := o.standsFor(e)
			if n == 0 || o.skip(e) || o.before(e, o.start) || o.before(e, at.from) || !o.before(e, at.to) || o.allowed(e) != safefs.Removed {
				return nil
			}
			p := position{key: o.key(e)}
			if at.instant() {
				p.tie = o.tie(e)
			}
			inside++
			sums[at.part(p, width)].addNames(n, o.size(e))
			return nil
		})
		if err != nil || inside <= maxEdge || width == 1 && at.instant() {
			return at, err
		}
		i := 0
		for ; i < parts; i++ {
			with := amount{older.files + sums[i].files, older.bytes + sums[i].bytes}
			if with.enough(need) {
				break
			}
			older = with
		}
		if i == parts { // fewer than were counted before: they went away meanwhile
			return reach{at.to, at.to}, nil
		}
		at = at.cut(i, width)
	}
}

// round makes one pass that removes, and returns what is missing after it.
func (o *oldestFirst) round(need amount, why string) (missing amount, err error) {
	at, older, inside := o.boundary(need, o.start != first)
	if inside > maxEdge && at.to != last && at.from != first {
		if at, err = o.refine(at, older, need); err != nil {
			return need, err
		}
	}
	edge := edge{list: make([]candidate, 0, min(inside, maxEdge)+1), to: at.to}
	var seen, gone amount
	_, err = o.scan(func(e *dirscan.Entry) error {
		n := o.standsFor(e)
		if n == 0 || o.skip(e) {
			return nil
		}
		seen.addNames(n, o.size(e))
		switch {
		case o.before(e, o.start):
		case o.before(e, at.from):
			if o.remove(e, why) == safefs.Removed {
				gone.addNames(n, o.size(e))
			}
		case o.before(e, edge.to):
			edge.add(candidate{position{o.key(e), o.tie(e)}, n, o.size(e), o.remover.Find(e), o.links.of(e)})
		}
		return nil
	})
	// Others have added and removed files since they were counted: what was seen now decides.
	need = o.need(seen)
	if err == nil {
		err = o.removeEdge(&edge, need, &gone, why)
	}
	o.start = edge.to
	o.gone.files, o.gone.bytes = o.gone.files+gone.files, o.gone.bytes+gone.bytes
	if o.req.DryRun {
		o.named.files += gone.files
		o.named.bytes += gone.bytes
	}
	return gone.over(need), err
}

// removeEdge removes from the edge, in exact order, until gone covers need.
func (o *oldestFirst) removeEdge(edge *edge, need amount, gone *amount, why string) error {
	edge.sort()
	for i := range edge.list {
		if gone.enough(need) {
			return nil
		}
		if err := o.ctx.Err(); err != nil {
			return err
		}
		c := &edge.list[i]
		var did safefs.Reason
		if c.linked != nil {
			did = o.removeLinked(c.linked, why)
		} else {
			did = o.removeFound(c.found, why)
		}
		if did == safefs.Removed {
			gone.addNames(c.names, c.size)
		}
	}
	return nil
}

// candidate is a file of the reach in which an eviction ends.
type candidate struct {
	position
	names  int64
	size   int64 // as the limits count it
	found  safefs.Found
	linked *linked // the file, where it has several names
}

// edge holds the candidates, the oldest maxEdge at most.
type edge struct {
	list []candidate
	to   position // what stands here or behind is not collected
}

func (g *edge) sort() {
	slices.SortFunc(g.list, func(a, b candidate) int {
		return cmp.Or(a.compare(b.position), cmp.Compare(a.found.Path, b.found.Path))
	})
}

// add collects a candidate. Where more appear than the refinement has seen, the younger half is
// left for a further round.
func (g *edge) add(c candidate) {
	g.list = append(g.list, c)
	if len(g.list) <= maxEdge {
		return
	}
	g.list = slices.DeleteFunc(g.list, func(c candidate) bool { return c.linked == nil && c.found.Why() != safefs.Removed })
	if len(g.list) <= maxEdge/2 {
		return
	}
	g.sort()
	g.list = g.list[:maxEdge/2]
	g.to = g.list[len(g.list)-1].next()
}
