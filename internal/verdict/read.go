package verdict

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// settle is how long a service grows after its start in any case: what was read then says nothing.
const settle = 5 * time.Minute

// Read takes what a store has of a target. What it does not have is not in the Input.
func Read(s *series.Store, target string) Input {
	var in Input
	snapshot := s.SnapshotOf(nil, target)
	if start, _, ok := s.Value(metric.ProcessOldestStart, target); ok {
		in.Start = time.UnixMilli(int64(start * 1000))
	}
	from := in.Start
	if cut := s.CutTime(metric.MemoryResident, target); cut.After(from) {
		from = cut // the processes are others since then, and so is what they hold
	}
	if !from.IsZero() {
		from = from.Add(settle)
	}
	in.Resident = past(s, from, metric.MemoryResident, target)
	var anonymous, file, shared *float64
	for i := range snapshot {
		sample := &snapshot[i]
		v := sample.Value
		if !finite(v) {
			continue
		}
		switch sample.Desc {
		case metric.MemoryAnon:
			anonymous = &v
		case metric.MemoryFile:
			file = &v
		case metric.MemoryShmem:
			shared = &v
		case metric.HeapUsed:
			runtime := sample.Values[1]
			in.Heaps = append(in.Heaps, Heap{
				Runtime: runtime, Used: past(s, from, metric.HeapUsed, target, runtime), Live: past(s, from, metric.HeapLive, target, runtime),
			})
		default:
			if f, ok := folder(s, target, sample); ok {
				in.Folders = append(in.Folders, f)
			}
		}
	}
	in.Anonymous = anonymous
	if file != nil && shared != nil {
		mapped := *file + *shared
		in.Mapped = &mapped
	}
	slices.SortFunc(in.Heaps, func(a, b Heap) int { return cmp.Compare(a.Runtime, b.Runtime) })
	slices.SortFunc(in.Folders, func(a, b Folder) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return in
}

// folder returns the folder of which a sample is the count; false where it is not a count.
func folder(s *series.Store, target string, sample *series.Sample) (Folder, bool) {
	i := slices.IndexFunc(policy.Kinds, func(k policy.Kind) bool { return k.Count == sample.Desc })
	if i < 0 {
		return Folder{}, false
	}
	f := Folder{Kind: policy.Kinds[i].Name, Name: sample.Values[1], Unit: "files", Count: past(s, time.Time{}, sample.Desc, sample.Values...)}
	switch f.Kind {
	case policy.KindCache:
		f.Unit = "entries"
	case policy.KindTemp:
		if empty, _, ok := s.Value(metric.TempEmpty, target, f.Name); ok && finite(empty) {
			f.Empty = &empty
		}
	}
	return f, true
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// past returns the points of all rings of a series from a moment on, each ring where the finer one does not reach. Of a ring of longer
// slots the first one after the moment is left out: it may hold values of before.
func past(s *series.Store, from time.Time, d *series.Desc, values ...string) []series.Point {
	var out []series.Point
	for tier := series.TierLong; tier >= series.TierSample; tier-- {
		points := s.Points(nil, tier, d, values...)
		if len(points) == 0 {
			continue
		}
		first := points[0].Time
		if i := slices.IndexFunc(out, func(p series.Point) bool { return !p.Time.Before(first) }); i >= 0 {
			out = out[:i]
		}
		skip := tier > series.TierSample && !from.IsZero()
		for _, p := range points {
			switch {
			case p.Time.Before(from), !finite(p.Min), !finite(p.Max), !finite(p.Last):
			case skip:
				skip = false
			default:
				out = append(out, p)
			}
		}
	}
	return out
}
