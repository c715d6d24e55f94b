package evidence

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// The errors of captures, to be tested with errors.Is.
var (
	// ErrUnknown says that a capture was begun and its end was not seen: the target may have paused for it.
	ErrUnknown = errors.New("end of the capture was not seen")
	// ErrUnavailable says that the target cannot be captured in this way: nothing was asked of it.
	ErrUnavailable = errors.New("no evidence can be captured")
	// ErrInvalid says that what the target answered is not a profile.
	ErrInvalid = errors.New("not a profile")
)

// Kind is what the rows of a profile are.
type Kind string

// The kinds of rows.
const (
	KindFunction Kind = "function" // that has allocated what lives
	KindClass    Kind = "class"    // of what lives
	KindType     Kind = "type"     // of what lives
	KindMapping  Kind = "mapping"  // of memory outside of a heap
	KindFiles    Kind = "files"    // by the pattern of their names
)

// Counted reports whether rows are of objects, which refer to what fills a heap and are small themselves.
func (k Kind) Counted() bool { return k == KindClass || k == KindType }

// mostRows bounds a profile: the largest rows are kept.
const mostRows = 200

// Row is what one function, class, type, mapping or pattern holds.
type Row struct {
	Name    string `json:"name"`
	File    string `json:"file,omitempty"` // of a function: the last parts of its path
	Line    int    `json:"line,omitempty"`
	Bytes   int64  `json:"bytes"`             // that live
	Objects int64  `json:"objects,omitempty"` // that live; absent where the runtime does not count them
	Common  bool   `json:"common,omitempty"`  // a class or type of the runtime itself, as of strings: what holds them is in another row
}

// key distinguishes rows.
type key struct {
	name, file string
	line       int
}

func (r *Row) key() key { return key{r.Name, r.File, r.Line} }

// Profile is one capture.
type Profile struct {
	ID      string        `json:"id,omitempty"` // sorts by time; set by a Store
	Target  string        `json:"target"`
	Runtime string        `json:"runtime"`
	Rung    string        `json:"rung"` // how it was captured: only profiles of one rung can be compared
	Kind    Kind          `json:"kind"`
	Time    time.Time     `json:"time"`
	Reason  string        `json:"reason,omitempty"` // why it was captured, such as baseline
	Epoch   string        `json:"epoch"`            // the start of the process: profiles of different ones cannot be compared
	Since   time.Time     `json:"since,omitzero"`   // objects that are older are not in it; zero: all are
	Step    int64         `json:"step,omitempty"`   // mean bytes between two samples; 0: everything was counted
	Total   int64         `json:"total"`            // of all rows, the dropped ones included
	Rows    []Row         `json:"rows"`             // by live bytes, the largest first
	Dropped int           `json:"dropped,omitempty"`
	Pause   time.Duration `json:"pause"`                // that the target may have had, at the most
	Took    int64         `json:"took_bytes,omitempty"` // by which its memory was larger after the capture; absent: not read
	Used    int64         `json:"used,omitempty"`       // of the heap, before the capture; absent: not read
}

// Process is what a Capturer knows of the target. Its functions answer from memory.
type Process struct {
	Target  string
	Members []proc.Member // its processes at present
	Heap    heap.Profiler // nil: no heap is read, or its provider has no profile
	ProcFS  string        // where procfs is mounted
	Redact  *Redactor     // nil: the patterns that always hold
}

// Capturer takes one profile of a target. Capture is called by one goroutine at a time for a target and
// returns soon after ctx is done. The error is an ErrUnknown when the target was asked and its answer was not
// seen, and an ErrUnavailable when nothing was asked; see ErrInvalid for an answer that cannot be used. What
// it returns is bounded, and each name is cleaned and redacted.
type Capturer interface {
	Capture(ctx context.Context, p Process) (Profile, error)
}

// rows adds up what is added by name, so that a profile has one row for each.
type rows struct {
	redact  *Redactor
	at      map[key]int
	all     []Row
	total   int64
	step    int64 // as a profile says it
	dropped int   // by the target already
}

// mostNames bounds the different names of an answer that are added up. What comes beyond is counted in the total.
const mostNames = 20_000

func newRows(redact *Redactor) *rows { return &rows{redact: redact, at: make(map[key]int)} }

// add counts bytes and objects for a name. Numbers that are not possible are left out.
func (r *rows) add(name, file string, line int, bytes int64, objects int64) {
	r.addTo(Row{Name: name, File: file, Line: line}, bytes, objects)
}

func (r *rows) addTo(row Row, bytes, objects int64) {
	if bytes <= 0 || bytes > maxBytes || objects < 0 || objects > maxBytes || r.total > maxBytes-bytes {
		return
	}
	r.total += bytes
	row.Name, row.File, row.Line = r.redact.name(row.Name), r.redact.file(row.File), min(max(row.Line, 0), 1<<30)
	i, known := r.at[row.key()]
	if !known {
		if len(r.all) >= mostNames {
			return
		}
		i = len(r.all)
		r.at[row.key()] = i
		r.all = append(r.all, row)
	}
	r.all[i].Bytes += bytes
	r.all[i].Objects += objects
}

// rest counts the rows that a script has dropped, by the total that it gives.
func (r *rows) rest(total float64, dropped int) {
	if rest := total - float64(r.total); rest > 0 && rest < float64(maxBytes) && dropped > 0 {
		r.total += int64(rest)
		r.dropped += min(dropped, mostNames)
	}
}

// into gives a profile its rows.
func (r *rows) into(p *Profile) {
	slices.SortFunc(r.all, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	n := min(len(r.all), mostRows)
	p.Total, p.Rows, p.Dropped = r.total, slices.Clone(r.all[:n]), len(r.all)-n+r.dropped
}

// maxBytes bounds what is believed of any size.
const maxBytes = int64(1) << 50
