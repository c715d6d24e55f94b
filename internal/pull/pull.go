package pull

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

const (
	repeatAfter = time.Minute     // an alert that still fires is submitted again after this
	maxBackoff  = 5 * time.Minute // between two attempts at a server that fails
	receiver    = "pull"

	outcomeOK    = "ok"
	outcomeError = "error"
)

// Options configure a Puller. Config, Instance, Submit and Logger are required.
type Options struct {
	Config   Config
	Instance string // the label of this exporter's alerts
	Submit   func(ctx context.Context, b alert.Batch) ([]alert.Disposition, error)
	Metrics  *Metrics // default: not published
	Logger   *slog.Logger
	Now      func() time.Time // default time.Now
	Jitter   func() float64   // in [0, 1); default rand.Float64
}

// Puller polls the members of one cluster. Run is its only goroutine.
type Puller struct {
	opts    Options
	servers []*server
	active  map[string]*told // by fingerprint: what fired at the last poll
}

// told is an alert as it was last submitted.
type told struct {
	alert alert.Alert
	at    time.Time // of the last Submit that took it; zero when none did
}

// server is one member of the cluster.
type server struct {
	address  string // as configured, without a trailing slash
	client   *client
	failures int
	next     time.Time // not asked before this
	failing  bool      // said in the log
}

// answer is what a server said.
type answer struct {
	server *server
	alerts []alert.Alert
	err    error
}

// New returns a Puller. The error says why the secrets of the configuration cannot be read.
func New(o Options) (*Puller, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	p := &Puller{opts: o, active: make(map[string]*told)}
	for _, address := range o.Config.Pull {
		address = serverAddress(address)
		c, err := newClient(&o.Config, pullURL(address, o.Instance))
		if err != nil {
			return nil, fmt.Errorf("alertmanager %s: %w", fetch.PublicURL(address), err)
		}
		p.servers = append(p.servers, &server{address: address, client: c})
	}
	return p, nil
}

// Run polls until ctx ends. The first poll comes at a random moment of the first interval, so that
// many hosts that start together do not ask together.
func (p *Puller) Run(ctx context.Context) {
	defer func() {
		for _, s := range p.servers {
			s.client.close()
		}
	}()
	for _, outcome := range []string{outcomeOK, outcomeError} {
		p.opts.Metrics.requests.WithLabelValues(outcome) // born at 0
	}
	interval := p.opts.Config.Interval.Std()
	timer := time.NewTimer(time.Duration(p.opts.Jitter() * float64(interval)))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		p.poll(ctx)
		timer.Reset(interval)
	}
}

// poll asks every server that is due and says what is new.
func (p *Puller) poll(ctx context.Context) {
	now := p.opts.Now()
	var due []*server
	for _, s := range p.servers {
		if !now.Before(s.next) {
			due = append(due, s)
		}
	}
	answers := make([]answer, len(due))
	var wg sync.WaitGroup
	for i, s := range due {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, p.opts.Config.Timeout.Std())
			defer cancel()
			alerts, err := s.client.alerts(ctx)
			answers[i] = answer{s, alerts, err}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return
	}
	answered := false
	firing := make(map[string]alert.Alert)
	for _, a := range answers {
		p.note(&a, now)
		if a.err != nil {
			continue
		}
		answered = true
		for _, one := range a.alerts {
			// Two members can differ in when it began: the earlier one has seen it first.
			if other, known := firing[one.Fingerprint]; !known || one.StartsAt.Before(other.StartsAt) {
				firing[one.Fingerprint] = one
			}
		}
	}
	if answered { // else no one knows what fires
		p.tell(ctx, firing, now)
	}
}

// note counts an answer and decides when the server is asked again.
func (p *Puller) note(a *answer, now time.Time) {
	s, m := a.server, p.opts.Metrics
	if a.err == nil {
		m.requests.WithLabelValues(outcomeOK).Inc()
		m.up.WithLabelValues(s.address).Set(1)
		if s.failing {
			p.opts.Logger.Info("alertmanager answers again", "address", fetch.PublicURL(s.address))
		}
		s.failures, s.next, s.failing = 0, time.Time{}, false
		return
	}
	m.requests.WithLabelValues(outcomeError).Inc()
	m.up.WithLabelValues(s.address).Set(0)
	if !s.failing {
		p.opts.Logger.Warn("alertmanager cannot be polled", "address", fetch.PublicURL(s.address), "err", a.err)
	}
	s.failing = true
	s.failures++
	wait := min(p.opts.Config.Interval.Std()<<min(s.failures-1, 10), maxBackoff)
	// Up to a tenth less, so that hosts that lost the server together do not come back together.
	s.next = now.Add(wait - time.Duration(p.opts.Jitter()*float64(wait)/10))
}

// tell submits what is new, what fires for long, and what fires no more.
func (p *Puller) tell(ctx context.Context, firing map[string]alert.Alert, now time.Time) {
	p.opts.Metrics.firing.WithLabelValues().Set(float64(len(firing)))
	p.opts.Metrics.success.WithLabelValues().Set(float64(now.UnixMilli()) / 1000)
	var batch []alert.Alert
	for fingerprint, a := range firing {
		t := p.active[fingerprint]
		if t == nil {
			t = &told{}
			p.active[fingerprint] = t
		}
		// The time at which it began is kept from the first poll on, although another member may
		// be asked later that remembers it differently.
		if !t.alert.StartsAt.IsZero() && now.Sub(t.at) < repeatAfter {
			continue
		}
		if t.alert.StartsAt.IsZero() {
			t.alert = a
		}
		batch = append(batch, t.alert)
	}
	for fingerprint, t := range p.active {
		if _, fires := firing[fingerprint]; !fires {
			resolved := t.alert
			resolved.Status, resolved.EndsAt = alert.StatusResolved, now
			batch = append(batch, resolved)
		}
	}
	if len(batch) == 0 {
		return
	}
	slices.SortFunc(batch, func(a, b alert.Alert) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	_, err := p.opts.Submit(ctx, alert.Batch{Trigger: alert.TriggerPull, Receiver: receiver, Alerts: batch})
	if err != nil { // the next poll submits all of it again
		if !errors.Is(err, context.Canceled) {
			p.opts.Logger.Warn("polled alerts were refused", "alerts", len(batch), "err", err)
		}
		return
	}
	for _, a := range batch {
		if a.Status == alert.StatusResolved {
			delete(p.active, a.Fingerprint)
			continue
		}
		p.active[a.Fingerprint].at = now
	}
}

// Metrics say how the polling goes. They outlive a Puller.
type Metrics struct {
	requests *prometheus.CounterVec
	up       *prometheus.GaugeVec
	firing   *prometheus.GaugeVec // without labels: absent until a server has answered
	success  *prometheus.GaugeVec
	pushMetrics
}

// NewMetrics returns the metrics and registers them; with nil they are not published.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: metric.AlertmanagerRequests.NewCounterVec(),
		up:       metric.AlertmanagerUp.NewGaugeVec(),
		firing:   metric.AlertmanagerAlerts.NewGaugeVec(),
		success:  metric.AlertmanagerLastSuccess.NewGaugeVec(),

		pushMetrics: newPushMetrics(),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.up, m.firing, m.success, m.pushed, m.pushUp)
	}
	return m
}

// Forget drops what an earlier configuration has brought.
func (m *Metrics) Forget() {
	m.up.Reset()
	m.firing.Reset()
	m.success.Reset()
	m.pushUp.Reset()
}
