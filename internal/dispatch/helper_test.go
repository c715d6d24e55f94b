package dispatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

const (
	warning   = series.LevelWarning
	critical  = series.LevelCritical
	emergency = series.LevelEmergency
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// durable is a journal in memory that says it is on disk, and can be made to fail.
type durable struct {
	*journal.Journal
	mu          sync.Mutex
	beginErr    error
	stepErr     error // for the intents of steps only
	putErr      error // for PutState
	volatile    bool
	begun       int
	interrupted []journal.Record
	slow        time.Duration
	slowEnd     time.Duration        // for the ends of runs
	slowPut     func() time.Duration // for PutState; nil: at once
}

func (j *durable) FinishKeeping(ctx context.Context, id string, change func(*journal.Record), key string, state []byte) error {
	if j.slowEnd > 0 {
		<-time.After(j.slowEnd) // the bubble's clock
	}
	return j.Journal.FinishKeeping(ctx, id, change, key, state)
}

func (j *durable) Durable() bool                 { return !j.volatile }
func (j *durable) Interrupted() []journal.Record { return j.interrupted }

func (j *durable) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.beginErr = err
}

func (j *durable) PutState(ctx context.Context, key string, value []byte) error {
	if j.putErr != nil {
		return j.putErr
	}
	if j.slowPut != nil {
		<-time.After(j.slowPut())
	}
	return j.Journal.PutState(ctx, key, value)
}

func (j *durable) failSteps(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stepErr = err
}

func (j *durable) Begin(ctx context.Context, r journal.Record) (string, error) {
	ids, err := j.BeginAll(ctx, []journal.Record{r})
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

func (j *durable) BeginAll(ctx context.Context, records []journal.Record) ([]string, error) {
	if j.slow > 0 {
		<-time.After(j.slow) // the bubble's clock
	}
	j.mu.Lock()
	err := j.beginErr
	if err == nil && len(records) == 1 && records[0].Step > 0 {
		err = j.stepErr
	}
	j.begun += len(records)
	j.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return j.Journal.BeginAll(ctx, records)
}

// fakeAction records what it is asked and answers what the test says.
type fakeAction struct {
	mu       sync.Mutex
	requests []action.Request
	running  int
	overlap  bool
	do       func(ctx context.Context, req action.Request) (action.Result, error)
}

func (a *fakeAction) Run(ctx context.Context, req action.Request) (action.Result, error) {
	a.mu.Lock()
	a.requests = append(a.requests, req)
	a.running++
	a.overlap = a.overlap || a.running > 1
	do := a.do
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.running--
		a.mu.Unlock()
	}()
	if do != nil {
		return do(ctx, req)
	}
	if req.DryRun {
		return action.Result{Outcome: action.DryRun, Files: 3}, nil
	}
	return action.Result{Outcome: action.Done, Files: 3, Bytes: 300, FreedBytes: 4096}, nil
}

// will exchanges what the action does, while runs may begin by themselves.
func (a *fakeAction) will(do func(context.Context, action.Request) (action.Result, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.do = do
}

func (a *fakeAction) calls() []action.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]action.Request(nil), a.requests...)
}

// fakeObserver reads what the test set. Every Refresh is a sample.
type fakeObserver struct {
	mu       sync.Mutex
	readings map[string]Reading
	refresh  func(o *fakeObserver, target string, s Subject) // default: one more sample
}

func (o *fakeObserver) Observe(target string, s Subject) Reading {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.readings[target+"/"+string(s)]
}

func (o *fakeObserver) Refresh(target string, s Subject) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.refresh != nil {
		o.refresh(o, target, s)
		return
	}
	r := o.readings[target+"/"+string(s)]
	r.Samples++
	o.readings[target+"/"+string(s)] = r
}

// set exchanges a reading and keeps the number of samples.
func (o *fakeObserver) set(target string, s Subject, ratio float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.readings[target+"/"+string(s)]
	level := series.Thresholds{Warning: .70, Critical: .85, Emergency: .95}.Of(ratio)
	o.readings[target+"/"+string(s)] = Reading{
		Known: true, Ratio: ratio, Peak: max(r.Peak, ratio), Level: level, Samples: r.Samples, Text: fmt.Sprintf("used %.0f%%", ratio*100),
	}
}

func (o *fakeObserver) lose(target string, s Subject) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.readings[target+"/"+string(s)] = Reading{}
}

// world is a dispatcher with everything around it, in a bubble of its own time.
type world struct {
	t                *testing.T
	d                *Dispatcher
	journal          *durable
	observer         *fakeObserver
	temp, cache, gc  *fakeAction
	reg              *prometheus.Registry
	log              *bytes.Buffer
	targets          map[string]Target
	stop             func()
	ended            chan struct{}
	fingerprintCount int
}

