package dispatch

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/regret"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
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
	Instance      string                            // the configured instance label; "" = learned
	PinInstance   bool                              // the first name that is learned stays the only one
	QueueLength   int                               // runs that may wait; default 8192
	Workers       int                               // actions at the same time, of different targets; default 4
	VerifyTimeout time.Duration                     // how long fresh samples are waited for after a step; default 2m
	Outlook       func(target string) trend.Outlook // of its memory; nil: nothing acts before a limit
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
	names   names
	victims *regret.Recorder // of dry runs

	heldBack heldBack

	submitting atomic.Int64 // calls of Submit at present

	lookahead func(target string, s Subject) Reading // of a Rehearsal; nil: time passes

	runCtx  context.Context // ends when running steps are to be cancelled
	cancel  context.CancelFunc
	ready   chan *slot    // targets that have a run to begin
	acting  chan struct{} // holds one entry for each action that runs
	stop    chan struct{} // closed when no further step may begin
	stopped chan struct{} // closed when Run has returned
	roused  chan struct{} // something that begins by itself may be due earlier than thought
	gaveUp  chan struct{} // closed when Drain waits for an action no longer
	saving  chan struct{} // holds an entry while the pauses are being written

	mu        sync.Mutex
	targets   map[string]Target
	playbooks map[playbookKey]*playbookState
	slots     map[string]*slot  // targets with a run that is queued or running
	open      map[*run]struct{} // queued and running
	strays    []*stray          // actions that have not returned
	pauses    map[string]Pause  // by target; "" is all
	proposals map[string]*Proposal
	ending    int    // runs whose end is being written
	accepted  uint64 // runs so far
	queued    int    // including those whose intent is being written
	draining  bool
	started   bool

	unsavedPauses bool // pauses is not what the journal has
}

// New returns a dispatcher without targets. It restores the cooldowns of the previous process and
// logs the runs that it left unfinished.
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
		opts: o, log: o.Logger, names: names{log: o.Logger},
		ready: make(chan *slot, o.QueueLength), acting: make(chan struct{}, o.Workers),
		stop: make(chan struct{}), stopped: make(chan struct{}), gaveUp: make(chan struct{}), roused: make(chan struct{}, 1), saving: make(chan struct{}, 1),
		targets: make(map[string]Target), playbooks: make(map[playbookKey]*playbookState), slots: make(map[string]*slot), open: make(map[*run]struct{}),
		pauses: make(map[string]Pause), proposals: make(map[string]*Proposal),
	}
	d.victims = regret.New(o.Journal, o.Now)
	d.runCtx, d.cancel = context.WithCancel(context.Background())
	d.names.set(o.Instance, o.PinInstance)
	d.metrics = newMetrics(o.Registerer, d.queueLength, d.waitingRuns)
	if o.Registerer != nil {
		o.Registerer.MustRegister(newGuardMetrics(d))
	}
	d.load(d.runCtx)
	for _, r := range o.Journal.Interrupted() {
		d.log.Warn("interrupted by the end of the previous process", "run", r.RunID, "target", r.Target, "playbook", r.Playbook, "action", r.Action, "begun", r.Time)
		if r.Step == 0 && r.Playbook != "" {
			d.metrics.playbook.WithLabelValues(r.Target, r.Playbook, r.Trigger, journal.OutcomeInterrupted).Inc()
		}
	}
	return d
}

// Apply exchanges the targets. Open runs continue with what the new configuration allows: a target
// that is now in mode dry_run gets no further effect, one that is gone no further step.
func (d *Dispatcher) Apply(targets map[string]Target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.targets = maps.Clone(targets)
	d.metrics.expect(targets, d.modeOf)
	now := d.opts.Now()
	for key, s := range d.playbooks {
		if _, known := targets[key.target].Playbooks[key.playbook]; !known && s.forgettable(now) {
			delete(d.playbooks, key)
		}
	}
	if len(d.proposals) > 0 {
		d.rouse() // some may be void now
	}
}

// SetInstance exchanges the configured instance label; "" means that it is learned. With pin the first
// name that is learned from now on stays the only one.
func (d *Dispatcher) SetInstance(instance string, pin bool) {
	d.names.set(instance, pin)
	d.rouse() // to save them
}

func (d *Dispatcher) queueLength() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return float64(d.queued)
}

// LearnHost notes the Host header under which /metrics was scraped by a caller who has proved who he is:
// Prometheus' instance label.
func (d *Dispatcher) LearnHost(host string) {
	if d.names.learn(host) {
		d.rouse() // to save it
	}
}
