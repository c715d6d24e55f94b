package health

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

var now = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

func sample(d *series.Desc, value float64, labels ...string) series.Sample {
	s := series.Sample{Desc: d, Values: make([]string, max(len(d.Labels), len(labels))), Value: value, Time: now}
	copy(s.Values, labels)
	return s
}

// user is the example that the first user has always read.
func user(name string) []series.Sample {
	return []series.Sample{
		sample(metric.MemoryResident, 512<<20, name),
		sample(metric.MemoryUsed, 485331304, name),
		sample(metric.MemoryLimit, 1<<30, name),
		sample(metric.MemoryUsedRatio, .452, name),
		sample(metric.MemoryLevel, 0, name),
		sample(metric.HeapUsed, 256<<20, name, "node"),
		sample(metric.CacheEntries, 234, name, "media"),
		sample(metric.CacheSize, 456<<20, name, "media"),
		sample(metric.CacheHitRatio, .87, name, "media"),
		sample(metric.ThresholdRatio, .8, name, metric.SignalHeap, "warning"),
		sample(metric.ThresholdRatio, .9, name, metric.SignalHeap, "critical"),
		sample(metric.ThresholdRatio, .95, name, metric.SignalHeap, "emergency"),
		sample(metric.ThresholdRatio, .7, name, metric.SignalMemory, "warning"),
		sample(metric.ThresholdRatio, .85, name, metric.SignalMemory, "critical"),
		sample(metric.ThresholdRatio, .95, name, metric.SignalMemory, "emergency"),
		sample(metric.Processes, 1, name),
	}
}

func TestReportIsTheUsersOwnForm(t *testing.T) {
	targets := Targets(user("orchestrator"))
	if len(targets) != 1 {
		t.Fatalf("%d targets, want 1", len(targets))
	}
	got, err := json.Marshal(targets[0].Report())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"memory":{"rss":"512MB","heapUsed":"256MB","percentage":"45.2%","level":"normal"},` +
		`"cache":{"entries":234,"size":"456MB","hitRate":"87%"},` +
		`"recommendations":[{"priority":"low","action":"System operating normally"}],` +
		`"raw":{"processes":1,"resident_bytes":536870912,"used_bytes":485331304,"limit_bytes":1073741824,"used_ratio":0.452,"level":0,` +
		`"heap_used_bytes":268435456,"cache_entries":234,"cache_size_bytes":478150656,"cache_hit_ratio":0.87},` +
		`"target":"orchestrator","timestamp":"2026-01-02T15:04:05Z"}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestUnknownIsAbsent(t *testing.T) {
	targets := Targets([]series.Sample{sample(metric.Processes, 0, "gone"), sample(metric.MemoryUsedRatio, math.NaN(), "gone")})
	got, err := json.Marshal(targets[0].Report())
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(got, &keys); err != nil {
		t.Fatal(err)
	}
	if string(keys["memory"]) != "{}" || keys["cache"] != nil {
		t.Errorf("report %s: want no memory value and no cache", got)
	}
	if targets[0].Recommendations[0].Priority != high {
		t.Errorf("recommendations %v: want the missing process first", targets[0].Recommendations)
	}
}

func TestInfinityIsNoNumber(t *testing.T) {
	targets := Targets(append(user("a"), sample(metric.MemoryExhaustion, math.Inf(1), "a")))
	if _, err := json.Marshal(targets[0].Report()); err != nil {
		t.Errorf("a target that does not grow: %v", err)
	}
}

