package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

const (
	defaultQueue         = 8192
	defaultWorkers       = 4
	openRuns             = 64 // runs at the same time: most of them wait for the journal, or for samples
	defaultVerifyTimeout = 2 * time.Minute
)

// Journal is what the dispatcher needs of a journal; *journal.Journal is one.
type Journal interface {
	Begin(ctx context.Context, r journal.Record) (id string, err error)
	BeginAll(ctx context.Context, records []journal.Record) (ids []string, err error)
	Finish(ctx context.Context, id string, change func(*journal.Record)) error
	FinishKeeping(ctx context.Context, id string, change func(*journal.Record), key string, state []byte) error
	FinishLater(id string, change func(*journal.Record)) error
	PutState(ctx context.Context, key string, value []byte) error
	States(prefix string) (map[string][]byte, error)
	Interrupted() []journal.Record
	Durable() bool
}

// Options configure a Dispatcher. Journal, Observer and Logger are required.
type Options struct {
	Journal       Journal
	Observer      Observer
	Instance      string        // the configured instance label; "" = learned
	QueueLength   int           // runs that may wait; default 8192
	Workers       int           // actions at the same time, of different targets; default 4
	VerifyTimeout time.Duration // how long fresh samples are waited for after a step; default 2m
	Logger        *slog.Logger
	Now           func() time.Time      // default time.Now
	Registerer    prometheus.Registerer // nil: no metrics are published
}

// Dispatcher decides about alerts and runs playbooks. It outlives reloads: Apply exchanges the
// targets, while open runs and cooldowns stay.
type Dispatcher struct {
	opts    Options
	log     *slog.Logger
	metrics *metrics
	hosts   hosts

	submitting atomic.Int64 // calls of Submit at present

	runCtx  context.Context // ends when running steps are to be cancelled
	cancel  context.CancelFunc
	ready   chan *slot    // targets that have a run to begin
	acting  chan struct{} // holds one entry for each action that runs
	stop    chan struct{} // closed when no further step may begin
	stopped chan struct{} // closed when Run has returned
	gaveUp  chan struct{} // closed when Drain waits for an action no longer

	mu       sync.Mutex
	instance string // normalized
	targets  map[string]Target
	lanes    map[laneKey]*lane
	slots    map[string]*slot  // targets with a run that is queued or running
	open     map[*run]struct{} // queued and running
	strays   []*stray          // actions that have not returned
	queued   int               // including those whose intent is being written
	draining bool
	started  bool
}

// slot is the turn of one target: one run at a time, the others wait for it.
type slot struct {
	target  string
	running *run
	waiting []*run
	ready   bool // in Dispatcher.ready
}

// New returns a dispatcher without targets. It takes over the cooldowns of the last start, and
// tells what that start left interrupted.
func New(o Options) *Dispatcher {
	if o.QueueLength <= 0 {
		o.QueueLength = defaultQueue
	}
	if o.Workers <= 0 {
		o.Workers = defaultWorkers
	}
	if o.VerifyTimeout <= 0 {
		o.VerifyTimeout = defaultVerifyTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Dispatcher{
		opts: o, log: o.Logger, instance: alert.NormalizeInstance(o.Instance),
		ready: make(chan *slot, o.QueueLength), acting: make(chan struct{}, o.Workers), stop: make(chan struct{}), stopped: make(chan struct{}), gaveUp: make(chan struct{}),
		targets: make(map[string]Target), lanes: make(map[laneKey]*lane), slots: make(map[string]*slot), open: make(map[*run]struct{}),
	}
	d.runCtx, d.cancel = context.WithCancel(context.Background())
	d.metrics = newMetrics(o.Registerer, d.queueLength)
	d.load(d.runCtx)
	for _, r := range o.Journal.Interrupted() {
		d.log.Warn("interrupted by the end of the last start", "run", r.RunID, "target", r.Target, "playbook", r.Playbook, "action", r.Action, "begun", r.Time)
		if r.Step == 0 {
			d.metrics.playbook.WithLabelValues(r.Target, r.Playbook, r.Trigger, journal.OutcomeInterrupted).Inc()
		}
	}
	return d
}

// Apply exchanges the targets. Open runs go on with what the new configuration allows: a target
// that is now in mode dry_run gets no further effect, one that is gone no further step.
func (d *Dispatcher) Apply(targets map[string]Target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.targets = maps.Clone(targets)
	d.metrics.expect(targets)
	now := d.opts.Now()
	for key, l := range d.lanes {
		if _, known := targets[key.target].Playbooks[key.playbook]; !known && l.open == nil && !now.Before(l.Until) {
			delete(d.lanes, key)
		}
	}
}

// SetInstance exchanges the configured instance label; "" means that it is learned.
func (d *Dispatcher) SetInstance(instance string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.instance = alert.NormalizeInstance(instance)
}

func (d *Dispatcher) queueLength() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return float64(d.queued)
}

