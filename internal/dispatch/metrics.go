package dispatch

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// noAction and otherTarget are the label values for names that are not configured, so that a sender
// cannot create series.
const (
	noAction    = "none"
	otherTarget = "_other"
)

var dispositions = []string{
	alert.Accepted, alert.Duplicate, alert.Cooldown, alert.Waiting, alert.Paused, alert.Closed, alert.NeedsHuman, alert.Proposed, alert.Denied, alert.NoPlaybook, alert.NotOurs, alert.Resolved, alert.Refused,
}

type metrics struct {
	runs     *prometheus.CounterVec
	playbook *prometheus.CounterVec
	skips    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	freed    *prometheus.CounterVec
	lost     *prometheus.CounterVec
	removed  *prometheus.CounterVec
	skipped  *prometheus.CounterVec
	reaction *prometheus.HistogramVec
	last     *prometheus.GaugeVec
	alerts   *prometheus.CounterVec

	proposals *prometheus.CounterVec

	expected map[bornCounter]bool // that exist before the first run
}

func newMetrics(reg prometheus.Registerer, queued, waiting func() float64) *metrics {
	m := &metrics{
		runs:      metric.ActionRuns.NewCounterVec(),
		playbook:  metric.PlaybookRuns.NewCounterVec(),
		skips:     metric.ActionSkips.NewCounterVec(),
		freed:     metric.ActionFreed.NewCounterVec(),
		lost:      metric.ActionLost.NewCounterVec(),
		removed:   metric.ActionRemovedFiles.NewCounterVec(),
		skipped:   metric.ActionSkippedFiles.NewCounterVec(),
		alerts:    metric.WebhookAlerts.NewCounterVec(),
		proposals: metric.ProposalOutcomes.NewCounterVec(),
		duration: metric.ActionDuration.NewHistogramVec(prometheus.HistogramOpts{
			Buckets: []float64{.01, .05, .25, 1, 5, 15, 60, 300}, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 40,
			NativeHistogramMinResetDuration: time.Hour,
		}),
		reaction: metric.Reaction.NewHistogramVec(prometheus.HistogramOpts{
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30, 60},
		}),
		last: metric.ActionLastRun.NewGaugeVec(),
	}
	for _, l := range []series.Level{series.LevelWarning, series.LevelCritical, series.LevelEmergency} {
		m.reaction.WithLabelValues(l.String())
	}
	for _, d := range dispositions {
		m.alerts.WithLabelValues(d)
	}
	if reg != nil {
		reg.MustRegister(m.runs, m.playbook, m.skips, m.freed, m.lost, m.removed, m.skipped, m.alerts, m.proposals, m.duration, m.reaction, m.last, metric.QueueLength.NewGaugeFunc(queued), metric.WaitingRuns.NewGaugeFunc(waiting))
	}
	return m
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
	if res.LostBytes > 0 {
		m.lost.WithLabelValues(r.target, name).Add(float64(res.LostBytes))
	}
	for reason, n := range res.Skipped {
		if n > 0 {
			m.skipped.WithLabelValues(r.target, name, reason).Add(float64(n))
		}
	}
}
