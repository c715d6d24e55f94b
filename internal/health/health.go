package health

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/verdict"
)

// Target is the state of one target, in base units. A nil pointer is a value that is not known.
type Target struct {
	Name       string
	Processes  *float64
	Level      *series.Level
	Thresholds series.Thresholds // of its memory

	HeapThresholds series.Thresholds

	ResidentBytes  *float64
	UsedBytes      *float64
	LimitBytes     *float64
	UsedRatio      *float64
	LimitSource    string // the label source of spillway_memory_limit_info
	LimitBasis     string // rss, cgroup, available
	WindowMaxBytes *float64
	GrowthPerSec   *float64
	ExhaustionSecs *float64
	GrowthSure     *float64 // confidence in GrowthPerSec, from 0 to 1
	Outlook        *Outlook // of days; nil: nothing grows, or it is not known; a reader of the store sets it

	Heaps   []Heap
	Caches  []Cache
	Temps   []Temp
	Folders []Folder // of uploads and logs

	Probe     *Probe // nil while there is none
	AppValues []AppValue
	probe     Probe
	failed    []source
	alerts    []Alert

	Verdicts        []verdict.Verdict // what makes it grow; a reader of the store sets them
	Recommendations []Recommendation
	Newest          time.Time // of the newest value of this target
}

// Heap is the state of one runtime's heap.
type Heap struct {
	Runtime               string
	UsedBytes, LimitBytes *float64
	CommittedBytes        *float64
	UsedRatio             *float64
	Read, Processes       *float64 // processes whose heap this is, of those that run the program; nil: not known, or all
	LiveBytes             *float64 // what the last collection left, where the runtime says so
}

// Cache is the state of one file cache.
type Cache struct {
	Name                                string
	Entries, SizeBytes, DiskBytes       *float64
	MaxEntries, MaxBytes, MaxAgeSeconds *float64
	UsedRatio, Expired, HitRatio        *float64

	hitsByApp bool // HitRatio is what the application counted
}

// Temp is the state of one folder of temporary files.
type Temp struct {
	Name                                       string
	Files, Empty, Expired, SizeBytes, MaxFiles *float64
	MaxBytes, UsedRatio                        *float64
}

// Targets groups a snapshot by target, in the order of their names; the fullest come first with
// SortWorst.
func Targets(samples []series.Sample) []Target {
	byName := make(map[string]*Target)
	get := func(name string) *Target {
		t := byName[name]
		if t == nil {
			t = &Target{Name: name}
			byName[name] = t
		}
		return t
	}
	for i := range samples {
		s := &samples[i]
		if s.Desc == metric.SourceSuccess && s.Value == 0 && s.Values[1] != "" {
			t := get(s.Values[1])
			t.failed = append(t.failed, source{s.Values[0], s.Values[2]})
			continue
		}
		if len(s.Desc.Labels) == 0 || s.Desc.Labels[0] != "target" {
			continue
		}
		t := get(s.Values[0])
		if t.take(s) && s.Time.After(t.Newest) {
			t.Newest = s.Time
		}
	}
	out := make([]Target, 0, len(byName))
	for _, t := range byName {
		t.sort()
		t.Recommendations = recommend(t)
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Target) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (t *Target) sort() {
	slices.SortFunc(t.failed, func(a, b source) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name)) })
	slices.SortFunc(t.Heaps, func(a, b Heap) int { return cmp.Compare(a.Runtime, b.Runtime) })
	slices.SortFunc(t.Caches, func(a, b Cache) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(t.Temps, func(a, b Temp) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(t.Folders, func(a, b Folder) int { return cmp.Or(cmp.Compare(b.Kind, a.Kind), cmp.Compare(a.Name, b.Name)) })
}

// Down reports whether no process of a target that has a selector is running.
func (t *Target) Down() bool {
	n, ok := known(t.Processes)
	return ok && n == 0 && t.Name != Overflow
}

// SortWorst orders targets by their state as a whole, the worst first, and then by how full they are.
func SortWorst(targets []Target) {
	states := make(map[string]State, len(targets))
	for i := range targets {
		states[targets[i].Name], _ = targets[i].Overall()
	}
	slices.SortStableFunc(targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(states[b.Name], states[a.Name]), cmp.Compare(b.ratio(), a.ratio()), cmp.Compare(a.Name, b.Name))
	})
}

func (t *Target) ratio() float64 {
	if t.UsedRatio == nil {
		return -1
	}
	return *t.UsedRatio
}

func known(p *float64) (float64, bool) {
	if p == nil || math.IsNaN(*p) {
		return 0, false
	}
	return *p, true
}

// Partly says of how many processes the heap is read where it is not that of all: "of 1 of 2 processes".
func (h *Heap) Partly() string {
	read, ok := known(h.Read)
	all, okAll := known(h.Processes)
	if !ok || !okAll || read >= all {
		return ""
	}
	return fmt.Sprintf("of %.0f of %.0f processes", read, all)
}

// judged returns the share of the limit by which the heap is judged.
func (h *Heap) judged() (ratio float64, ok bool) {
	live, haveLive := known(h.LiveBytes)
	limit, haveLimit := known(h.LimitBytes)
	if haveLive && haveLimit && limit > 0 {
		return live / limit, true
	}
	return known(h.UsedRatio)
}
