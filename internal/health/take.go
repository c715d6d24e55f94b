package health

import (
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// fields are the families whose value is one field of a target, and where that field is. The limits
// of a probe alone, of a target that does not run, are not a probe: Target.Probe stays nil.
var fields = map[*series.Desc]func(t *Target, s *series.Sample) **float64{
	metric.Processes:              func(t *Target, _ *series.Sample) **float64 { return &t.Processes },
	metric.MemoryResident:         func(t *Target, _ *series.Sample) **float64 { return &t.ResidentBytes },
	metric.MemoryUsed:             func(t *Target, _ *series.Sample) **float64 { return &t.UsedBytes },
	metric.MemoryLimit:            func(t *Target, _ *series.Sample) **float64 { return &t.LimitBytes },
	metric.MemoryUsedRatio:        func(t *Target, _ *series.Sample) **float64 { return &t.UsedRatio },
	metric.MemoryWindowMax:        func(t *Target, _ *series.Sample) **float64 { return &t.WindowMaxBytes },
	metric.MemoryGrowth:           func(t *Target, _ *series.Sample) **float64 { return &t.GrowthPerSec },
	metric.MemoryGrowthConfidence: func(t *Target, _ *series.Sample) **float64 { return &t.GrowthSure },
	metric.MemoryExhaustion:       func(t *Target, _ *series.Sample) **float64 { return &t.ExhaustionSecs },

	metric.HeapUsed:      func(t *Target, s *series.Sample) **float64 { return &t.heap(s).UsedBytes },
	metric.HeapCommitted: func(t *Target, s *series.Sample) **float64 { return &t.heap(s).CommittedBytes },
	metric.HeapLimit:     func(t *Target, s *series.Sample) **float64 { return &t.heap(s).LimitBytes },
	metric.HeapLive:      func(t *Target, s *series.Sample) **float64 { return &t.heap(s).LiveBytes },
	metric.HeapRead:      func(t *Target, s *series.Sample) **float64 { return &t.heap(s).Read },
	metric.HeapProcesses: func(t *Target, s *series.Sample) **float64 { return &t.heap(s).Processes },
	metric.HeapUsedRatio: func(t *Target, s *series.Sample) **float64 { return &t.heap(s).UsedRatio },

	metric.CacheEntries:    func(t *Target, s *series.Sample) **float64 { return &t.cache(s).Entries },
	metric.CacheSize:       func(t *Target, s *series.Sample) **float64 { return &t.cache(s).SizeBytes },
	metric.CacheDisk:       func(t *Target, s *series.Sample) **float64 { return &t.cache(s).DiskBytes },
	metric.CacheMaxEntries: func(t *Target, s *series.Sample) **float64 { return &t.cache(s).MaxEntries },
	metric.CacheMaxSize:    func(t *Target, s *series.Sample) **float64 { return &t.cache(s).MaxBytes },
	metric.CacheMaxAge:     func(t *Target, s *series.Sample) **float64 { return &t.cache(s).MaxAgeSeconds },
	metric.CacheUsedRatio:  func(t *Target, s *series.Sample) **float64 { return &t.cache(s).UsedRatio },
	metric.CacheExpired:    func(t *Target, s *series.Sample) **float64 { return &t.cache(s).Expired },

	metric.TempFiles:     func(t *Target, s *series.Sample) **float64 { return &t.temp(s).Files },
	metric.TempEmpty:     func(t *Target, s *series.Sample) **float64 { return &t.temp(s).Empty },
	metric.TempExpired:   func(t *Target, s *series.Sample) **float64 { return &t.temp(s).Expired },
	metric.TempSize:      func(t *Target, s *series.Sample) **float64 { return &t.temp(s).SizeBytes },
	metric.TempMaxFiles:  func(t *Target, s *series.Sample) **float64 { return &t.temp(s).MaxFiles },
	metric.TempMaxSize:   func(t *Target, s *series.Sample) **float64 { return &t.temp(s).MaxBytes },
	metric.TempUsedRatio: func(t *Target, s *series.Sample) **float64 { return &t.temp(s).UsedRatio },

	metric.UploadFiles:    func(t *Target, s *series.Sample) **float64 { return &t.folder(policy.KindUpload, s).Files },
	metric.UploadSize:     func(t *Target, s *series.Sample) **float64 { return &t.folder(policy.KindUpload, s).SizeBytes },
	metric.UploadMaxSize:  func(t *Target, s *series.Sample) **float64 { return &t.folder(policy.KindUpload, s).MaxBytes },
	metric.UploadOversize: func(t *Target, s *series.Sample) **float64 { return &t.folder(policy.KindUpload, s).Oversize },
	metric.UploadExpired:  func(t *Target, s *series.Sample) **float64 { return &t.folder(policy.KindUpload, s).Expired },

	metric.LogFiles:    func(t *Target, s *series.Sample) **float64 { return &t.folder(policy.KindLog, s).Files },
	metric.LogSize:     func(t *Target, s *series.Sample) **float64 { return &t.folder(policy.KindLog, s).SizeBytes },
	metric.LogOversize: func(t *Target, s *series.Sample) **float64 { return &t.folder(policy.KindLog, s).Oversize },
	metric.LogExpired:  func(t *Target, s *series.Sample) **float64 { return &t.folder(policy.KindLog, s).Expired },

	metric.ProbeStatus:        func(t *Target, _ *series.Sample) **float64 { return &t.probe.Status },
	metric.ProbeDuration:      func(t *Target, _ *series.Sample) **float64 { return &t.probe.DurationSeconds },
	metric.ProbeMaxDuration:   func(t *Target, _ *series.Sample) **float64 { return &t.probe.MaxSeconds },
	metric.StartupDuration:    func(t *Target, _ *series.Sample) **float64 { return &t.probe.StartupSeconds },
	metric.StartupMaxDuration: func(t *Target, _ *series.Sample) **float64 { return &t.probe.MaxStartupSeconds },
}

// take puts a value in its place and reports whether it belongs to a report.
func (t *Target) take(s *series.Sample) bool {
	v := s.Value
	if field := fields[s.Desc]; field != nil {
		*field(t, s) = &v
		return true
	}
	switch s.Desc {
	case metric.MemoryLevel:
		l := series.Level(v)
		t.Level = &l
	case metric.MemoryLimitInfo:
		t.LimitSource, t.LimitBasis = s.Values[1], s.Values[2]
	case metric.CacheHitRatio: // what the application counted itself is better than what was inferred
		if c, byApp := t.cache(s), s.Values[2] == "app"; byApp || !c.hitsByApp {
			c.HitRatio, c.hitsByApp = &v, byApp
		}
	case metric.ProbeSuccess:
		t.probe.Success = v == 1
		t.Probe = &t.probe
	case metric.AppValue:
		t.AppValues = append(t.AppValues, AppValue{Name: s.Values[1], Value: v})
		slices.SortFunc(t.AppValues, func(a, b AppValue) int { return strings.Compare(a.Name, b.Name) })
	case metric.ThresholdRatio:
		t.threshold(s.Values[1], s.Values[2], v)
		return false // a threshold is not a sign of life
	default:
		return false
	}
	return true
}

func (t *Target) threshold(signal, level string, v float64) {
	of := &t.Thresholds
	if signal == metric.SignalHeap {
		of = &t.HeapThresholds
	}
	switch level {
	case "warning":
		of.Warning = v
	case "critical":
		of.Critical = v
	case "emergency":
		of.Emergency = v
	}
}

// heap returns the heap that a sample belongs to; the same holds for the three below.
func (t *Target) heap(s *series.Sample) *Heap {
	i := slices.IndexFunc(t.Heaps, func(h Heap) bool { return h.Runtime == s.Values[1] })
	if i < 0 {
		i, t.Heaps = len(t.Heaps), append(t.Heaps, Heap{Runtime: s.Values[1]})
	}
	return &t.Heaps[i]
}

func (t *Target) cache(s *series.Sample) *Cache {
	i := slices.IndexFunc(t.Caches, func(c Cache) bool { return c.Name == s.Values[1] })
	if i < 0 {
		i, t.Caches = len(t.Caches), append(t.Caches, Cache{Name: s.Values[1]})
	}
	return &t.Caches[i]
}

func (t *Target) temp(s *series.Sample) *Temp {
	i := slices.IndexFunc(t.Temps, func(d Temp) bool { return d.Name == s.Values[1] })
	if i < 0 {
		i, t.Temps = len(t.Temps), append(t.Temps, Temp{Name: s.Values[1]})
	}
	return &t.Temps[i]
}

func (t *Target) folder(kind string, s *series.Sample) *Folder {
	i := slices.IndexFunc(t.Folders, func(f Folder) bool { return f.Kind == kind && f.Name == s.Values[1] })
	if i < 0 {
		i, t.Folders = len(t.Folders), append(t.Folders, Folder{Kind: kind, Name: s.Values[1]})
	}
	return &t.Folders[i]
}
