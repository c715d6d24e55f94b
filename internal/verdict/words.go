package verdict

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	hour      = 3600.0
	nearStart = 0.1 // of the span: a trend that began so soon after the start began with it
	longAgo   = 20 * time.Hour
)

// size writes bytes as people read them.
func size(bytes float64) string { return units.Bytes(math.Round(bytes)).String() }

// rate writes a growth in bytes: for an hour, or for a minute where an hour's is out of all proportion to what there is.
func rate(t *trend) string {
	if t.perSecond*hour > 2*t.last {
		return size(t.perSecond*60) + "/min"
	}
	return size(t.perSecond*hour) + "/h"
}

// sinceText says since when something has grown: "since the start at 18:02".
func sinceText(in *Input, t *trend) string {
	at := t.from
	what := "since "
	if early := t.from.Sub(in.Start); !in.Start.IsZero() && early >= 0 && float64(early) <= nearStart*float64(t.to.Sub(in.Start)) {
		at, what = in.Start, "since the start at "
	}
	return what + clock(at, t.to)
}

func clock(at, now time.Time) string {
	if now.Sub(at) >= longAgo {
		return at.Format("2006-01-02 15:04")
	}
	return at.Format("15:04")
}

func (t *trend) numbers() map[string]float64 {
	return map[string]float64{
		"first_bytes": math.Round(t.first), "last_bytes": math.Round(t.last), "growth_bytes": math.Round(t.growth),
		"growth_bytes_per_hour": math.Round(t.perSecond * hour), "seconds": t.to.Sub(t.from).Seconds(),
	}
}

// leak: "A leak in the heap: live memory after each collection grows by 12MiB/h since the start at 18:02 (31 collections, 240MiB to 310MiB)".
func leak(in *Input, h *Heap, t *trend) Verdict {
	v := Verdict{State: HeapLeaks, About: "heap", Since: t.from, Numbers: t.numbers()}
	v.Numbers["collections"] = float64(t.points)
	v.Text = fmt.Sprintf("A leak in the heap: live memory after each collection grows by %s %s (%d collections of %s, %s to %s)",
		rate(t), sinceText(in, t), t.points, h.Runtime, size(t.first), size(t.last))
	v.Text += "; " + in.Evidence.says(v.Numbers)
	return v
}

// says names what is most of the growth, or why that is not known.
func (e *Evidence) says(numbers map[string]float64) string {
	switch {
	case e == nil:
		return "nothing was captured that shows what it is"
	case e.Culprit == "":
		numbers["captures"] = float64(e.Captures)
		if strings.HasPrefix(e.Why, "not known yet") {
			return "what leaks is " + e.Why
		}
		return "by the captures, " + e.Why
	}
	numbers["captures"], numbers["share"], numbers["culprit_bytes"] = float64(e.Captures), e.Share, float64(e.Bytes)
	if e.Objects > 0 {
		numbers["culprit_objects"] = float64(e.Objects)
		return fmt.Sprintf("it is %s, +%d instances", e.Culprit, e.Objects)
	}
	return fmt.Sprintf("%.0f%% of it is %s", 100*e.Share, e.Culprit)
}

// byCaptures is the verdict of captures alone.
func byCaptures(e *Evidence) Verdict {
	v := Verdict{State: HeapLeaks, About: "heap", Since: e.From, Numbers: map[string]float64{"growth_bytes": float64(e.Bytes)}}
	after, lives := "", "what lives of it"
	if e.Full {
		after, lives = ", after a full collection", "what lives of it after a full collection"
	}
	says := e.says(v.Numbers)
	if e.Objects > 0 {
		v.Text = fmt.Sprintf("A leak in the heap: %s grew by %s since %s (%d captures); %s", lives, size(float64(e.Bytes)), clock(e.From, e.To), e.Captures, says)
	} else {
		v.Text = fmt.Sprintf("A leak in the heap: %s holds %s more than at %s%s at each of %d captures; %.0f%% of the growth",
			e.Culprit, size(float64(e.Bytes)), clock(e.From, e.To), after, e.Captures, 100*e.Share)
	}
	return v
}

func notKnown(about, text string, since time.Time, numbers map[string]float64) Verdict {
	return Verdict{State: NotKnown, About: about, Text: "Not known yet: " + text, Since: since, Numbers: numbers}
}

// fewCollections says that a heap grows and was hardly collected.
func fewCollections(in *Input, h *Heap, n int) Verdict {
	t := trend{from: h.Used[0].Time, to: h.Used[len(h.Used)-1].Time}
	return notKnown("heap", fmt.Sprintf("the heap of %s grows, and %s %s; it takes %d to say whether it leaks",
		h.Runtime, collected(n), sinceText(in, &t), leastCollections), t.from, map[string]float64{"collections": float64(n)})
}

