package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The defaults of a ProbeConfig: the figures of a service that is well.
const (
	defaultMaxResponse = 200 * time.Millisecond
	defaultMaxStartup  = 10 * time.Second
)

// ProbeConfig is the yaml key `probe` of a target: an HTTP GET that tells whether the service is
// well.
type ProbeConfig struct {
	fetch.Endpoint `yaml:",inline"`
	ValidStatus    []int          `yaml:"valid_status"` // statuses that count as success; without it 200 to 299
	MaxDuration    units.Duration `yaml:"max_duration"` // within which an answer should come: SpillwaySlowResponse
	MaxStartup     units.Duration `yaml:"max_startup"`  // from process start to the first good probe: SpillwaySlowStart
}

// Validate applies the defaults and reports every mistake.
func (c *ProbeConfig) Validate(report report.Func) {
	c.Endpoint.Validate(report)
	for _, s := range c.ValidStatus {
		if s < 100 || s > 599 {
			report("valid_status", "%d is not a status: write numbers from 100 to 599, such as [200, 204]", s)
		}
	}
	for _, d := range []struct {
		key  string
		at   *units.Duration
		then time.Duration
		max  time.Duration
	}{{"max_duration", &c.MaxDuration, defaultMaxResponse, time.Minute}, {"max_startup", &c.MaxStartup, defaultMaxStartup, time.Hour}} {
		if *d.at == 0 {
			*d.at = units.Duration(d.then)
		}
		if d.at.Std() < time.Millisecond || d.at.Std() > d.max {
			report(d.key, "%s is out of range: write 1ms to %s", *d.at, units.Duration(d.max))
		}
	}
}

func (c *ProbeConfig) valid(status int) bool {
	if len(c.ValidStatus) > 0 {
		return slices.Contains(c.ValidStatus, status)
	}
	return status >= 200 && status <= 299
}

// startupWatch is how many times its max_startup a service is waited for at a closer look.
const startupWatch = 3

// Prober asks once; *fetch.Client is one. One that is an io.Closer is closed with the source.
type Prober interface {
	Probe(ctx context.Context) fetch.Outcome
}

// ProbeOptions configure a Probe. Target, Config and Store are required.
type ProbeOptions struct {
	Target string
	Config ProbeConfig
	Prober Prober // default: a client of the config's endpoint
	Store  *series.Store
	// Started, when set, tells when the oldest process of the target started; ok is false while it
	// has none. The id is that start's own and stays the same when the clock is set. Without it
	// there is no startup duration.
	Started func() (start time.Time, id uint64, ok bool)
	Now     func() time.Time // default time.Now
}

// Probe is the Source of one service's probe.
type Probe struct {
	opts ProbeOptions
	// began is when this source first looked: what started before was not watched.
	began time.Time
	start time.Time // of the process that is or was waited for
	ready bool      // a good probe came since
	id    uint64    // of the oldest process at the last look
	good  time.Time // of the last good probe

	starting atomic.Bool
}

// NewProbe returns the source; nothing is opened before the first sample.
func NewProbe(o ProbeOptions) *Probe {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Prober == nil {
		o.Prober = fetch.NewClient(o.Config.Endpoint)
	}
	return &Probe{opts: o}
}

// Sample implements Source. A service that does not answer is a probe without success, not a
// failure of the source; while the target has no process there is nothing to probe.
func (p *Probe) Sample(ctx context.Context, b *series.Batch) error {
	target := p.opts.Target
	b.Set(metric.ProbeMaxDuration, p.opts.Config.MaxDuration.Std().Seconds(), target)
	b.Set(metric.StartupMaxDuration, p.opts.Config.MaxStartup.Std().Seconds(), target)
	now := p.opts.Now()
	if p.began.IsZero() {
		p.began = now
	}
	running := p.follow()
	out := p.opts.Prober.Probe(ctx)
	if errors.Is(out.Err, context.Canceled) {
		return out.Err
	}
	if out.Err != nil && !running {
		return fmt.Errorf("the target does not run: %w", ErrAbsent)
	}
	success := out.Err == nil && p.opts.Config.valid(out.Status)
	b.Set(metric.ProbeSuccess, 0, target)
	if success {
		b.Set(metric.ProbeSuccess, 1, target)
	}
	if out.Status != 0 {
		b.Set(metric.ProbeStatus, float64(out.Status), target)
		b.Set(metric.ProbeDuration, out.Duration.Seconds(), target)
	}
	p.startup(b, success)
	return nil
}

// follow takes note of a start of the target and reports whether it runs, as far as is known. A
// service that answered after the start of its oldest process had begun did not start with it:
// others, older ones, have ended since.
func (p *Probe) follow() bool {
	if p.opts.Started == nil {
		return true
	}
	start, id, ok := p.opts.Started()
	if !ok || start.IsZero() || id == p.id {
		return ok
	}
	p.id = id
	if p.good.IsZero() || start.After(p.good) {
		p.start, p.ready = start, false
	}
	return true
}

// startup publishes how long the start took. A service that was ready before it was first probed
// since its start, because this exporter came later, has no startup duration.
func (p *Probe) startup(b *series.Batch, success bool) {
	now := p.opts.Now()
	p.starting.Store(!p.ready && !success && now.Sub(p.start) < startupWatch*p.opts.Config.MaxStartup.Std())
	if p.start.IsZero() || !p.ready && !success {
		return
	}
	first := !p.ready
	p.ready = true
	if success {
		p.good = now
	}
	if first && p.start.After(p.began) {
		b.Set(metric.StartupDuration, max(0, now.Sub(p.start).Seconds()), p.opts.Target)
		return
	}
	// What was seen of this start stays, over reloads too. A value that reaches beyond the
	// beginning of this source is of a start before this one.
	seen, _, ok := p.opts.Store.Value(metric.StartupDuration, p.opts.Target)
	if ok && (!first || p.start.Add(time.Duration(seen*float64(time.Second))).Before(p.began)) {
		b.Set(metric.StartupDuration, seen, p.opts.Target)
	}
}

// Starting reports whether the target started a short time ago and did not answer well yet: then
// it is worth probing more often. It may be called beside Sample.
func (p *Probe) Starting() bool { return p.starting.Load() }

// Close implements io.Closer.
func (p *Probe) Close() error { return closeReader(p.opts.Prober) }
