package verdict

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// some is an input by chance.
func some(r *rand.Rand) Input {
	shapes := []curve{
		flat(100 * mib), ramp(100*mib, 100*mib*(1+r.Float64())), step(100*mib, 150*mib, r.Float64()),
		warm(50*mib, 150*mib, .02+r.Float64()), wave(80*mib, 140*mib, 5*r.Float64()), later(ramp(100*mib, 200*mib), r.Float64()),
	}
	live := shapes[r.IntN(len(shapes))]
	n := 30 + r.IntN(300)
	heap := noisy(saw(live, 60*mib*r.Float64(), 60*r.Float64()), r, 3*mib*r.Float64())
	in := Input{Start: begin, Resident: points(n, time.Hour, noisy(shapes[r.IntN(len(shapes))], r, mib))}
	if r.IntN(4) > 0 {
		in.Heaps = []Heap{{Runtime: []string{"node", "go"}[r.IntN(2)], Used: coarse(points(n, time.Hour, heap), 1+r.IntN(3))}}
	}
	if r.IntN(2) == 0 {
		in.Folders = []Folder{{Kind: "temp", Name: "t", Unit: "files", Count: points(n, time.Hour, noisy(shapes[r.IntN(len(shapes))], r, mib))}}
	}
	return in
}

// changed applies two functions to each point of an input.
func changed(in Input, at func(time.Time) time.Time, by float64) Input {
	all := func(p []series.Point) []series.Point {
		p = slices.Clone(p)
		for i := range p {
			p[i] = series.Point{Time: at(p[i].Time), Min: p[i].Min * by, Max: p[i].Max * by, Last: p[i].Last * by}
		}
		return p
	}
	in.Start, in.Resident = at(in.Start), all(in.Resident)
	in.Heaps, in.Folders = slices.Clone(in.Heaps), slices.Clone(in.Folders)
	for i := range in.Heaps {
		in.Heaps[i].Used = all(in.Heaps[i].Used)
	}
	for i := range in.Folders {
		in.Folders[i].Count = all(in.Folders[i].Count)
	}
	return in
}

// TestJudgeIsOfShapes: sizes in other units, a later day, and a service that does everything at a quarter of the pace change
// no state of a verdict.
func TestJudgeIsOfShapes(t *testing.T) {
	same := func(d time.Time) time.Time { return d }
	seen := make(map[State]int)
	for seed := range uint64(600) {
		in := some(rand.New(rand.NewPCG(seed, 7)))
		want := states(Judge(&in))
		for _, s := range want {
			seen[s]++
		}
		for name, other := range map[string]Input{
			"larger":  changed(in, same, 64),
			"smaller": changed(in, same, 1.0/32),
			"later":   changed(in, func(d time.Time) time.Time { return d.Add(1000 * time.Hour) }, 1),
			"slower":  changed(in, func(d time.Time) time.Time { return begin.Add(4 * d.Sub(begin)) }, 1),
		} {
			if got := states(Judge(&other)); !slices.Equal(got, want) {
				t.Errorf("seed %d, %s: %v, want %v", seed, name, got, want)
			}
		}
	}
	for _, s := range []State{HeapLeaks, OutsideHeap, FolderFills, NotKnown} {
		if seen[s] < 10 {
			t.Errorf("%s was said %d times: the inputs show nothing of it", s, seen[s])
		}
	}
}

func states(all []Verdict) []State {
	var out []State
	for i := range all {
		out = append(out, all[i].State)
	}
	return out
}

