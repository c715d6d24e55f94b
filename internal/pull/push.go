package pull

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
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
	pushIdle       = time.Minute            // an Alertmanager that was sent nothing for so long is asked whether it takes alerts
	pushBackoff    = time.Second            // after the first failure, then twice as long each time
	pushMaxBackoff = time.Minute            // between two attempts at a server that fails
	pushBatch      = 256                    // alerts in one request, as Prometheus sends
	pushWaiting    = 10_000                 // alerts that wait for one server; more are dropped and counted
	pushLast       = 700 * time.Millisecond // for what waits when the exporter shuts down
	// pushLasts is after how long without a repeat a firing alert ends by itself: four repeats, as in Prometheus.
	pushLasts = 4 * time.Minute
)

// PushOptions configure a Pusher. Config and Logger are required.
type PushOptions struct {
	Config  Config
	Metrics *Metrics // default: not published
	Logger  *slog.Logger
	Now     func() time.Time // default time.Now
	Jitter  func() float64   // in [0, 1); default rand.Float64
}

// Pusher sends alerts to every Alertmanager of push. Each has its own goroutine, so that one that does
// not answer holds up none of the others, and never the one who offers.
type Pusher struct {
	opts  PushOptions
	sinks []*sink
}

// sink is one Alertmanager that alerts are sent to.
type sink struct {
	opts    *PushOptions
	address string
	client  *client
	wake    chan struct{}

	mu      sync.Mutex
	waiting map[string]pushedAlert // by fingerprint: what it has not taken yet

	// Of the goroutine that sends.
	failures int
	failing  bool // said in the log
	next     time.Time
	last     time.Time // of the last request
}

