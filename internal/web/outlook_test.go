package web

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
)

// TestOutlook: the page and the report say when a target that leaks reaches its limit, and that it is not known yet where two
// hours are all there is.
func TestOutlook(t *testing.T) {
	var outlook trend.Outlook
	f := newFixture(t, func(o *Options) { o.Growth = func(string) trend.Outlook { return outlook } })
	f.now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	f.sample(f.now, .5, series.LevelNormal)
	var b series.Batch
	see := func(confidence float64) (page string, report map[string]any) {
		t.Helper()
		b.Reset(f.now)
		b.Set(metric.MemoryGrowth, 3000, "app")
		b.Set(metric.MemoryExhaustion, 90000, "app")
		b.Set(metric.MemoryGrowthConfidence, confidence, "app")
		f.store.Commit(&b)
		var got struct {
			Outlook map[string]any
		}
		if err := json.Unmarshal(f.do("GET", "/health/memory", nil, "").Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return f.do("GET", "/target/app", nil, "").Body.String(), got.Outlook
	}
	const unsure = "whether it leaks is not known yet"
	if page, report := see(.2); !strings.Contains(page, unsure) || report != nil {
		t.Errorf("of two hours: noted %v, %v", strings.Contains(page, unsure), report)
	}
	outlook.Estimate = trend.Estimate{Known: true, Growing: true, PerSecond: 12 << 20 / 3600., Confidence: .9}
	outlook.At = f.now.Add(15*time.Hour + 40*time.Minute)
	outlook.Earliest, outlook.Latest = outlook.At.Add(-50*time.Minute), outlook.At.Add(90*time.Minute)
	const want = "It grows by 12MiB/h and reaches its limit on Tuesday about 03:40 UTC (between 02:50 and 05:10)."
	page, report := see(.9)
	if !strings.Contains(page, want) || strings.Contains(page, unsure) {
		t.Errorf("the page does not say %q, or that it is not known", want)
	}
	if text, ok := report["text"].([]any); !ok || len(text) != 1 || text[0] != want || report["reaches_limit"] != "2026-11-24T03:40:00Z" {
		t.Errorf("%v", report)
	}
}
