package health

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
	"github.com/spillway-exporter/spillway_exporter/internal/verdict"
)

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	raw, err := os.Open("../../docs/health.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	doc, err := jsonschema.UnmarshalJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("health.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("health.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchema holds what is published against the form that the first user's programs read, and
// what is answered against both.
func TestSchema(t *testing.T) {
	s := schema(t)
	check := func(text []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(v)
	}
	good := map[string]string{
		"the first user's": `{"memory":{"rss":"512MB","heapUsed":"256MB","percentage":"45.2%","level":"normal"},"cache":{"entries":234,"size":"456MB","hitRate":"87%"},"recommendations":[{"priority":"low","action":"System operating normally"}]}`,
		"several":          `{"targets":{"a":{"memory":{},"recommendations":[{"priority":"low","action":"x"}],"raw":{},"target":"a"}}}`,
	}
	for name, text := range good {
		if err := check([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := map[string]string{
		"a size as a number":    `{"memory":{"rss":512},"recommendations":[{"priority":"low","action":"x"}]}`,
		"a size with a space":   `{"memory":{"rss":"512 MB"},"recommendations":[{"priority":"low","action":"x"}]}`,
		"an unknown level":      `{"memory":{"level":"fine"},"recommendations":[{"priority":"low","action":"x"}]}`,
		"no recommendation":     `{"memory":{},"recommendations":[]}`,
		"a verdict of no kind":  `{"memory":{},"recommendations":[{"priority":"low","action":"x"}],"verdicts":[{"state":"fine","about":"heap","text":"x","since":"2026-01-02T15:04:05Z","numbers":{}}]}`,
		"something no one said": `{"memory":{},"recommendations":[{"priority":"low","action":"x"}],"extra":1}`,
	}
	for name, text := range bad {
		if err := check([]byte(text)); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	targets := Targets([]series.Sample{
		sample(metric.Processes, 2, "a"), sample(metric.MemoryResident, 512<<20, "a"), sample(metric.MemoryUsed, .452*(1<<30), "a"),
		sample(metric.MemoryLimit, 1<<30, "a"), sample(metric.MemoryUsedRatio, .452, "a"), sample(metric.MemoryLevel, 0, "a"),
		sample(metric.MemoryGrowth, -3.5, "a"), sample(metric.MemoryGrowthConfidence, .4, "a"), sample(metric.HeapUsed, 256<<20, "a", "node"),
		sample(metric.CacheEntries, 234, "a", "media"), sample(metric.CacheSize, 456<<20, "a", "media"), sample(metric.CacheHitRatio, .874, "a", "media", "app"),
		sample(metric.TempFiles, 655, "a", "tts"), sample(metric.TempSize, 1.5*(1<<30), "a", "tts"),
		sample(metric.Processes, 0, "down"),
		sample(metric.ThresholdRatio, .7, "unknown", metric.SignalMemory, "warning"),
	})
	targets[0].Verdicts = []verdict.Verdict{{State: verdict.NotKnown, About: "heap", Text: "Not known yet: x", Since: now, Numbers: map[string]float64{"collections": 3}}}
	at := time.Date(2026, 1, 6, 3, 40, 0, 0, time.UTC)
	targets[0].Outlook = OutlookOf(&trend.Outlook{Estimate: trend.Estimate{Known: true, Growing: true, PerSecond: 3500, Confidence: .93}, Forecast: trend.Forecast{At: at, Earliest: at.Add(-time.Hour)}}, at.Add(-time.Hour))
	if o := targets[0].Outlook; o == nil || o.Reaches != "2026-01-06T03:40:00Z" || o.Latest != "" || !targets[0].Unproven() || targets[1].Unproven() {
		t.Errorf("the outlook is %+v", o)
	}
	if o := OutlookOf(&trend.Outlook{}, at); o != nil {
		t.Errorf("of nothing the outlook is %+v", o)
	}
	if len(targets) != 3 {
		t.Fatalf("%d targets", len(targets))
	}
	all := map[string]Report{}
	for i := range targets {
		r := targets[i].Report()
		all[r.Target] = r
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(text); err != nil {
			t.Errorf("%s: %v\n%s", r.Target, err, text)
		}
	}
	if m, c := all["a"].Memory, all["a"].Cache; m != (MemoryReport{"512MB", "256MB", "45.2%", "normal"}) || *c.Entries != 234 || c.Size != "456MB" || c.HitRate != "87%" {
		t.Errorf("the first user's numbers give %+v %+v", m, c)
	}
	text, err := json.Marshal(map[string]any{"targets": all})
	if err != nil {
		t.Fatal(err)
	}
	if err := check(text); err != nil {
		t.Error(err)
	}
}
