package health

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// numbers returns every number of a value that is known, with the path to it.
func numbers(path string, v reflect.Value, out map[string]float64) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		if v.Elem().Kind() == reflect.Float64 {
			out[path] = v.Elem().Float()
			return
		}
		numbers(path, v.Elem(), out)
	case reflect.Struct:
		for i := range v.NumField() {
			numbers(path+"."+v.Type().Field(i).Name, v.Field(i), out)
		}
	case reflect.Slice:
		for i := range v.Len() {
			numbers(path, v.Index(i), out)
		}
	}
}

// TestEveryFamilyHasAFieldOfItsOwn: one sample of a family makes exactly one number of a target known,
// with its value, and no two families share a number.
func TestEveryFamilyHasAFieldOfItsOwn(t *testing.T) {
	owner := make(map[string]string)
	i := 0
	for d := range fields {
		i++
		s := sample(d, float64(i)+.5, "a", "x", "y", "z")
		targets := Targets([]series.Sample{s})
		if len(targets) != 1 || !targets[0].Newest.Equal(now) {
			t.Errorf("%s: %+v, want one target as new as the sample", d.Name, targets)
			continue
		}
		target := targets[0]
		target.Probe = &target.probe
		target.probe = Probe{} // seen through Probe
		*target.Probe = Targets([]series.Sample{s, sample(metric.ProbeSuccess, 1, "a")})[0].probe
		got := make(map[string]float64)
		numbers("", reflect.ValueOf(target), got)
		for path := range got {
			if strings.HasPrefix(path, ".probe.") {
				delete(got, path)
			}
		}
		if len(got) != 1 {
			t.Errorf("%s sets %v, want one number", d.Name, got)
			continue
		}
		for path, v := range got {
			if strings.HasPrefix(path, ".Folders.") {
				path = target.Folders[0].Kind + path
			}
			if v != s.Value {
				t.Errorf("%s: %s = %v, want %v", d.Name, path, v, s.Value)
			}
			if other := owner[path]; other != "" {
				t.Errorf("%s and %s both set %s", d.Name, other, path)
			}
			owner[path] = d.Name
		}
	}
}

// TestWhatIsNotANumber: the families that are not one number of a target have their own place, and
// those that are not of a target have none.
func TestWhatIsNotANumber(t *testing.T) {
	targets := Targets([]series.Sample{
		sample(metric.MemoryLimitInfo, 1, "a", "cgroup_v2", "rss"),
		sample(metric.AppValue, 2, "a", "sessions"), sample(metric.AppValue, 1, "a", "jobs"),
		sample(metric.HeapUsed, 3, "a", "node"), sample(metric.HeapUsed, 4, "a", "jvm"),
		sample(metric.CacheHitRatio, .4, "a", "c", "inferred"), sample(metric.CacheHitRatio, .6, "a", "c", "app"), sample(metric.CacheHitRatio, .5, "a", "c", "inferred"),
		sample(series.NewGauge("other", "Other.", "name"), 5, "b"),
		sample(series.NewGauge("bare", "Bare."), 6),
	})
	if len(targets) != 1 {
		t.Fatalf("%d targets, want one: what has no label target is of none", len(targets))
	}
	a := targets[0]
	if a.LimitSource != "cgroup_v2" || a.LimitBasis != "rss" {
		t.Errorf("limit from %q, %q", a.LimitSource, a.LimitBasis)
	}
	if !slices.Equal(a.AppValues, []AppValue{{"jobs", 1}, {"sessions", 2}}) {
		t.Errorf("values of the application %v, want them by name", a.AppValues)
	}
	if len(a.Heaps) != 2 || a.Heaps[0].Runtime != "jvm" || *a.Heaps[0].UsedBytes != 4 {
		t.Errorf("heaps %+v, want them by runtime", a.Heaps)
	}
	if got := *a.Caches[0].HitRatio; got != .6 {
		t.Errorf("hit ratio %v, want what the application counted, whatever comes after it", got)
	}
	// A family that no report has is not a sign of life.
	unknown := Targets([]series.Sample{sample(series.NewGauge("x", "X.", "target"), 1, "a")})
	if len(unknown) != 1 || !unknown[0].Newest.Equal(time.Time{}) {
		t.Errorf("%+v", unknown)
	}
}