// bubble runs a test in its own time with a dispatcher that works on one target, svc.
func bubble(t *testing.T, o Options, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, temp: &fakeAction{}, cache: &fakeAction{}, gc: &fakeAction{}, log: &bytes.Buffer{},
			observer: &fakeObserver{readings: make(map[string]Reading)},
			journal:  &durable{Journal: journal.OpenMemory(journal.Options{Logger: slog.New(slog.DiscardHandler)})},
		}
		w.targets = map[string]Target{"svc": w.target("svc", ModeEnforce, nil)}
		w.observer.set("svc", subject.Memory, .90)
		w.start(o)
		defer w.end()
		f(t, w)
	})
}

func (w *world) target(name, mode string, p Playbooks) Target {
	actions := map[string]action.Action{action.NameCleanTemp: w.temp, action.NameEvictCache: w.cache, action.NameCollectGarbage: w.gc}
	return Target{Name: name, Mode: mode, Actions: actions, Playbooks: p.Build(func(a string) bool { return actions[a] != nil }, nil)}
}

// start begins a dispatcher on the same journal, as after a restart.
func (w *world) start(o Options) {
	w.reg = prometheus.NewPedanticRegistry()
	o.Journal, o.Observer, o.Registerer = w.journal, w.observer, w.reg
	o.Logger = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.d = New(o)
	w.d.Apply(w.targets)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	d := w.d
	go func() {
		defer close(ended)
		if err := d.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	w.ended = ended
	w.stop = cancel
}

func (w *world) end() {
	w.stop()
	<-w.ended
	w.d.cancel()
}

// firing returns a new alert.
func (w *world) firing(target, playbook string, level series.Level) alert.Alert {
	w.fingerprintCount++
	return alert.Alert{
		Status: alert.StatusFiring, Fingerprint: fmt.Sprintf("%016x", w.fingerprintCount), StartsAt: time.Now(),
		Labels: map[string]string{alert.LabelName: "A", alert.LabelTarget: target, alert.LabelPlaybook: playbook, alert.LabelLevel: level.String()},
	}
}

func (w *world) submit(alerts ...alert.Alert) []alert.Disposition {
	w.t.Helper()
	out, err := w.d.Submit(w.t.Context(), alert.Batch{Trigger: alert.TriggerWebhook, Alerts: alerts})
	if err != nil {
		w.t.Fatalf("Submit: %v", err)
	}
	return out
}

// one submits one alert and returns its disposition.
func (w *world) one(a alert.Alert) alert.Disposition {
	w.t.Helper()
	return w.submit(a)[0]
}

// settled waits until nothing happens any more without time passing.
func (w *world) settled() { synctest.Wait() }

// finished waits until no run is open.
func (w *world) finished() {
	w.t.Helper()
	for range 3600 {
		synctest.Wait()
		if len(w.d.Status().Open) == 0 {
			synctest.Wait()
			return
		}
		<-time.After(time.Second) // the bubble's clock
	}
	w.t.Fatalf("a run does not end: %+v", w.d.Status().Open)
}

func (w *world) records(f journal.Filter) []journal.Record {
	w.t.Helper()
	f.Limit = journal.MaxLimit
	records, _, err := w.journal.Query(f)
	if err != nil {
		w.t.Fatal(err)
	}
	return records
}

// run returns the record of a run as a whole.
func (w *world) run(id string) journal.Record {
	w.t.Helper()
	r, found, err := w.journal.Get(id)
	if err != nil || !found {
		w.t.Fatalf("run %q: found %v, %v", id, found, err)
	}
	return r
}

// steps returns the actions of a run's step records with their outcomes, in order.
func (w *world) steps(id string) []string {
	w.t.Helper()
	var out []string
	records := w.records(journal.Filter{RunID: id})
	for _, r := range slices.Backward(records) {
		if r.Step > 0 {
			out = append(out, fmt.Sprintf("%d %s %s", r.Step, r.Action, r.Outcome))
		}
	}
	return out
}

// counter returns the value of one series; labels are values in the order of the names.
func (w *world) counter(name string, want map[string]string) float64 {
	w.t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	total := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	next:
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if v, ok := want[l.GetName()]; ok && v != l.GetValue() {
					continue next
				}
			}
			total += m.Counter.GetValue() + m.Gauge.GetValue() + float64(m.Histogram.GetSampleCount())
		}
	}
	return total
}

// cooldownUntil returns the end of the cooldown of a playbook of svc, zero when none holds.
func (w *world) cooldownUntil(playbook string) time.Time {
	w.t.Helper()
	for _, p := range w.d.Status().Playbooks {
		if p.Target == "svc" && p.Playbook == playbook {
			return p.CooldownUntil
		}
	}
	return time.Time{}
}

func levels(l ...series.Level) []series.Level { return l }

var errDisk = errors.New("no space left on device")
