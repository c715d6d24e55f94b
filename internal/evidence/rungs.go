package evidence

import (
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The names of rungs.
const (
	RungSampling     = "sampling"      // functions by what they have allocated and what lives of it
	RungHistogram    = "histogram"     // classes of what lives, after a full collection
	RungHistogramAll = "histogram_all" // classes, garbage included: no collection
	RungTracemalloc  = "tracemalloc"   // lines of a Python service, where it traces what it allocates
	RungCensus       = "census"        // types of what lives in a Python service
	RungProfile      = "heap_profile"  // functions of a Go program, by sampling
)

// Rung is one way to capture.
type Rung struct {
	Provider string // of the heap that it asks
	Runtime  string // label of the metrics
	Name     string
	Kind     Kind
	Apart    bool          // it takes nothing of the heap itself, which the runtime fills before it collects
	Full     bool          // the runtime collects its whole heap first: it has no garbage
	Sampling bool          // it reads what was sampled all along: it may be taken at emergency too
	Rest     time.Duration // for which the target is left alone afterwards; 0: restBetween
	Worst    Rate          // what it may cost where it was not measured yet
	Capturer Capturer
}

// Rungs is the table of rungs. Of each provider the preferred one stands first: the next is taken where the
// price of the first does not fit, or the target does not have it. A new way to capture is a row here and a file of its own.
//
// What a rung may cost was measured on two cores of 2.9 GHz; see docs/benchmarks.md. A heap of small objects is the worst case.
var Rungs = []Rung{
	{
		Provider: heap.ProviderNode, Runtime: "node", Name: RungSampling, Kind: KindFunction, Full: true, Sampling: true,
		Worst:    Rate{Pause: 50 * time.Millisecond, PausePerGiB: 1500 * time.Millisecond, Bytes: 4 << 20, Share: 0.05},
		Capturer: sampled{},
	},
	{
		Provider: heap.ProviderAgent, Runtime: "node", Name: RungSampling, Kind: KindFunction, Full: true, Sampling: true,
		Worst:    Rate{Pause: 50 * time.Millisecond, PausePerGiB: 1500 * time.Millisecond, Bytes: 4 << 20, Share: 0.05},
		Capturer: agentSampled{},
	},
	{
		Provider: heap.ProviderJVM, Runtime: "jvm", Name: RungHistogram, Kind: KindClass, Apart: true, Full: true,
		Worst:    Rate{Pause: 100 * time.Millisecond, PausePerGiB: 1500 * time.Millisecond, Bytes: 8 << 20, Share: 0.02},
		Capturer: histogram{live: true},
	},
	{
		Provider: heap.ProviderJVM, Runtime: "jvm", Name: RungHistogramAll, Kind: KindClass, Apart: true,
		Worst:    Rate{Pause: 50 * time.Millisecond, PausePerGiB: 800 * time.Millisecond, Bytes: 8 << 20, Share: 0.005},
		Capturer: histogram{},
	},
	{
		Provider: heap.ProviderGo, Runtime: "go", Name: RungProfile, Kind: KindFunction, Full: true, Sampling: true, Rest: time.Second,
		Worst:    Rate{Pause: 20 * time.Millisecond, PausePerGiB: 20 * time.Millisecond, Bytes: 8 << 20, Share: 0.05},
		Capturer: goProfile{},
	},
	{
		Provider: heap.ProviderPython, Runtime: "python", Name: RungTracemalloc, Kind: KindFunction,
		Worst:    Rate{Pause: 50 * time.Millisecond, PausePerGiB: 15 * time.Second, Bytes: 8 << 20, Share: 1.5},
		Capturer: traced{},
	},
	{
		Provider: heap.ProviderPython, Runtime: "python", Name: RungCensus, Kind: KindType, Rest: time.Second,
		Worst:    Rate{Pause: 250 * time.Millisecond, PausePerGiB: 150 * time.Millisecond, Bytes: 6 << 20, Share: 0.1},
		Capturer: census{},
	},
}

// Of returns the rungs of a heap provider, the preferred one first.
func Of(provider string) []Rung {
	var out []Rung
	for i := range Rungs {
		if Rungs[i].Provider == provider {
			out = append(out, Rungs[i])
		}
	}
	return out
}

// Full reports whether a rung captures a heap after a full collection.
func Full(rung string) bool {
	return slices.ContainsFunc(Rungs, func(r Rung) bool { return r.Name == rung && r.Full })
}

// Apart reports whether captures of a provider take nothing of the heap itself: then only the memory limits them.
func Apart(provider string) bool {
	rungs := Of(provider)
	return len(rungs) > 0 && rungs[0].Apart
}

// Rate says how a price depends on the size of the heap.
type Rate struct {
	Pause       time.Duration // of any heap
	PausePerGiB time.Duration // and for each GiB in use
	Bytes       units.Bytes   // of any heap
	Share       float64       // and of what is in use
}

// Price is what a capture may cost: how long the target stands still, and the memory that it takes for it.
type Price struct {
	Pause time.Duration
	Bytes units.Bytes
}

const gib = float64(1 << 30)

// At returns the price for a heap of which so much is in use.
func (r Rate) At(used units.Bytes) Price {
	return Price{
		Pause: r.Pause + time.Duration(float64(r.PausePerGiB)*float64(used)/gib),
		Bytes: r.Bytes + units.Bytes(r.Share*float64(used)),
	}
}