// LearnHost notes the Host header under which /metrics was scraped: Prometheus' instance label.
func (d *Dispatcher) LearnHost(host string) { d.hosts.learn(host) }

// Submit decides about each alert of a batch and returns when the intents of the accepted runs
// are in the journal. With an error, one of ErrQueueFull, ErrDraining, ErrJournal or ctx's,
// at least one alert was refused and the sender is to come again with all of them: those that
// were accepted are then told as duplicates. Alerts of one batch that ask for the same playbook of
// the same target share a run, as all that come while it is open do.
func (d *Dispatcher) Submit(ctx context.Context, b alert.Batch) ([]alert.Disposition, error) {
	d.submitting.Add(1)
	defer d.submitting.Add(-1)
	out := make([]alert.Disposition, len(b.Alerts))
	verdicts := make([]verdict, len(b.Alerts))
	runs := make([]*run, len(b.Alerts)) // that serve the alerts
	var fresh []*run
	known := d.knownNames(b.Host)

	d.mu.Lock()
	now := d.opts.Now()
	for i := range b.Alerts {
		var isNew bool
		verdicts[i], runs[i], isNew = d.judge(&b, &b.Alerts[i], known, now)
		if isNew {
			fresh = append(fresh, runs[i])
		}
	}
	d.mu.Unlock()

	d.begin(ctx, fresh)
	var failed error
	for i := range b.Alerts {
		a, v := &b.Alerts[i], &verdicts[i]
		if err := d.settle(ctx, v, runs[i]); failed == nil {
			failed = err
		}
		out[i] = alert.Disposition{Fingerprint: a.Fingerprint, Disposition: v.disposition, Reason: v.reason, RunID: v.runID}
		if runs[i] != nil && v.disposition != alert.Refused {
			out[i].RunID = runs[i].id
		}
		d.tell(&b, a, v)
	}
	return out, failed
}

func (d *Dispatcher) knownNames(host string) []string {
	d.mu.Lock()
	instance := d.instance
	d.mu.Unlock()
	if instance != "" {
		return []string{instance}
	}
	names := d.hosts.all()
	if host = alert.NormalizeInstance(host); host != "" && len(host) <= maxHostBytes && !slices.Contains(names, host) {
		names = append(names, host)
	}
	return names
}

// judge decides about one alert and makes or joins its run. It is called with the lock held.
func (d *Dispatcher) judge(b *alert.Batch, a *alert.Alert, known []string, now time.Time) (v verdict, r *run, isNew bool) {
	target, hasTarget := d.targets[a.Target()]
	playbook, hasPlaybook := target.Playbooks[a.Playbook()]
	key := laneKey{a.Target(), a.Playbook()}
	l := d.lanes[key]
	q := question{
		alert: a, inside: b.Trigger == alert.TriggerStandalone, known: known,
		hasTarget: hasTarget, hasPlaybook: hasPlaybook,
		targets:   func() []string { return slices.Sorted(maps.Keys(d.targets)) },
		playbooks: func() []string { return slices.Sorted(maps.Keys(target.Playbooks)) },
		level:     levelOf(a), now: now, full: d.queued >= d.opts.QueueLength, draining: d.draining,
	}
	q.applies = slices.ContainsFunc(playbook.Steps, func(s Step) bool { return s.applies(q.level) })
	alertKey := a.Key()
	l.view(&q, alertKey)
	v = decide(q)
	switch {
	case v.join:
		l.open.level = max(l.open.level, q.level)
		if v.disposition == alert.Accepted {
			l.open.alerts++
			l.remember(alertKey)
		}
		return v, l.open, false
	case v.disposition != alert.Accepted:
		if v.disposition == alert.Duplicate || v.disposition == alert.Cooldown {
			v.runID = l.LastRun
		}
		return v, nil, false
	}
	if l == nil {
		l = &lane{}
		d.lanes[key] = l
	}
	r = d.newRun(&target, playbook, b.Trigger)
	r.lane, r.laneKey, r.level, r.alerts, r.guarded, r.breaks = l, key, q.level, 1, true, v.breaks
	r.alert, r.fingerprint = a.Name(), a.Fingerprint
	if tells(playbook.Steps) {
		r.first = a
	}
	l.open, l.served = r, make(map[string]struct{})
	l.remember(alertKey)
	return v, r, true
}

