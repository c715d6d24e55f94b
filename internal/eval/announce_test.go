package eval

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

const announcedRules = `
groups:
  - name: a
    rules:
      - alert: Down
        expr: spillway_processes == 0
        for: 15s
        labels: {severity: critical}
        annotations: {summary: '{{ $labels.target }} on {{ $labels.instance }} is not running'}
      - alert: Full
        expr: spillway_memory_used_ratio > 0.8
        labels: {severity: warning, playbook: relieve_memory}
        annotations: {summary: 'full'}
      - alert: Note
        expr: spillway_temp_files > 5
`

// logRig is an evaluator with its log, a line for each call without times.
func logRig(t *testing.T, rules string, change func(*Options)) (g *rig, take func() []string) {
	t.Helper()
	var log bytes.Buffer
	g = newRig(t, mustLoad(t, rules), func(o *Options) {
		o.Labels = map[string]string{"instance": "h:1"}
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		if change != nil {
			change(o)
		}
	})
	return g, func() []string {
		defer log.Reset()
		var out []string
		for line := range strings.Lines(log.String()) {
			out = append(out, strings.TrimSpace(line))
		}
		return out
	}
}

// TestAnnounced: each alert that begins or ends is one line of the log, at the level of its severity, and
// nothing is said twice however often it is sent again.
func TestAnnounced(t *testing.T) {
	g, take := logRig(t, announcedRules, nil)
	expect := func(want ...string) {
		t.Helper()
		if diff := gocmp.Diff(want, take()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	}
	g.world.set(point{"spillway_processes", []string{"target", "app"}, 0}, point{"spillway_memory_used_ratio", []string{"target", "db"}, .9}, point{"spillway_temp_files", []string{"target", "db"}, 9})
	g.at(t, 0)
	expect(
		`level=WARN msg="alert fires" alert=Full target=db severity=warning playbook=relieve_memory summary=full`,
		`level=INFO msg="alert fires" alert=Note target=db`,
	)
	g.at(t, 15*time.Second)
	expect(`level=ERROR msg="alert fires" alert=Down target=app severity=critical summary="app on h:1 is not running"`)
	for i := range 10 {
		g.at(t, time.Duration(30+15*i)*time.Second)
	}
	expect()
	g.world.set(point{"spillway_processes", []string{"target", "app"}, 1})
	g.at(t, 200*time.Second)
	expect(
		`level=INFO msg="alert resolved" alert=Down target=app severity=critical after=3m5s`,
		`level=INFO msg="alert resolved" alert=Full target=db severity=warning after=3m20s`,
		`level=INFO msg="alert resolved" alert=Note target=db after=3m20s`,
	)
	g.at(t, 215*time.Second)
	expect()
	// One that was pending and went away has not begun.
	g.world.set(point{"spillway_processes", []string{"target", "app"}, 0})
	g.at(t, 230*time.Second)
	g.world.set()
	g.at(t, 245*time.Second)
	expect()
	// One whose rule is gone ends, too.
	g.world.set(point{"spillway_temp_files", []string{"target", "db"}, 9})
	g.at(t, 260*time.Second)
	take()
	g.SetRules(mustLoad(t, "groups: [{name: b, rules: [{alert: X, expr: up == 0}]}]"))
	expect(`level=INFO msg="alert resolved" alert=Note target=db after=0s reason="its rule is no longer evaluated"`)
}

// TestAnnouncedOnceOverARestart: an alert that still fires after a restart is the same one.
func TestAnnouncedOnceOverARestart(t *testing.T) {
	var state blob
	keep := func(o *Options) { o.State = &state }
	g, take := logRig(t, announcedRules, keep)
	full := point{"spillway_memory_used_ratio", []string{"target", "db"}, .9}
	g.world.set(full)
	g.at(t, 0)
	if n := len(take()); n != 1 {
		t.Errorf("%d lines at the start of the alert", n)
	}
	g, take = logRig(t, announcedRules, keep)
	g.world.set(full)
	g.at(t, time.Minute)
	if lines := take(); len(lines) != 0 {
		t.Errorf("said again: %q", lines)
	}
	g.world.set()
	g.at(t, 2*time.Minute)
	if lines := take(); len(lines) != 1 || !strings.Contains(lines[0], "alert resolved") {
		t.Errorf("the end: %q", lines)
	}
}

// TestGeneratorURL: what is sent says where people see more.
func TestGeneratorURL(t *testing.T) {
	g := newRig(t, mustLoad(t, announcedRules), func(o *Options) { o.Page = func(target string) string { return "http://h:1/target/" + target } })
	g.world.set(point{"spillway_memory_used_ratio", []string{"target", "db"}, .9})
	g.at(t, 0)
	if got := g.inbox.batches[0].Alerts[0].GeneratorURL; got != "http://h:1/target/db" {
		t.Errorf("generator %q", got)
	}
}

// TestFailingRules: which rules fail at present is a series of its own, for an alert.
func TestFailingRules(t *testing.T) {
	g := newRig(t, mustLoad(t, `
groups:
  - name: a
    rules:
      - alert: Twice
        expr: spillway_memory_used_ratio * on (target) spillway_threshold_ratio > 0
      - alert: Fine
        expr: up == 0
`), nil)
	failing := func() string {
		families, err := g.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == metric.RuleFailing.Name {
				if n := testutil.ToFloat64(g.metrics.failing.WithLabelValues("a", "Twice")); n != 1 || len(f.GetMetric()) != 1 {
					t.Errorf("%v", f)
				}
				return "Twice"
			}
		}
		return ""
	}
	ratio := point{"spillway_memory_used_ratio", []string{"target", "db"}, .9}
	threshold := func(level string) point {
		return point{"spillway_threshold_ratio", []string{"target", "db", "level", level}, .8}
	}
	g.world.set(ratio, threshold("warning"))
	g.at(t, 0)
	if got := failing(); got != "" {
		t.Errorf("%s fails", got)
	}
	g.world.set(ratio, threshold("warning"), threshold("critical"))
	if err := g.Evaluate(t.Context(), g.base.Add(15*time.Second)); err == nil {
		t.Error("no error")
	}
	if got := failing(); got != "Twice" {
		t.Errorf("%q fails, want Twice", got)
	}
	g.world.set(ratio, threshold("warning"))
	g.at(t, 30*time.Second)
	if got := failing(); got != "" {
		t.Errorf("%s fails still", got)
	}
}
