package health

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// Target is the state of one target, in base units. A nil pointer is a value that is not known.
type Target struct {
	Name       string
	Processes  *float64
	Level      *series.Level
	Thresholds series.Thresholds

	ResidentBytes  *float64
	UsedBytes      *float64
	LimitBytes     *float64
	UsedRatio      *float64
	LimitSource    string // config, cgroup_v1, cgroup_v2, host
	LimitBasis     string // rss, cgroup, available
	WindowMaxBytes *float64
	GrowthPerSec   *float64
	ExhaustionSecs *float64

	Heaps   []Heap
	Caches  []Cache
	Temps   []Temp
	Folders []Folder // of uploads and logs

	Probe     *Probe // nil while there is none
	AppValues []AppValue
	probe     Probe

	Recommendations []Recommendation
	Newest          time.Time // of the newest value of this target
}

// Heap is the state of one runtime's heap.
type Heap struct {
	Runtime               string
	UsedBytes, LimitBytes *float64
	CommittedBytes        *float64
	UsedRatio             *float64
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
	slices.SortFunc(t.Heaps, func(a, b Heap) int { return cmp.Compare(a.Runtime, b.Runtime) })
	slices.SortFunc(t.Caches, func(a, b Cache) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(t.Temps, func(a, b Temp) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(t.Folders, func(a, b Folder) int { return cmp.Or(cmp.Compare(b.Kind, a.Kind), cmp.Compare(a.Name, b.Name)) })
}

// Down reports whether no process of a target that has a selector is running.
func (t *Target) Down() bool {
	n, ok := known(t.Processes)
	return ok && n == 0 && t.Name != overflow
}

// SortWorst orders targets by level, those that are down first, and then by how full they are.
func SortWorst(targets []Target) {
	slices.SortStableFunc(targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(b.rank(), a.rank()), cmp.Compare(b.ratio(), a.ratio()), cmp.Compare(a.Name, b.Name))
	})
}

func (t *Target) rank() series.Level {
	switch {
	case t.Down():
		return series.LevelEmergency + 1
	case t.Level == nil:
		return series.LevelNormal
	}
	return *t.Level
}

func (t *Target) ratio() float64 {
	if t.UsedRatio == nil {
		return -1
	}
	return *t.UsedRatio
}

// take puts a value in its place and reports whether it belongs to a report.
func (t *Target) take(s *series.Sample) bool {
	v := s.Value
	simple := map[string]**float64{
		"spillway_processes":                      &t.Processes,
		"spillway_memory_resident_bytes":          &t.ResidentBytes,
		"spillway_memory_used_bytes":              &t.UsedBytes,
		"spillway_memory_limit_bytes":             &t.LimitBytes,
		"spillway_memory_used_ratio":              &t.UsedRatio,
		"spillway_memory_window_max_bytes":        &t.WindowMaxBytes,
		"spillway_memory_growth_bytes_per_second": &t.GrowthPerSec,
		"spillway_memory_exhaustion_seconds":      &t.ExhaustionSecs,
	}
	if p := simple[s.Desc.Name]; p != nil {
		*p = &v
		return true
	}
	switch s.Desc.Name {
	case "spillway_memory_level":
		l := series.Level(v)
		t.Level = &l
	case "spillway_memory_limit_info":
		t.LimitSource, t.LimitBasis = s.Values[1], s.Values[2]
	case "spillway_threshold_ratio":
		t.threshold(s.Values[1], v)
		return false // a threshold is no sign of life
	default:
		return t.takeHeap(s) || t.takeCache(s) || t.takeTemp(s) || t.takeFolder(s) || t.takeProbe(s)
	}
	return true
}

func (t *Target) threshold(level string, v float64) {
	switch level {
	case "warning":
		t.Thresholds.Warning = v
	case "critical":
		t.Thresholds.Critical = v
	case "emergency":
		t.Thresholds.Emergency = v
	}
}

func (t *Target) takeHeap(s *series.Sample) bool {
	i := slices.IndexFunc(t.Heaps, func(h Heap) bool { return h.Runtime == s.Values[1] })
	h := Heap{Runtime: s.Values[1]}
	if i >= 0 {
		h = t.Heaps[i]
	}
	v := s.Value
	switch s.Desc.Name {
	case "spillway_heap_used_bytes":
		h.UsedBytes = &v
	case "spillway_heap_committed_bytes":
		h.CommittedBytes = &v
	case "spillway_heap_limit_bytes":
		h.LimitBytes = &v
	case "spillway_heap_used_ratio":
		h.UsedRatio = &v
	default:
		return false
	}
	if i >= 0 {
		t.Heaps[i] = h
	} else {
		t.Heaps = append(t.Heaps, h)
	}
	return true
}

func (t *Target) takeCache(s *series.Sample) bool {
	i := slices.IndexFunc(t.Caches, func(c Cache) bool { return c.Name == s.Values[1] })
	c := Cache{Name: s.Values[1]}
	if i >= 0 {
		c = t.Caches[i]
	}
	v := s.Value
	switch s.Desc.Name {
	case "spillway_cache_entries":
		c.Entries = &v
	case "spillway_cache_size_bytes":
		c.SizeBytes = &v
	case "spillway_cache_disk_bytes":
		c.DiskBytes = &v
	case "spillway_cache_max_entries":
		c.MaxEntries = &v
	case "spillway_cache_max_size_bytes":
		c.MaxBytes = &v
	case "spillway_cache_max_age_seconds":
		c.MaxAgeSeconds = &v
	case "spillway_cache_used_ratio":
		c.UsedRatio = &v
	case "spillway_cache_expired_entries":
		c.Expired = &v
	case "spillway_cache_hit_ratio": // what the application counted itself is better than what was inferred
		if s.Values[2] == "app" || !c.hitsByApp {
			c.HitRatio, c.hitsByApp = &v, s.Values[2] == "app"
		}
	default:
		return false
	}
	if i >= 0 {
		t.Caches[i] = c
	} else {
		t.Caches = append(t.Caches, c)
	}
	return true
}

func (t *Target) takeTemp(s *series.Sample) bool {
	i := slices.IndexFunc(t.Temps, func(d Temp) bool { return d.Name == s.Values[1] })
	d := Temp{Name: s.Values[1]}
	if i >= 0 {
		d = t.Temps[i]
	}
	v := s.Value
	switch s.Desc.Name {
	case "spillway_temp_files":
		d.Files = &v
	case "spillway_temp_empty_files":
		d.Empty = &v
	case "spillway_temp_expired_files":
		d.Expired = &v
	case "spillway_temp_size_bytes":
		d.SizeBytes = &v
	case "spillway_temp_max_files":
		d.MaxFiles = &v
	default:
		return false
	}
	if i >= 0 {
		t.Temps[i] = d
	} else {
		t.Temps = append(t.Temps, d)
	}
	return true
}

func known(p *float64) (float64, bool) {
	if p == nil || math.IsNaN(*p) {
		return 0, false
	}
	return *p, true
}
