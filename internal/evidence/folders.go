package evidence

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// RungNames is how the names in a folder are captured: with each scan.
const RungNames = "names"

const (
	folderSpan    = 24 * time.Hour // over which the growth of a folder is reckoned, at the most
	folderForgets = 2 * folderSpan // of a folder that is scanned no longer
	mostAdded     = 0.5            // of the new files, that a shape must have to be named
	leastLooked   = 25             // of the new files, where a part of them is looked at: then a share is wrong by a tenth
	filesUnit     = int64(4 << 10) // bytes that weigh as much as a file, as they do in a scan
)

// Folder is what fills the folder of a policy: the shapes of its names.
type Folder struct {
	Kind   string     `json:"kind"` // of the policy
	Name   string     `json:"name"`
	Every  int64      `json:"every,omitempty"` // files that one which was looked at stands for; 0: all were looked at
	Newest Profile    `json:"newest"`
	Grew   Difference `json:"grew"` // since the first scan, or in a day
	Added  *Added     `json:"added,omitempty"`
}

// Added is the shape that most of the files have by which a folder grew.
type Added struct {
	Pattern string    `json:"pattern"` // such as tts-*.wav
	Share   float64   `json:"share"`   // of all files by which a shape grew
	Empty   bool      `json:"empty,omitempty"`
	From    time.Time `json:"from"` // of the two scans that are compared
	To      time.Time `json:"to"`
}

// Folders keeps what scans have seen, in memory: of each folder the newest scan, the first, and one half a day old. It is safe
// for concurrent use; the zero value is ready.
type Folders struct {
	mu sync.Mutex
	of map[folderKey]*folderLog
}

type folderKey struct{ target, kind, name string }

type folderLog struct {
	every int64
	growing
}

// growing is what a day has seen of one thing: the newest, the first, and one half a day old.
type growing struct{ first, middle, newest Profile }

// add takes the newest. Where it is older than the last, or of another start, growth begins anew.
func (g *growing) add(p *Profile) {
	if p.Time.Before(g.newest.Time) || p.Epoch != g.newest.Epoch || g.newest.Time.IsZero() {
		g.first, g.middle = *p, *p
	}
	g.newest = *p
	if p.Time.Sub(g.middle.Time) >= folderSpan/2 {
		g.first, g.middle = g.middle, *p
	}
}

// Observer returns what is to be called after each scan of the folder of a policy.
func (f *Folders) Observer(target, kind, name string, redact *Redactor) func(at time.Time, every int64, shapes []dirscan.Shape) {
	return func(at time.Time, every int64, shapes []dirscan.Shape) {
		p := profileOf(at, every, shapes, redact)
		p.Target = target
		f.add(folderKey{target, kind, name}, every, p)
	}
}

func profileOf(at time.Time, every int64, shapes []dirscan.Shape, redact *Redactor) Profile {
	p := Profile{Rung: RungNames, Kind: KindFiles, Time: at}
	seen := make(map[string]int, len(shapes))
	var files int64
	for _, s := range shapes {
		name := redact.name(s.Name)
		i, known := seen[name]
		if !known {
			i = len(p.Rows)
			seen[name] = i
			p.Rows = append(p.Rows, Row{Name: name})
		}
		p.Rows[i].Bytes += s.Bytes
		p.Rows[i].Objects += s.Files
		p.Total, files = p.Total+s.Bytes, files+s.Files
		if s.AtLeast {
			p.Dropped++ // it has the place of another
		}
	}
	slices.SortFunc(p.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Objects, a.Objects), cmp.Compare(a.Name, b.Name))
	})
	if every > 1 && files > 0 {
		p.Step = every * max(p.Total/files, 1)
	}
	return p
}

func (f *Folders) add(k folderKey, every int64, p Profile) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = make(map[folderKey]*folderLog)
	}
	if l := f.of[k]; l == nil || l.every != every {
		f.of[k] = &folderLog{every: every} // of a folder of which a part is looked at from now on, growth begins anew
	}
	f.of[k].add(&p)
	for key, old := range f.of {
		if p.Time.Sub(old.newest.Time) > folderForgets {
			delete(f.of, key)
		}
	}
}

// Of returns what fills the folders of a target, by kind and name.
func (f *Folders) Of(target string) []Folder {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Folder
	for k, l := range f.of {
		if k.target == target {
			every := l.every
			if every == 1 {
				every = 0
			}
			out = append(out, Folder{Kind: k.kind, Name: k.name, Every: every, Newest: l.newest, Grew: grew(&l.first, &l.newest), Added: added(&l.first, &l.newest, l.every)})
		}
	}
	slices.SortFunc(out, func(a, b Folder) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return out
}

// added names the shape that most of the new files have; nil where none has so many, or where that is not known. What was
// removed meanwhile is not counted.
func added(a, b *Profile, every int64) *Added {
	before := index(a)
	var all int64
	var most Row // by which it grew
	for i := range b.Rows {
		r := &b.Rows[i]
		old, known := before[r.key()]
		n := r.Objects - old.Objects
		if n <= 0 || !known && a.Dropped > 0 { // as many files of it may have been there, and were forgotten
			continue
		}
		all += n
		if n > most.Objects {
			most = Row{Name: r.Name, Objects: n, Bytes: r.Bytes - old.Bytes}
		}
	}
	share := float64(most.Objects) / float64(all)
	if all == 0 || share < mostAdded || every > 1 && all < leastLooked*every {
		return nil
	}
	return &Added{Pattern: most.Name, Share: share, Empty: most.Bytes == 0, From: a.Time, To: b.Time}
}

// grew is Diff for what is counted as a whole, as files, of which empty ones count too. It names no culprit: a folder that
// fills may do so by design.
func grew(a, b *Profile) Difference {
	d := Difference{Target: b.Target, Kind: b.Kind, From: a.Time, To: b.Time, Captures: 2, Before: a.Total, After: b.Total}
	before := index(a)
	var grown int64
	for i := range b.Rows {
		r := &b.Rows[i]
		old := before[r.key()]
		g := Growth{Name: r.Name, File: r.File, Before: old.Bytes, After: r.Bytes, Bytes: r.Bytes - old.Bytes, Objects: r.Objects - old.Objects}
		if g.Bytes <= 0 && g.Objects <= 0 {
			continue
		}
		if b.Step > 0 {
			g.Error = errorOf(b.Step, 0, max(g.Bytes, 0), sigmas) // the same files are looked at each time
		}
		g.Sure = g.Error == 0 || g.Bytes > g.Error
		grown += max(g.Bytes, 0)
		d.Rows = append(d.Rows, g)
	}
	slices.SortFunc(d.Rows, func(x, y Growth) int {
		return cmp.Or(cmp.Compare(y.Weight(), x.Weight()), cmp.Compare(x.Name, y.Name), cmp.Compare(x.File, y.File))
	})
	d.Rows = d.Rows[:min(len(d.Rows), mostOfDiff)]
	for i := range d.Rows {
		if grown > 0 {
			d.Rows[i].Share = float64(max(d.Rows[i].Bytes, 0)*1000/grown) / 1000
		}
	}
	return d
}
