package verdict

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// State is what a verdict comes to.
type State string

// The states. What is not known yet is said only of something that grows.
const (
	HeapLeaks   State = "heap_leaks"
	OutsideHeap State = "outside_heap"
	FolderFills State = "folder_fills"
	NotKnown    State = "not_known"
)

// Verdict is one sentence about a target, and the numbers that it rests on.
type Verdict struct {
	State   State              `json:"state"`
	About   string             `json:"about"` // heap, memory, or the folder, such as "cache scenes"
	Text    string             `json:"text"`
	Since   time.Time          `json:"since"`   // the numbers are of this time on
	Numbers map[string]float64 `json:"numbers"` // by name with their unit, such as growth_bytes_per_hour
}

// Heap is the past of one heap, the oldest point first.
type Heap struct {
	Runtime string
	Used    []series.Point
	Live    []series.Point // what collections left, where the runtime says so
}

// Folder is the past of one folder.
type Folder struct {
	Kind, Name string // cache, temp, upload or log, and the name of its policy
	Unit       string // what is counted, such as files
	Count      []series.Point
	Empty      *float64 // of those that there are now; nil: not known
	Shape      *Shape   // nil: not known
}

// Shape is the pattern of names that most of the new files of a folder have.
type Shape struct {
	Pattern  string    // such as tts-*.wav
	Share    float64   // of the files that were added
	Empty    bool      // they have no content
	From, To time.Time // of the scans that are compared
}

// Evidence is what captures say of the present start. See evidence.Difference.
type Evidence struct {
	From, To time.Time
	Captures int
	Full     bool    // each was taken after a full collection: it has no garbage
	Culprit  string  // the place of what leaks; "": none is named
	Bytes    int64   // by which the culprit grew
	Share    float64 // of all growth
	Objects  int64   // by which a class grew in number; 0: it is not counted
	Why      string  // why no culprit is named
}

// Input is what is known of one target. All times are of one clock.
type Input struct {
	Start     time.Time      // of the oldest process; zero: not known
	Resident  []series.Point // of the present processes
	Heaps     []Heap
	Folders   []Folder
	Evidence  *Evidence // nil: nothing was captured
	Anonymous *float64  // part of what is resident now
	Mapped    *float64  // part of what is resident now: files and shared memory
}

// Judge returns the verdicts that hold, at most one for the memory and one for each folder.
func Judge(in *Input) []Verdict {
	var out []Verdict
	if v, ok := judgeMemory(in); ok {
		out = append(out, v)
	}
	for i := range in.Folders {
		if v, ok := judgeFolder(in, &in.Folders[i]); ok {
			out = append(out, v)
		}
	}
	return out
}

// judgeMemory asks the captures, the heaps, and then what lies outside of them. The first that is known counts.
func judgeMemory(in *Input) (Verdict, bool) {
	var unknown *Verdict
	for i := range in.Heaps {
		switch v, ok := judgeHeap(in, &in.Heaps[i]); {
		case ok && v.State != NotKnown:
			return v, true
		case ok && unknown == nil:
			unknown = &v
		}
	}
	if e := in.Evidence; e != nil && e.Culprit != "" {
		return byCaptures(e), true
	}
	outside, ok := judgeOutside(in)
	switch {
	case ok && (outside.State != NotKnown || unknown == nil):
		return outside, true
	case unknown != nil:
		return *unknown, true
	}
	return Verdict{}, false
}

// What a collection has to be. One of the young generation leaves garbage that only a full one takes, and so what it leaves
// rises in health too, until V8 or the JVM collects the whole heap, which is long before it is several times as large. Of such
// runtimes a collection counts only where it took what the ones before it had left: half as much as all the growth.
const (
	leastCollections = 8
	deepDip          = 0.5 // of the growth
	manyTimes        = 2.5 // the first low: no garbage lasts that long
	leastGrown       = 0.05
	missed           = 2 // times what a heap fills between two readings, which come after a collection by chance, sooner or later
)

// wholeHeap are the runtimes of which each collection is a full one.
var wholeHeap = map[string]bool{"go": true}

// judgeHeap judges what collections leave.
func judgeHeap(in *Input, h *Heap) (Verdict, bool) {
	used, lows, full := h.Used, collections(h.Used), wholeHeap[h.Runtime]
	if len(h.Live) > 0 {
		used, lows, full = h.Live, leftovers(h.Live), true
	}
	if t, ok := trendOf(lows, missed*between(h.Used)); ok {
		n := t.points
		if !full {
			n = deep(lows, &t)
		}
		if n >= leastCollections || t.last >= manyTimes*t.first || in.Evidence.confirms(&t) {
			return leak(in, h, &t), true
		}
		return shallow(in, h, &t, n), true
	}
	if len(lows) < leastCollections && grown(used) {
		return fewCollections(in, h, len(lows)), true
	}
	return Verdict{}, false
}

// deep counts the collections within a trend that took enough of what was left before.
func deep(lows []low, t *trend) int {
	n := 0
	for i := 1; i < len(lows); i++ {
		if !lows[i].at.Before(t.from) && lows[i-1].value-lows[i].value >= deepDip*t.growth {
			n++
		}
	}
	return n
}

// confirms reports whether captures, each after a full collection, show a leak while a trend lasts.
func (e *Evidence) confirms(t *trend) bool {
	return e != nil && e.Culprit != "" && e.To.After(t.from)
}

// What the heap may have of the growth of what is resident, so that it is not the heap.
const (
	mostOfHeap  = 0.25
	mostLate    = 0.1 // of the span, by which the heap may have been read later
	fewReadings = 12
)

// judgeOutside judges memory that grows while the heap does not.
func judgeOutside(in *Input) (Verdict, bool) {
	t, ok := trendOf(readings(in.Resident), 0)
	switch {
	case !ok:
		return Verdict{}, false
	case len(in.Heaps) == 0:
		return noHeap(in, &t), true
	}
	late := t.from.Add(time.Duration(mostLate * float64(t.to.Sub(t.from))))
	heap := 0.0
	for i := range in.Heaps {
		used := after(in.Heaps[i].Used, t.from)
		if len(used) < fewReadings || used[0].Time.After(late) {
			return heapUnread(in, &t), true
		}
		heap += max(change(used), 0)
	}
	if heap > mostOfHeap*t.growth {
		return Verdict{}, false // the heap's own growth was judged
	}
	return outside(in, &t, heap), true
}

// judgeFolder judges the number of files. What is cleaned up goes up and down, and so does not fill.
func judgeFolder(in *Input, f *Folder) (Verdict, bool) {
	if t, ok := trendOf(readings(f.Count), 0); ok {
		return fills(in, f, &t), true
	}
	return Verdict{}, false
}
