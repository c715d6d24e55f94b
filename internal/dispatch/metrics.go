package dispatch

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// noAction and otherTarget are the label values for names that are not configured, so that a sender
// cannot create series.
const (
	noAction    = "none"
	otherTarget = "_other"
)

var dispositions = []string{
	alert.Accepted, alert.Duplicate, alert.Cooldown, alert.NoPlaybook, alert.NotOurs, alert.Resolved, alert.Refused,
}

type metrics struct {
	runs     *prometheus.CounterVec
	playbook *prometheus.CounterVec
	skips    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	freed    *prometheus.CounterVec
	removed  *prometheus.CounterVec
	skipped  *prometheus.CounterVec
	last     *prometheus.GaugeVec
	alerts   *prometheus.CounterVec

	expected map[[2]string]bool // target and action of the counters that exist before the first run
}

func newMetrics(reg prometheus.Registerer, queued func() float64) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		runs:     counter("spillway_action_runs_total", "Completed action runs, by outcome.", "target", "action", "trigger", "outcome"),
		playbook: counter("spillway_playbook_runs_total", "Completed playbook runs, by outcome.", "target", "playbook", "trigger", "outcome"),
		skips:    counter("spillway_action_skips_total", "Alert-triggered actions that were skipped, by reason.", "target", "action", "reason"),
		freed:    counter("spillway_action_freed_bytes_total", "Disk space freed by an action, in allocated bytes.", "target", "action"),
		removed:  counter("spillway_action_removed_files_total", "Files removed by an action.", "target", "action"),
		skipped:  counter("spillway_action_skipped_files_total", "Files due for removal that were left in place, by reason.", "target", "action", "reason"),
		alerts:   counter("spillway_webhook_alerts_total", "Alerts received through the webhook, by disposition.", "disposition"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "spillway_action_duration_seconds", Help: "Duration of an action run.",
			Buckets: []float64{.01, .05, .25, 1, 5, 15, 60, 300}, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 40,
			NativeHistogramMinResetDuration: time.Hour,
		}, []string{"action"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "spillway_action_last_run_timestamp_seconds", Help: "Time at which an action last ended, as a Unix timestamp.",
		}, []string{"target", "action"}),
	}
	for _, d := range dispositions {
		m.alerts.WithLabelValues(d)
	}
	if reg != nil {
		reg.MustRegister(m.runs, m.playbook, m.skips, m.freed, m.removed, m.skipped, m.alerts, m.duration, m.last,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "spillway_dispatch_queue_length", Help: "Runs that are recorded and have not started.",
			}, queued))
	}
	return m
}

// removers are the actions that free files or space.
var removers = []string{ActionCleanTemp, ActionEvictCache, ActionEnforceUploads, ActionRotateLogs}

// expect creates the counters of what the targets' actions may free, at 0, so that Prometheus sees
// the first run as an increase. Counters of targets that are gone are deleted if they are still 0. It
// must not be called concurrently.
func (m *metrics) expect(targets map[string]Target) {
	before := m.expected
	m.expected = make(map[[2]string]bool)
	for _, t := range targets {
		for _, name := range removers {
			if t.Actions[name] == nil {
				continue
			}
			m.expected[[2]string{t.Name, name}] = true
			m.removed.WithLabelValues(t.Name, name)
			m.freed.WithLabelValues(t.Name, name)
		}
	}
	for key := range before {
		if m.expected[key] {
			continue
		}
		for _, c := range []*prometheus.CounterVec{m.removed, m.freed} {
			if isZero(c.WithLabelValues(key[0], key[1])) {
				c.DeleteLabelValues(key[0], key[1])
			}
		}
	}
}

func isZero(c prometheus.Counter) bool {
	var out dto.Metric
	return c.Write(&out) == nil && out.GetCounter().GetValue() == 0
}

// ended counts one run of an action. Files and bytes of a dry run are not counted.
func (m *metrics) ended(r *run, name string, res action.Result, took time.Duration, now time.Time) {
	m.runs.WithLabelValues(r.target, name, string(r.trigger), string(res.Outcome)).Inc()
	m.duration.WithLabelValues(name).Observe(took.Seconds())
	m.last.WithLabelValues(r.target, name).Set(float64(now.UnixMilli()) / 1000)
	if res.Outcome == action.DryRun {
		return
	}
	if res.Files > 0 {
		m.removed.WithLabelValues(r.target, name).Add(float64(res.Files))
	}
	if res.FreedBytes > 0 {
		m.freed.WithLabelValues(r.target, name).Add(float64(res.FreedBytes))
	}
	for reason, n := range res.Skipped {
		if n > 0 {
			m.skipped.WithLabelValues(r.target, name, reason).Add(float64(n))
		}
	}
}