// begin writes the intents of new runs, all in one sync, and puts them in the queue. It always
// closes their begun.
func (d *Dispatcher) begin(ctx context.Context, fresh []*run) {
	if len(fresh) == 0 {
		return
	}
	records := make([]journal.Record, len(fresh))
	d.mu.Lock()
	for i, r := range fresh {
		records[i] = r.record(d.opts.Now(), r.level)
	}
	d.mu.Unlock()
	ids, err := d.opts.Journal.BeginAll(ctx, records)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrJournal, err)
	}
	var late []*run // recorded, but the exporter is ending
	d.mu.Lock()
	for i, r := range fresh {
		switch {
		case err != nil:
			r.err = err
		case d.draining:
			r.id, r.err = ids[i], ErrDraining
			late = append(late, r)
			d.queued--
			continue
		default:
			r.id = ids[i]
			d.enqueue(r)
			continue
		}
		d.queued--
		delete(d.open, r)
		if r.lane != nil {
			r.lane.open, r.lane.served = nil, nil
		}
	}
	d.mu.Unlock()
	for _, r := range late {
		d.finish(r, result{outcome: journal.OutcomeInterrupted, err: ErrDraining})
	}
	for _, r := range fresh {
		close(r.begun)
	}
}

// enqueue gives a recorded run its turn. It is called with the lock held.
func (d *Dispatcher) enqueue(r *run) {
	if l := r.lane; l != nil {
		// A broken cooldown stays broken until a run was accepted without breaking one.
		l.Broken = r.breaks
	}
	s := d.slots[r.target]
	if s == nil {
		s = &slot{target: r.target}
		d.slots[r.target] = s
	}
	s.waiting = append(s.waiting, r)
	d.offer(s)
}

// offer makes a target that is at rest and has a run ready for the next worker. The channel has
// room for every run that may wait.
func (d *Dispatcher) offer(s *slot) {
	if s.running == nil && !s.ready && len(s.waiting) > 0 {
		s.ready = true
		d.ready <- s
	}
}

// settle waits until the run that serves an alert is recorded.
func (d *Dispatcher) settle(ctx context.Context, v *verdict, r *run) error {
	switch v.skip {
	case SkipDraining:
		return ErrDraining
	case SkipQueueFull:
		return ErrQueueFull
	}
	if r == nil {
		return nil
	}
	err := error(nil)
	select {
	case <-r.begun:
		err = r.err
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", ErrJournal, ctx.Err())
	}
	if err == nil {
		return nil
	}
	v.disposition, v.skip, v.reason = alert.Refused, SkipJournal, ErrJournal.Error()
	if errors.Is(err, ErrDraining) {
		v.skip, v.reason = SkipDraining, ErrDraining.Error()
	}
	return err
}

// tell counts and logs what was decided about an alert.
func (d *Dispatcher) tell(b *alert.Batch, a *alert.Alert, v *verdict) {
	if b.Trigger == alert.TriggerWebhook {
		d.metrics.alerts.WithLabelValues(v.disposition).Inc()
	}
	if v.skip != "" {
		d.countSkips(a.Target(), a.Playbook(), v.skip)
	}
	if v.disposition != alert.Accepted {
		d.log.Debug("alert", "alertname", a.Name(), "target", a.Target(), "playbook", a.Playbook(), "fingerprint", a.Fingerprint,
			"trigger", string(b.Trigger), "disposition", v.disposition, "reason", v.reason)
	}
}

// countSkips counts every action of the playbook as not run.
func (d *Dispatcher) countSkips(target, playbook, reason string) {
	d.mu.Lock()
	t, known := d.targets[target]
	steps := t.Playbooks[playbook].Steps
	d.mu.Unlock()
	if !known {
		target = otherTarget
	}
	if len(steps) == 0 {
		d.metrics.skips.WithLabelValues(target, noAction, reason).Inc()
	}
	for _, s := range steps {
		d.metrics.skips.WithLabelValues(target, s.Do, reason).Inc()
	}
}

// newRun makes a run and reserves its place. It is called with the lock held.
func (d *Dispatcher) newRun(t *Target, p Playbook, trigger alert.Trigger) *run {
	r := &run{
		target: t.Name, playbook: p.Name, steps: p.Steps, subject: p.Subject, cooldown: p.Cooldown, trigger: trigger,
		dryRun: !d.enforces(t), since: d.opts.Now(), state: StateQueued, begun: make(chan struct{}),
	}
	if r.cooldown <= 0 {
		r.cooldown = defaultCooldown
	}
	d.queued++
	d.open[r] = struct{}{}
	return r
}

// enforces reports whether actions of a target may have effects: its mode says so, and what is
// done would be known after a crash.
func (d *Dispatcher) enforces(t *Target) bool {
	return t.Mode == ModeEnforce && d.opts.Journal.Durable()
}

// describe returns the steps for the journal.
func describe(steps []Step) string {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.String()
	}
	return strings.Join(names, ", ")
}
