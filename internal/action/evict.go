package action

import (
	"cmp"
	"maps"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// maxBoundary is how many files are held in memory at once: those of the one bucket of ages in
// which an eviction ends.
const maxBoundary = 4096

// oldestFirst removes files in the order of a key, oldest first, until enough is gone. It is
// exact and its memory is bounded: the first pass counts files by age, the second removes what is
// older than the bucket in which the eviction ends and collects that bucket, refined until it has
// at most 4096 files or holds a single instant.
type oldestFirst struct {
	*dirRun
	key  func(*dirscan.Entry) int64 // nanoseconds since 1970
	size func(*dirscan.Entry) int64
	// skip leaves entries out that another rule has dealt with.
	skip func(*dirscan.Entry) bool
}

// amount is a number of files and of bytes.
type amount struct{ files, bytes int64 }

// enough reports whether a covers need: both parts.
func (a amount) enough(need amount) bool { return a.files >= need.files && a.bytes >= need.bytes }

// total counts the files by age and returns their sum.
func (o *oldestFirst) total(ages *dirscan.Histogram) (amount, error) {
	var sum amount
	res, err := o.scan(nil, nil, func(e *dirscan.Entry) error {
		if o.skip != nil && o.skip(e) {
			return nil
		}
		sum.files++
		sum.bytes += o.size(e)
		ages.Add(o.now.UnixNano()-o.key(e), o.size(e), e.AllocatedBytes)
		return nil
	})
	o.mergeScan(&res)
	return sum, err
}

// span is a range of keys, from inclusive, to exclusive, in nanoseconds since 1970.
type span struct{ from, to int64 }

// boundary finds the range of keys in which the removal of need ends: everything older goes.
// before is what is older than it.
func (o *oldestFirst) boundary(ages *dirscan.Histogram, need amount) (at span, before amount) {
	now := o.now.UnixNano()
	for b := dirscan.Buckets() - 1; b >= 0; b-- {
		with := amount{before.files + int64(ages.Files[b]), before.bytes + ages.Size[b]}
		if with.enough(need) {
			at = span{from: now - dirscan.BucketStart(b+1) + 1, to: now - dirscan.BucketStart(b) + 1}
			if b == 0 {
				at.to = 1<<63 - 1 // ages of 0 and the future
			}
			if b+1 == dirscan.Buckets() {
				at.from = -1 << 63
			}
			return at, before
		}
		before = with
	}
	return span{from: 1<<63 - 1, to: 1<<63 - 1}, before // everything goes
}

// refine narrows the range until it holds few files or one instant.
func (o *oldestFirst) refine(at span, before, need amount) (span, amount, error) {
	const parts = 4096
	for {
		width := (at.to-at.from)/parts + 1
		if at.to-at.from <= 1 || at.from == -1<<63 || at.to == 1<<63-1 {
			return at, before, nil
		}
		var files, bytes [parts]int64
		var inside int64
		_, err := o.scan(nil, nil, func(e *dirscan.Entry) error {
			k := o.key(e)
			if k < at.from || k >= at.to || o.skip != nil && o.skip(e) {
				return nil
			}
			inside++
			i := (k - at.from) / width
			files[i]++
			bytes[i] += o.size(e)
			return nil
		})
		if err != nil || inside <= maxBoundary {
			return at, before, err
		}
		for i := range parts {
			with := amount{before.files + files[i], before.bytes + bytes[i]}
			if with.enough(need) {
				at = span{at.from + int64(i)*width, min(at.to, at.from+int64(i+1)*width)}
				break
			}
			before = with
			if i == parts-1 { // fewer than before: files went away meanwhile
				return span{at.to, at.to}, before, nil
			}
		}
	}
}

// run removes need, oldest first, and returns what really went and what was tried in vain.
func (o *oldestFirst) run(ages *dirscan.Histogram, need amount, why string) (gone, kept amount, err error) {
	at, before := o.boundary(ages, need)
	if n := o.bucketFiles(ages, at); n > maxBoundary {
		if at, before, err = o.refine(at, before, need); err != nil {
			return gone, kept, err
		}
	}
	var edge []candidate
	instant := at.to-at.from == 1
	tally := func(e *dirscan.Entry) {
		a := &gone
		if o.remove(e, why) != safefs.Removed {
			a = &kept
		}
		a.files++
		a.bytes += o.size(e)
	}
	_, err = o.scan(nil, nil, func(e *dirscan.Entry) error {
		if o.skip != nil && o.skip(e) {
			return nil
		}
		switch k := o.key(e); {
		case k < at.from:
			tally(e)
		case k < at.to && instant: // all of one instant: any of them is the least recently used
			if so := (amount{gone.files + kept.files, gone.bytes + kept.bytes}); !so.enough(need) {
				tally(e)
			}
		case k < at.to:
			edge = o.collect(edge, e, k)
		}
		return nil
	})
	if err != nil {
		return gone, kept, err
	}
	slices.SortFunc(edge, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.found.Path, b.found.Path))
	})
	done := amount{gone.files + kept.files, gone.bytes + kept.bytes}
	for i := range edge {
		if done.enough(need) {
			break
		}
		if err := o.ctx.Err(); err != nil {
			return gone, kept, err
		}
		c := &edge[i]
		freed, skipped := o.remover.RemoveFound(c.found)
		if skipped == safefs.Removed && o.opts.OnFile != nil {
			o.opts.OnFile(o.res, []byte(c.found.Path), why)
		}
		o.count(c.found.Identity.SizeBytes, freed, skipped)
		a := &gone
		if skipped != safefs.Removed {
			a = &kept
		}
		a.files++
		a.bytes += c.counted
		done.files++
		done.bytes += c.counted
	}
	return gone, kept, nil
}

func (o *oldestFirst) bucketFiles(ages *dirscan.Histogram, at span) int64 {
	age := o.now.UnixNano() - at.from
	if at.from == -1<<63 || at.from == 1<<63-1 {
		return 0
	}
	return int64(ages.Files[dirscan.Bucket(age)])
}

// evict removes need, with one more round for what was in use, had changed or was touched
// meanwhile. It returns what is still missing.
func (o *oldestFirst) evict(ages *dirscan.Histogram, need amount, why string) (missing amount, err error) {
	var gone, kept amount
	skipped := maps.Clone(o.res.Skipped)
	for round := range 2 {
		if round > 0 {
			o.res.Skipped = maps.Clone(skipped) // what is kept again is counted once
			*ages = dirscan.Histogram{}
			if _, err := o.total(ages); err != nil {
				return need, err
			}
		}
		// What was kept in the first round stands in the way again: go that much further.
		g, k, err := o.run(ages, amount{need.files - gone.files + kept.files, need.bytes - gone.bytes + kept.bytes}, why)
		gone.files += g.files
		gone.bytes += g.bytes
		missing = amount{max(need.files-gone.files, 0), max(need.bytes-gone.bytes, 0)}
		if err != nil || missing == (amount{}) || o.req.DryRun {
			return missing, err
		}
		kept = k
	}
	return missing, nil
}

// candidate is a file of the range in which an eviction ends.
type candidate struct {
	key     int64
	counted int64 // its size as the limits count it
	found   safefs.Found
}

// collect keeps an entry of the boundary. Files that appear there while the pass goes on are
// bounded too: what does not fit is left for the next round.
func (o *oldestFirst) collect(list []candidate, e *dirscan.Entry, key int64) []candidate {
	if len(list) >= 2*maxBoundary {
		return list
	}
	return append(list, candidate{key: key, counted: o.size(e), found: o.remover.Find(e)})
}