// collected says how often a heap was collected: "there was 1 collection".
func collected(n int) string {
	if n == 1 {
		return "there was 1 collection"
	}
	return fmt.Sprintf("there were %d collections", n)
}

// shallow says that what grows may be garbage that only a full collection takes.
func shallow(in *Input, h *Heap, t *trend, n int) Verdict {
	v := notKnown("heap", fmt.Sprintf("what collections of %s leave behind grows by %s %s (%s to %s), which may be garbage that only a full collection takes: %d of %d seem to have been full, and a verdict takes %d of these, or captures that name what leaks",
		h.Runtime, rate(t), sinceText(in, t), size(t.first), size(t.last), n, t.points, leastCollections), t.from, t.numbers())
	v.Numbers["collections"], v.Numbers["full_collections"] = float64(t.points), float64(n)
	return v
}

// outside: "Not the heap: resident memory grew by 80MiB since the start at 18:02 (40MiB/h), the heap by 1MiB; anonymous memory outside it".
func outside(in *Input, t *trend, heap float64) Verdict {
	v := Verdict{State: OutsideHeap, About: "memory", Since: t.from, Numbers: t.numbers()}
	v.Numbers["heap_growth_bytes"] = math.Round(heap)
	v.Text = fmt.Sprintf("Not the heap: resident memory grew by %s %s (%s), the heap by %s; %s",
		size(t.growth), sinceText(in, t), rate(t), size(heap), kindOf(in, t, v.Numbers))
	return v
}

// kindOf says what the growth is where what is mapped now, or what is anonymous, is too small to be it.
func kindOf(in *Input, t *trend, numbers map[string]float64) string {
	const half = 0.5
	if in.Mapped != nil && *in.Mapped < half*t.growth {
		numbers["mapped_bytes"] = *in.Mapped
		return "anonymous memory outside it (native memory, buffers): files and shared memory are only " + size(*in.Mapped)
	}
	if in.Anonymous != nil && *in.Anonymous < half*t.growth {
		numbers["anonymous_bytes"] = *in.Anonymous
		return "files or shared memory that are mapped: anonymous memory is only " + size(*in.Anonymous)
	}
	return "memory outside it"
}

// noHeap says that memory grows of which no heap is read.
func noHeap(in *Input, t *trend) Verdict {
	return notKnown("memory", fmt.Sprintf("resident memory grows by %s %s (%s to %s), and no heap is read that would show whether it is the cause",
		rate(t), sinceText(in, t), size(t.first), size(t.last)), t.from, t.numbers())
}

// heapUnread says that memory grew while the heap was not read.
func heapUnread(in *Input, t *trend) Verdict {
	return notKnown("memory", fmt.Sprintf("resident memory grows by %s %s (%s to %s), and the heap was not read all that time",
		rate(t), sinceText(in, t), size(t.first), size(t.last)), t.from, t.numbers())
}

// fills: "The cache folder scenes fills at 41 files/min since 18:02 (100 to 510); 88% of the new files are tts-*.wav, empty". Where the scans
// that are compared began at another time than the growth, it is said when.
func fills(in *Input, f *Folder, t *trend) Verdict {
	v := Verdict{State: FolderFills, About: f.Kind + " " + f.Name, Since: t.from, Numbers: map[string]float64{
		"first": math.Round(t.first), "last": math.Round(t.last), "growth_per_hour": t.perSecond * hour, "seconds": t.to.Sub(t.from).Seconds(),
	}}
	per, unit := t.perSecond*60, "min"
	if per < 1 {
		per, unit = t.perSecond*hour, "h"
	}
	v.Text = fmt.Sprintf("The %s folder %s fills at %s %s/%s %s (%.0f to %.0f)", f.Kind, f.Name, digits(per), f.Unit, unit, sinceText(in, t), t.first, t.last)
	switch {
	case f.Shape != nil && f.Shape.To.After(t.from):
		v.Numbers["share"] = f.Shape.Share
		what := "the new files"
		if math.Abs(float64(f.Shape.From.Sub(t.from))) > nearStart*float64(t.to.Sub(t.from)) {
			what = "the files added since " + clock(f.Shape.From, t.to)
		}
		v.Text += fmt.Sprintf("; %.0f%% of %s are %s", 100*f.Shape.Share, what, f.Shape.Pattern)
		if f.Shape.Empty {
			v.Text += ", empty"
		}
	case f.Empty != nil && *f.Empty > 0:
		v.Numbers["empty"] = *f.Empty
		v.Text += fmt.Sprintf("; %.0f of the present ones are empty", *f.Empty)
	}
	return v
}

func digits(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
