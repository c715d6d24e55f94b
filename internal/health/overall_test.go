package health

import (
	"slices"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// TestOverall: the level of a target is the worst of all that is known of it, and what is not known is never normal.
func TestOverall(t *testing.T) {
	heap := func(ratio float64) []series.Sample {
		return []series.Sample{
			sample(metric.HeapUsedRatio, ratio, "a", "node"), sample(metric.ThresholdRatio, .7, "a", metric.SignalHeap, "warning"),
			sample(metric.ThresholdRatio, .85, "a", metric.SignalHeap, "critical"), sample(metric.ThresholdRatio, .95, "a", metric.SignalHeap, "emergency"),
		}
	}
	memory := func(l series.Level, ratio float64) []series.Sample {
		return []series.Sample{sample(metric.MemoryLevel, float64(l), "a"), sample(metric.MemoryUsedRatio, ratio, "a")}
	}
	cache := func(size float64) []series.Sample {
		return []series.Sample{sample(metric.CacheSize, size, "a", "posters"), sample(metric.CacheMaxSize, 100, "a", "posters"), sample(metric.CacheUsedRatio, size/100, "a", "posters")}
	}
	f := func(name string, samples []series.Sample, alerts []Alert, state State, want string) {
		t.Helper()
		target := Targets(samples)[0]
		target.Warn(alerts)
		got, signals := target.Overall()
		var texts []string
		for _, s := range signals {
			texts = append(texts, s.Text)
		}
		if text := strings.Join(texts, ", "); got != state || text != want {
			t.Errorf("%s: %s, %q, want %s, %q", name, got, text, state, want)
		}
	}
	f("all is well", memory(0, .4), nil, StateNormal, "")
	f("memory", memory(series.LevelCritical, .882), nil, StateCritical, "memory at 88.2%")
	f("a heap under normal memory", append(memory(0, .4), heap(.91)...), nil, StateCritical, "heap at 91.0%")
	f("a cache at 380% of its size", append(memory(0, .4), cache(380)...), nil, StateCritical, "posters at 380% of its size")
	f("a cache just above its size", append(memory(0, .4), cache(110)...), nil, StateWarning, "posters at 110% of its size")
	f("a cache at its size", append(memory(0, .4), cache(100)...), nil, StateNormal, "")
	f("files", append(memory(0, .4), sample(metric.TempFiles, 655, "a", "tts"), sample(metric.TempMaxFiles, 100, "a", "tts")), nil, StateCritical, "tts at 655% of its files")
	f("another limit", append(memory(0, .4), sample(metric.TempUsedRatio, 1.5, "a", "tts")), nil, StateWarning, "tts at 150% of its limits")
	f("uploads", append(memory(0, .4), sample(metric.UploadSize, 3, "a", "up"), sample(metric.UploadMaxSize, 2, "a", "up")), nil, StateWarning, "up at 150% of its size")
	f("a probe", append(memory(0, .4), sample(metric.ProbeSuccess, 0, "a"), sample(metric.ProbeStatus, 503, "a")), nil, StateCritical, "probe failing: HTTP 503")
	f("a probe without an answer", append(memory(0, .4), sample(metric.ProbeSuccess, 0, "a")), nil, StateCritical, "probe failing: no answer")
	f("alerts", memory(0, .4), []Alert{{"Slow", "warning", ""}, {"Kill", "critical", ""}, {"Note", "info", ""}}, StateCritical, "Kill fires, Slow fires")
	f("what is worse comes first", append(memory(series.LevelWarning, .72), cache(380)...), nil, StateCritical, "posters at 380% of its size, memory at 72.0%")
	f("down", append(memory(0, .4), sample(metric.Processes, 0, "a")), nil, StateDown, "no process is running")
	f("no limit", []series.Sample{sample(metric.Processes, 2, "a"), sample(metric.MemoryResident, 5, "a")}, nil, StateUnknown, "no limit is known")
	if got := (&Target{Name: Overflow}).noLimit(); got != "all other processes: they have no limit" {
		t.Errorf("what discovery does not show: %q", got)
	}
	f("a source that cannot be read", append(memory(0, .4), sample(metric.SourceSuccess, 0, "heap", "a", "")), nil, StateUnknown, "heap cannot be read")
	f("only a cache", cache(50), nil, StateNormal, "")
}

// TestUnknownIsNotNormal: where no level is known it is not said that all is well.
func TestUnknownIsNotNormal(t *testing.T) {
	r := Targets([]series.Sample{sample(metric.Processes, 2, "a"), sample(metric.MemoryResident, 5, "a")})[0].Recommendations
	if slices.ContainsFunc(r, func(r Recommendation) bool { return r.Action == normal }) || !strings.Contains(r[0].Action, "The level of a is not known") {
		t.Errorf("%v", r)
	}
}