// TestRates: what is said of services that leak, and of those that do not, with noise, over a thousand of each.
func TestRates(t *testing.T) {
	const runs = 1000
	rate := func(name string, state State, least, most float64, of func(r *rand.Rand) Input) {
		t.Helper()
		n := 0
		for seed := range uint64(runs) {
			in := of(rand.New(rand.NewPCG(seed, 11)))
			if slices.Contains(states(Judge(&in)), state) {
				n++
			}
		}
		got := float64(n) / runs
		t.Logf("%s: %s of %.1f%%", name, state, 100*got)
		if got < least || got > most {
			t.Errorf("%s: %s of %.1f%%, want %.1f%% to %.1f%%", name, state, 100*got, 100*least, 100*most)
		}
	}
	heap := func(live func(r *rand.Rand) curve) func(r *rand.Rand) Input {
		return func(r *rand.Rand) Input {
			return heapOf(noisy(saw(live(r), (30+60*r.Float64())*mib, 20+40*r.Float64()), r, 3*mib))
		}
	}
	rate("a steady heap", HeapLeaks, 0, .002, heap(func(*rand.Rand) curve { return flat(100 * mib) }))
	rate("a step", HeapLeaks, 0, .01, heap(func(r *rand.Rand) curve { return step(100*mib, 160*mib, r.Float64()) }))
	rate("a start", HeapLeaks, 0, .02, heap(func(r *rand.Rand) curve { return warm(40*mib, 160*mib, .02+.15*r.Float64()) }))
	rate("a cache that breathes", HeapLeaks, 0, .02, heap(func(r *rand.Rand) curve { return wave(80*mib, 140*mib, 1+6*r.Float64()) }))
	rate("a leak of half the heap", HeapLeaks, .95, 1, heap(func(*rand.Rand) curve { return ramp(100*mib, 150*mib) }))
	resident := func(c func(r *rand.Rand) curve) func(r *rand.Rand) Input {
		return func(r *rand.Rand) Input {
			in := heapOf(saw(flat(50*mib), 20*mib, 40))
			in.Resident = points(400, 2*time.Hour, noisy(c(r), r, 3*mib))
			return in
		}
	}
	rate("steady resident memory", OutsideHeap, 0, .002, resident(func(*rand.Rand) curve { return flat(200 * mib) }))
	rate("resident memory after a start", OutsideHeap, 0, .02, resident(func(r *rand.Rand) curve { return warm(100*mib, 200*mib, .02+.15*r.Float64()) }))
	rate("resident memory that is all noise", OutsideHeap, 0, .005, func(r *rand.Rand) Input {
		in := heapOf(saw(flat(50*mib), 20*mib, 40))
		n := 8 + r.IntN(30)
		in.Resident = points(n, 2*time.Hour, noisy(flat(200*mib), r, 60*mib))
		return in
	})
	walk := func(n int) func(r *rand.Rand) Input {
		return func(r *rand.Rand) Input {
			in := heapOf(saw(flat(50*mib), 20*mib, 40))
			v := 200 * mib
			in.Resident = points(n, 2*time.Hour, func(float64) float64 { v = max(v+r.NormFloat64()*200*mib/float64(n)*3, 1); return v })
			return in
		}
	}
	rate("a random walk", OutsideHeap, 0, .17, walk(400)) // whose end is as likely to be higher as lower: no past shows that it will turn
	rate("a short random walk", OutsideHeap, 0, .09, walk(12))
	rate("native memory that leaks", OutsideHeap, .95, 1, resident(func(*rand.Rand) curve { return ramp(200*mib, 260*mib) }))
}

// TestFewestCollections: not one verdict rests on fewer collections than it takes.
func TestFewestCollections(t *testing.T) {
	for n := range 40 {
		in := heapOf(saw(ramp(100*mib, 200*mib), 100*mib, float64(n)+.5))
		for _, v := range Judge(&in) {
			if found := v.Numbers["collections"]; v.State == HeapLeaks && (found < leastCollections || n < leastCollections) {
				t.Errorf("of %d collections, of which %v were seen: %s", n, found, v.Text)
			}
		}
	}
}

// TestCoarse: rings of longer slots, in which the order of values is not known, show the same leak, and none in a saw-tooth.
func TestCoarse(t *testing.T) {
	for _, by := range []int{1, 3, 15, 40} {
		leaky, well := heapOf(flat(0)), heapOf(flat(0))
		leaky.Heaps[0].Used = coarse(points(4000, 10*time.Hour, saw(ramp(100*mib, 180*mib), 100*mib, 190)), by)
		well.Heaps[0].Used = coarse(points(4000, 10*time.Hour, saw(flat(100*mib), 60*mib, 190)), by)
		if got := states(Judge(&leaky)); !slices.Equal(got, []State{HeapLeaks}) {
			t.Errorf("%d values a point: %v of a leak", by, got)
		}
		if got := states(Judge(&well)); len(got) > 0 {
			t.Errorf("%d values a point: %v of a saw-tooth", by, got)
		}
	}
}