func TestRecommendations(t *testing.T) {
	tests := []struct {
		name string
		add  []series.Sample
		want []Recommendation
	}{
		{
			"empty files",
			[]series.Sample{sample(metric.TempFiles, 600, "a", "tts"), sample(metric.TempEmpty, 592, "a", "tts"), sample(metric.TempExpired, 592, "a", "tts")},
			[]Recommendation{{medium, "Remove 592 empty files in tts: frees 592 inodes"}},
		},
		{
			"a probe that is answered badly",
			[]series.Sample{sample(metric.ProbeSuccess, 0, "a"), sample(metric.ProbeStatus, 503, "a"), sample(metric.ProbeMaxDuration, .2, "a")},
			[]Recommendation{{high, "The probe of a is answered with status 503: see what the service waits for, or correct the probe"}},
		},
		{
			"a probe that is not answered",
			[]series.Sample{sample(metric.ProbeSuccess, 0, "a")},
			[]Recommendation{{high, "The probe of a gets no answer: see what the service waits for, or correct the probe"}},
		},
		{
			"a good probe",
			[]series.Sample{sample(metric.ProbeSuccess, 1, "a"), sample(metric.ProbeStatus, 200, "a")},
			[]Recommendation{{low, "System operating normally"}},
		},
		{
			"the limits of a probe of a service that does not run",
			[]series.Sample{sample(metric.ProbeMaxDuration, .2, "a")},
			[]Recommendation{{low, "System operating normally"}},
		},
		{
			"expired files",
			[]series.Sample{sample(metric.TempExpired, 5, "a", "tts"), sample(metric.TempSize, 1<<20, "a", "tts")},
			[]Recommendation{{medium, "Remove 5 expired files in tts: frees 5 inodes and up to 1MiB"}},
		},
		{
			"some of both",
			[]series.Sample{sample(metric.TempFiles, 100, "a", "tts"), sample(metric.TempEmpty, 30, "a", "tts"), sample(metric.TempExpired, 20, "a", "tts"), sample(metric.TempSize, 1<<20, "a", "tts")},
			[]Recommendation{{medium, "Remove 20 empty or expired files in tts: frees 20 inodes and up to 1MiB"}},
		},
		{
			"nothing but empty files",
			[]series.Sample{sample(metric.TempFiles, 30, "a", "tts"), sample(metric.TempEmpty, 30, "a", "tts"), sample(metric.TempExpired, 20, "a", "tts")},
			[]Recommendation{{medium, "Remove 20 empty files in tts: frees 20 inodes"}},
		},
		{
			"a cache over its size",
			[]series.Sample{sample(metric.CacheUsedRatio, 1.14, "a", "media"), sample(metric.CacheMaxSize, 400<<20, "a", "media")},
			[]Recommendation{{medium, "Evict the least recently used entries of media: it is at 114% of its limits, which frees at least 56MiB"}},
		},
		{
			"a cache over its entries",
			[]series.Sample{sample(metric.CacheUsedRatio, 1.17, "a", "media"), sample(metric.CacheMaxEntries, 200, "a", "media")},
			[]Recommendation{{medium, "Evict the least recently used entries of media: it is at 117% of its limits, which removes at least 34 entries"}},
		},
		{
			"too many files",
			[]series.Sample{sample(metric.TempFiles, 130, "a", "tts"), sample(metric.TempMaxFiles, 100, "a", "tts")},
			[]Recommendation{{medium, "Remove the oldest 30 of 130 files in tts: frees 30 inodes, its limit is 100"}},
		},
		{
			"the user's own folder: the empty files are more than it has too many",
			[]series.Sample{
				sample(metric.TempFiles, 655, "a", "tts"), sample(metric.TempEmpty, 592, "a", "tts"),
				sample(metric.TempExpired, 592, "a", "tts"), sample(metric.TempMaxFiles, 100, "a", "tts"),
			},
			[]Recommendation{{medium, "Remove 592 empty files in tts: frees 592 inodes; the 63 that stay are within its limit of 100"}},
		},
		{
			"too many next to those that have expired",
			[]series.Sample{
				sample(metric.TempFiles, 855, "a", "tts"), sample(metric.TempEmpty, 592, "a", "tts"),
				sample(metric.TempExpired, 592, "a", "tts"), sample(metric.TempMaxFiles, 100, "a", "tts"),
			},
			[]Recommendation{
				{medium, "Remove 592 empty files in tts: frees 592 inodes"},
				{medium, "Remove the oldest 163 others of 855 files in tts: frees 163 inodes, its limit is 100"},
			},
		},
		{
			"too many, most of them empty",
			[]series.Sample{
				sample(metric.TempFiles, 658, "a", "tts"), sample(metric.TempEmpty, 592, "a", "tts"),
				sample(metric.TempExpired, 0, "a", "tts"), sample(metric.TempMaxFiles, 100, "a", "tts"),
			},
			[]Recommendation{{medium, "Remove 558 of 658 files in tts, empty ones first and then the oldest: frees 558 inodes, its limit is 100"}},
		},
		{
			"a trend",
			[]series.Sample{sample(metric.MemoryGrowth, 12<<20/60, "a"), sample(metric.MemoryExhaustion, 41*60, "a")},
			[]Recommendation{{high, "Memory reaches its limit in 41 min at 12MiB/min: look for a leak and plan a restart"}},
		},
		{
			"pressure",
			[]series.Sample{sample(metric.MemoryLevel, 2, "a")},
			[]Recommendation{{high, "Memory is at 45.2% (critical): 561MiB of 1GiB are left before the limit; shed load, or raise the limit"}},
		},
		{
			"heap",
			[]series.Sample{sample(metric.HeapUsedRatio, .9, "a", "node")},
			[]Recommendation{{medium, "The node heap is at 90% of its limit: collect garbage, or raise the limit"}},
		},
		{
			"cache",
			[]series.Sample{sample(metric.CacheUsedRatio, 1.5, "a", "media"), sample(metric.CacheExpired, 3, "a", "media")},
			[]Recommendation{{medium, "Evict the least recently used entries of media: it is at 150% of its limits"}, {low, "Evict 3 entries of media that have expired: frees 3 inodes and their space"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			targets := Targets(append(user("a"), tt.add...))
			if diff := cmp.Diff(tt.want, targets[0].Recommendations); diff != "" {
				t.Errorf("recommendations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSortWorst(t *testing.T) {
	targets := Targets([]series.Sample{
		sample(metric.MemoryUsedRatio, .2, "low"), sample(metric.MemoryLevel, 0, "low"),
		sample(metric.MemoryUsedRatio, .6, "fuller"), sample(metric.MemoryLevel, 0, "fuller"),
		sample(metric.MemoryUsedRatio, .5, "worst"), sample(metric.MemoryLevel, 2, "worst"),
		sample(metric.TempFiles, 1, "unknown", "t"),
		sample(metric.Processes, 0, "ended"),
		sample(metric.Processes, 0, "_overflow"),
	})
	SortWorst(targets)
	var names []string
	for _, x := range targets {
		names = append(names, x.Name)
	}
	if diff := cmp.Diff([]string{"ended", "worst", "_overflow", "unknown", "fuller", "low"}, names); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestTimestampIsOfTheNewestValue(t *testing.T) {
	older := sample(metric.TempFiles, 1, "a", "t")
	older.Time = now.Add(-time.Hour)
	targets := Targets([]series.Sample{sample(metric.Processes, 1, "a"), older, sample(metric.ThresholdRatio, .7, "only", metric.SignalMemory, "warning")})
	if got := targets[0].Report().Timestamp; got != "2026-01-02T15:04:05Z" {
		t.Errorf("timestamp %q, want that of the newest value", got)
	}
	if got := targets[1].Report().Timestamp; got != "" {
		t.Errorf("timestamp %q of a target without values, want none", got)
	}
}