// pushedAlert is an alert as Alertmanager's API takes it.
type pushedAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`

	fingerprint string
	firing      bool
}

// NewPusher returns a Pusher. The error says why the certificates of the configuration cannot be read.
func NewPusher(o PushOptions) (*Pusher, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	p := &Pusher{opts: o}
	for _, address := range o.Config.Push {
		address = serverAddress(address)
		c, err := newClient(&o.Config, pushURL(address))
		if err != nil {
			return nil, fmt.Errorf("alertmanager %s: %w", fetch.PublicURL(address), err)
		}
		p.sinks = append(p.sinks, &sink{opts: &p.opts, address: address, client: c, wake: make(chan struct{}, 1), waiting: make(map[string]pushedAlert)})
	}
	return p, nil
}

// Offer takes alerts to be sent. What is newer about an alert replaces what waits. It never blocks.
func (p *Pusher) Offer(alerts []alert.Alert) {
	now := p.opts.Now()
	for _, s := range p.sinks {
		s.offer(alerts, now)
	}
}

func (s *sink) offer(alerts []alert.Alert, now time.Time) {
	s.mu.Lock()
	dropped := 0
	for i := range alerts {
		a := &alerts[i]
		if _, known := s.waiting[a.Fingerprint]; !known && len(s.waiting) >= pushWaiting {
			dropped++
			continue
		}
		w := pushedAlert{
			Labels: withoutEmpty(a.Labels), Annotations: a.Annotations, StartsAt: a.StartsAt, EndsAt: a.EndsAt, GeneratorURL: a.GeneratorURL,
			fingerprint: a.Fingerprint, firing: a.Status == alert.StatusFiring,
		}
		if w.firing {
			w.EndsAt = now.Add(pushLasts).UTC()
		}
		s.waiting[a.Fingerprint] = w
	}
	s.mu.Unlock()
	if dropped > 0 {
		s.opts.Metrics.pushed.WithLabelValues(s.address, outcomeDropped).Add(float64(dropped))
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// withoutEmpty leaves out labels without a value, which are not labels and which the API refuses.
func withoutEmpty(labels map[string]string) map[string]string {
	out := make(map[string]string, len(labels))
	for k, v := range labels {
		if v != "" {
			out[k] = v
		}
	}
	return out
}

// Run sends until ctx ends, and then once more what still waits.
func (p *Pusher) Run(ctx context.Context) {
	p.born()
	var wg sync.WaitGroup
	for _, s := range p.sinks {
		wg.Go(func() { s.run(ctx) })
	}
	wg.Wait()
}

func (s *sink) run(ctx context.Context) {
	defer s.client.close()
	timer := time.NewTimer(0) // at once: whether it can be reached is known before the first alert
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.sendLast(ctx)
			return
		case <-s.wake:
		case <-timer.C:
		}
		timer.Reset(s.send(ctx))
	}
}

// sendLast gives what waits one last chance: an alert that ended with the exporter's work is not
// announced for minutes.
func (s *sink) sendLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pushLast)
	defer cancel()
	now := s.opts.Now()
	if batch := s.due(now); len(batch) > 0 {
		s.post(ctx, batch, now)
	}
}

// send posts what waits, in batches, and returns when there is something to do again.
func (s *sink) send(ctx context.Context) time.Duration {
	now := s.opts.Now()
	if wait := s.next.Sub(now); wait > 0 && wait <= pushMaxBackoff {
		return wait
	}
	for ctx.Err() == nil {
		batch := s.due(now)
		if len(batch) == 0 && now.Sub(s.last) < pushIdle && !s.failing {
			return pushIdle - now.Sub(s.last)
		}
		if !s.post(ctx, batch, now) {
			break
		}
		if len(batch) < pushBatch {
			return pushIdle
		}
	}
	return max(s.next.Sub(now), pushBackoff/2)
}

// due returns the next batch, what fires first, and forgets alerts that waited for so long that the
// Alertmanager has let them end.
func (s *sink) due(now time.Time) []pushedAlert {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]pushedAlert, 0, min(len(s.waiting), pushBatch))
	expired := 0
	for f, a := range s.waiting {
		if a.firing && a.EndsAt.Before(now) {
			delete(s.waiting, f)
			expired++
			continue
		}
		out = append(out, a)
	}
	if expired > 0 {
		s.opts.Metrics.pushed.WithLabelValues(s.address, outcomeDropped).Add(float64(expired))
	}
	slices.SortFunc(out, func(a, b pushedAlert) int {
		return cmp.Or(-compareBool(a.firing, b.firing), strings.Compare(a.fingerprint, b.fingerprint))
	})
	return out[:min(len(out), pushBatch)]
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// post sends one batch; an empty one only asks whether the server takes alerts. It reports whether the
// next may follow.
func (s *sink) post(ctx context.Context, batch []pushedAlert, now time.Time) bool {
	limited, cancel := context.WithTimeout(ctx, s.opts.Config.Timeout.Std())
	defer cancel()
	status, err := s.client.push(limited, batch)
	if err != nil && ctx.Err() != nil {
		return false
	}
	s.last = now
	m := s.opts.Metrics
	if err == nil {
		s.done(batch)
		m.pushed.WithLabelValues(s.address, outcomeSent).Add(float64(len(batch)))
		m.pushUp.WithLabelValues(s.address).Set(1)
		if s.failing {
			s.opts.Logger.Info("alertmanager takes alerts again", "address", fetch.PublicURL(s.address))
		}
		s.failures, s.next, s.failing = 0, time.Time{}, false
		return true
	}
	if poisoned(status) && len(batch) > 0 { // it would be refused each time, and hold up the others
		s.done(batch)
		m.pushed.WithLabelValues(s.address, outcomeDropped).Add(float64(len(batch)))
	} else {
		m.pushed.WithLabelValues(s.address, outcomeFailed).Add(float64(len(batch)))
	}
	m.pushUp.WithLabelValues(s.address).Set(0)
	if !s.failing {
		s.opts.Logger.Error("alerts cannot be sent to the alertmanager", "address", fetch.PublicURL(s.address), "alerts", len(batch), "err", err)
	}
	s.failing = true
	s.failures++
	wait := min(pushBackoff<<min(s.failures-1, 10), pushMaxBackoff)
	s.next = now.Add(wait - time.Duration(s.opts.Jitter()*float64(wait)/10))
	return false
}

// poisoned reports whether a status says that these alerts will never be taken: not that the caller
// may not, nor that it should wait.
func poisoned(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge || status == http.StatusUnprocessableEntity
}

// done forgets what was sent, unless something newer waits.
func (s *sink) done(batch []pushedAlert) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range batch {
		sent := &batch[i]
		if w := s.waiting[sent.fingerprint]; w.firing == sent.firing && w.EndsAt.Equal(sent.EndsAt) && w.StartsAt.Equal(sent.StartsAt) {
			delete(s.waiting, sent.fingerprint)
		}
	}
}

// The outcomes of alerts that are sent.
const (
	outcomeSent    = "sent"
	outcomeFailed  = "failed"
	outcomeDropped = "dropped"
)

// born creates the counters of the Alertmanagers at 0.
func (p *Pusher) born() {
	for _, s := range p.sinks {
		for _, outcome := range []string{outcomeSent, outcomeFailed, outcomeDropped} {
			p.opts.Metrics.pushed.WithLabelValues(s.address, outcome)
		}
	}
}

// pushMetrics say how sending goes.
type pushMetrics struct {
	pushed *prometheus.CounterVec
	pushUp *prometheus.GaugeVec
}

func newPushMetrics() pushMetrics {
	return pushMetrics{pushed: metric.AlertmanagerPushed.NewCounterVec(), pushUp: metric.AlertmanagerPushUp.NewGaugeVec()}
}