// TestSums: a report adds up heaps, caches and folders of temporary files, leaves out what is not known
// of some, and says nothing where nothing is known.
func TestSums(t *testing.T) {
	r := Targets([]series.Sample{
		sample(metric.HeapUsed, 1<<20, "a", "jvm"), sample(metric.HeapUsed, 2<<20, "a", "node"), sample(metric.HeapUsed, math.NaN(), "a", "ruby"),
		sample(metric.HeapLimit, 8<<20, "a", "node"),
		sample(metric.CacheEntries, 3, "a", "c"), sample(metric.CacheEntries, 4, "a", "d"), sample(metric.CacheSize, 1<<10, "a", "c"),
		sample(metric.CacheHitRatio, .876, "a", "c", "app"),
		sample(metric.TempFiles, 5, "a", "t"), sample(metric.TempFiles, 6, "a", "u"), sample(metric.TempSize, 7, "a", "u"),
	})[0].Report()
	raw, err := json.Marshal(r.Raw)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"heap_used_bytes":3145728,"heap_limit_bytes":8388608,"cache_entries":7,"cache_size_bytes":1024,"cache_hit_ratio":0.876,"temp_files":11,"temp_size_bytes":7}`
	if string(raw) != want {
		t.Errorf("raw %s\nwant %s", raw, want)
	}
	if r.Memory.HeapUsed != "3MB" || *r.Cache.Entries != 7 || r.Cache.Size != "1KB" || r.Cache.HitRate != "88%" {
		t.Errorf("%+v %+v", r.Memory, r.Cache)
	}
	// Two shares have no sum.
	r = Targets([]series.Sample{sample(metric.CacheHitRatio, .5, "a", "c", "app"), sample(metric.CacheHitRatio, .7, "a", "d", "app")})[0].Report()
	if r.Raw.CacheHitRatio != nil || r.Cache.HitRate != "" || r.Cache.Size != "" || r.Cache.Entries != nil {
		t.Errorf("two hit ratios: %+v %+v", r.Raw, r.Cache)
	}
	// The host has no sum of RSS.
	if r = Targets([]series.Sample{sample(metric.MemoryUsed, 1<<30, "host")})[0].Report(); r.Memory.RSS != "1GB" {
		t.Errorf("rss of the host %q", r.Memory.RSS)
	}
}

// TestNoReportFails: whatever a family is, infinite or not a number, the report is JSON.
func TestNoReportFails(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e300} {
		for _, d := range metric.Descs() {
			if len(d.Labels) == 0 || d.Labels[0] != "target" || d == metric.MemoryLevel {
				continue
			}
			for _, target := range Targets([]series.Sample{sample(d, v, "a", "x", "y", "z")}) {
				if _, err := json.Marshal(target.Report()); err != nil {
					t.Errorf("%s = %v: %v", d.Name, v, err)
				}
			}
		}
	}
}

// TestRoughly: a span is written in the unit that people would use.
func TestRoughly(t *testing.T) {
	for _, tt := range []struct {
		seconds float64
		want    string
	}{{0, "0 s"}, {89, "89 s"}, {90, "2 min"}, {89 * 60, "89 min"}, {90 * 60, "1.5 h"}, {23.94 * 3600, "23.9 h"}} {
		if got := roughly(tt.seconds); got != tt.want {
			t.Errorf("%v s are %q, want %q", tt.seconds, got, tt.want)
		}
	}
	if got := sizeText(nil); got != "its space" {
		t.Errorf("a size that is not known is %q", got)
	}
}

// TestTrendPriority: what is far away, falling or endless is not a recommendation, and it is urgent within an
// hour.
func TestTrendPriority(t *testing.T) {
	f := func(growth, left float64, want string) {
		t.Helper()
		targets := Targets(append(user("a"), sample(metric.MemoryGrowth, growth, "a"), sample(metric.MemoryExhaustion, left, "a")))
		r := targets[0].Recommendations[0]
		if got := r.Priority + strings.TrimPrefix(r.Action, "Memory reaches its limit"); len(targets[0].Recommendations) != 1 || !strings.HasPrefix(got, want) {
			t.Errorf("growth %v, %v s left: %q, want %q", growth, left, got, want)
		}
	}
	mb := float64(1 << 20)
	const none = "lowSystem operating normally"
	f(mb/60, 3599, "high in 60 min at 1MiB/min")
	f(mb/60, 3600, "medium in 60 min at 1MiB/min")
	f(mb/60, 24*3600-1, "medium in 24.0 h at 1MiB/min")
	f(mb/60, 24*3600, none)
	f(0, 60, none)
	f(-mb, 60, none)
	f(mb, math.Inf(1), none)
}

// TestLevels: a level is a recommendation from warning on, urgent from critical on, and needs both
// numbers that it speaks of.
func TestLevels(t *testing.T) {
	for level, want := range []string{low, medium, high, high} {
		r := Targets(append(user("a"), sample(metric.MemoryLevel, float64(level), "a")))[0].Recommendations
		if len(r) != 1 || r[0].Priority != want || level > 0 && !strings.Contains(r[0].Action, "("+series.Level(level).String()+")") {
			t.Errorf("level %d: %v, want priority %s", level, r, want)
		}
	}
	r := Targets([]series.Sample{sample(metric.MemoryLevel, 3, "a"), sample(metric.MemoryUsed, 1, "a")})[0].Recommendations
	if fmt.Sprint(r) != "[{low System operating normally}]" {
		t.Errorf("without a limit: %v", r)
	}
	over := Targets([]series.Sample{sample(metric.MemoryLevel, 3, "a"), sample(metric.MemoryUsed, 3<<20, "a"), sample(metric.MemoryLimit, 2<<20, "a")})[0].Recommendations
	if len(over) != 1 || over[0].Action != "Memory is at 150% (emergency): 0B of 2MiB are left before the limit; shed load, or raise the limit" {
		t.Errorf("above the limit: %v", over)
	}
}
