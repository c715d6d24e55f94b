package replay

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// regretWithin is how soon after its removal a file has to be used again for the removal to count as a mistake.
const regretWithin = 24 * time.Hour

// victim is a file that was removed, or that a dry run has named.
type victim struct {
	hash  uint64
	at    time.Time
	size  int64
	why   string
	gone  bool      // the replay has removed it, and it was not made again
	again time.Time // when it was used again, within regretWithin; zero where it was not
}

// usedAgain notes that a file was opened or made again.
func (v *victim) usedAgain(at time.Time) {
	if v != nil && v.again.IsZero() && at.After(v.at) && at.Sub(v.at) <= regretWithin {
		v.again = at
	}
}

// take removes a file, or in a dry run names it: once, and not in a target that enforces, where a dry run is a look before
// the run.
func (f *folder) take(now time.Time, x *found, dry bool) {
	if dry && f.acts() {
		return
	}
	known := f.removed[x.hash]
	if dry && known != nil && !x.file.written.After(known.at) {
		return
	}
	v := &victim{hash: x.hash, at: now, size: x.file.size, why: x.why, gone: !dry}
	f.victims = append(f.victims, v)
	f.removed[x.hash] = v
	if !dry {
		delete(f.files, x.hash)
		f.lapsed = true
	}
}

// Folder is what a policy would have removed.
type Folder struct {
	Target  string           `json:"target"`
	Kind    string           `json:"kind"`
	Policy  string           `json:"policy"`
	Sample  float64          `json:"sample"` // share of the files that was followed; the counts are for all
	Files   int64            `json:"files"`
	Bytes   int64            `json:"bytes"`
	Why     map[string]int64 `json:"why,omitempty"`
	Again   int64            `json:"used_again"` // of Files: opened or made again within a day
	Regret  float64          `json:"regret_ratio"`
	Recent  int64            `json:"recent,omitempty"` // of Files: removed so late that their day is not over
	Victims []Victim         `json:"victims,omitempty"`
}

// Victim is a file of the sample that would have been removed.
type Victim struct {
	Hash  string    `json:"hash"` // of its path below the folder
	Time  time.Time `json:"time"`
	Bytes int64     `json:"bytes"`
	Why   string    `json:"why"`
	Again time.Time `json:"used_again,omitzero"`
}

// removed returns what the policies have taken in a span. Of a folder of which nothing is kept there is nothing to say.
func (w *world) removed(from, to time.Time) []Folder {
	var out []Folder
	for _, t := range w.targets {
		for _, f := range t.folders {
			if f.known {
				out = append(out, f.report(from, to))
			}
		}
	}
	slices.SortFunc(out, func(a, b Folder) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Policy, b.Policy))
	})
	return out
}

func (f *folder) report(from, to time.Time) Folder {
	out := Folder{Target: f.target, Kind: f.kind, Policy: f.name, Sample: f.share, Why: make(map[string]int64)}
	all := func(n int64) int64 { return int64(float64(n) / f.share) }
	for _, v := range f.victims {
		if v.at.Before(from) {
			continue
		}
		out.Files++
		out.Bytes += v.size
		out.Why[v.why]++
		if !v.again.IsZero() {
			out.Again++
		}
		if to.Sub(v.at) < regretWithin {
			out.Recent++
		}
		out.Victims = append(out.Victims, Victim{Hash: fmt.Sprintf("%016x", v.hash), Time: v.at, Bytes: v.size, Why: v.why, Again: v.again})
	}
	if out.Files > 0 {
		out.Regret = float64(out.Again) / float64(out.Files)
	}
	for why, n := range out.Why {
		out.Why[why] = all(n)
	}
	out.Files, out.Bytes, out.Again, out.Recent = all(out.Files), all(out.Bytes), all(out.Again), all(out.Recent)
	return out
}
