package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The defaults of a ProbeConfig: the figures of a service that is well.
const (
	defaultMaxResponse = 200 * time.Millisecond
	defaultMaxStartup  = 10 * time.Second
)

// ProbeConfig is the yaml key `probe` of a target: an HTTP GET that reports whether the service is
// well.
type ProbeConfig struct {
	fetch.Endpoint `yaml:",inline"`
	Interval       units.Duration `yaml:"interval"`     // how often it is probed; without it each sample_interval, and faster while it starts
	ValidStatus    []int          `yaml:"valid_status"` // statuses that count as success; without it 200 to 299
	MaxDuration    units.Duration `yaml:"max_duration"` // within which an answer should come: SpillwaySlowResponse
	MaxStartup     units.Duration `yaml:"max_startup"`  // from process start to the first good probe: SpillwaySlowStart
}

// Validate applies the defaults and reports every mistake.
func (c *ProbeConfig) Validate(report report.Func) {
	c.Endpoint.Validate(report)
	checkInterval(c.Interval, report)
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
	// Tracker, when set, knows the processes of the target. Without it there is no startup duration.
	Tracker *proc.Tracker
	Now     func() time.Time // default time.Now

	// Of tests. Started says when the oldest process of the target started; ok is false while it has
	// none. The id is that start's own and stays the same when the clock is set.
	started func() (start time.Time, id uint64, ok bool)
	births  births
}

// Probe is the Source of one service's probe.
type Probe struct {
	opts  ProbeOptions
	last  fetch.Outcome // of the newest probe
	at    time.Time     // when it was sent; zero before the first
	start *startup      // nil where the processes of the target are not watched
}

// NewProbe returns the source; nothing is opened before the first sample.
func NewProbe(o ProbeOptions) *Probe {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Prober == nil {
		o.Prober = fetch.NewClient(o.Config.Endpoint)
	}
	if t := o.Tracker; t != nil {
		o.started = func() (time.Time, uint64, bool) {
			u, err := t.Usage(o.Target)
			return u.Oldest, u.OldestTicks, err != nil || u.Processes > 0
		}
		o.births = proc.NewBirths(t, o.Target)
	}
	p := &Probe{opts: o}
	if o.started != nil {
		p.start = &startup{opts: startupOptions{o.Target, o.Config.MaxStartup.Std(), o.started, o.births}}
	}
	return p
}

// Sample implements Source. A service that does not answer is a probe without success, not a
// failure of the source; while the target has no process there is nothing to probe.
func (p *Probe) Sample(ctx context.Context, b *series.Batch) error {
	target := p.opts.Target
	b.Set(metric.ProbeMaxDuration, p.opts.Config.MaxDuration.Std().Seconds(), target)
	b.Set(metric.StartupMaxDuration, p.opts.Config.MaxStartup.Std().Seconds(), target)
	running := true
	if s := p.start; s != nil {
		running = s.follow(p.opts.Now())
	}
	if err := p.ask(ctx); err != nil {
		return err
	}
	out := &p.last
	if out.Err != nil && !running {
		return fmt.Errorf("the target does not run: %w", ErrAbsent)
	}
	b.Set(metric.ProbeSuccess, 0, target)
	if p.succeeded() {
		b.Set(metric.ProbeSuccess, 1, target)
	}
	if out.Status != 0 {
		b.Set(metric.ProbeStatus, float64(out.Status), target)
		b.Set(metric.ProbeDuration, out.Duration.Seconds(), target)
	}
	if p.start != nil {
		p.start.publish(b, p.opts.Store)
	}
	return nil
}

// ask probes, unless the sample is one of those between two probes that only look for processes.
func (p *Probe) ask(ctx context.Context) error {
	now := p.opts.Now()
	if p.start != nil && !p.at.IsZero() && !p.start.due(now, p.at) {
		return nil
	}
	p.at = now
	out := p.opts.Prober.Probe(ctx)
	if errors.Is(out.Err, context.Canceled) {
		return out.Err
	}
	p.last = out
	if p.start != nil {
		p.start.answered(p.opts.Now(), p.succeeded(), errors.Is(out.Err, fetch.ErrUnreachable))
	}
	return nil
}

func (p *Probe) succeeded() bool { return p.last.Err == nil && p.opts.Config.valid(p.last.Status) }

// within returns how soon the next sample is due: soon while the target starts.
func (p *Probe) within(interval time.Duration) time.Duration {
	if p.start == nil {
		return interval
	}
	return p.start.within(p.opts.Now(), interval)
}

// wakes receives when a process of the target has ended.
func (p *Probe) wakes() <-chan struct{} {
	if p.opts.births == nil {
		return nil
	}
	return p.opts.births.Wakes()
}

// Close implements io.Closer.
func (p *Probe) Close() error {
	var err error
	if p.opts.births != nil {
		err = p.opts.births.Close()
	}
	return errors.Join(err, closeReader(p.opts.Prober))
}
