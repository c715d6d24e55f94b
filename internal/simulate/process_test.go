package simulate

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/eval"
	"github.com/spillway-exporter/spillway_exporter/internal/schedule"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
)

const verifyTimeout = 40*time.Second + 37*time.Millisecond // never at the same time as a poll

// process is the exporter from one start to its end. What it asks of the world once it is dead has no
// effect.
type process struct {
	w    *world
	dead chan struct{}
	once sync.Once

	book       *book
	dispatcher *dispatch.Dispatcher
	schedule   *schedule.Schedule
	evaluator  *eval.Evaluator
	cancel     context.CancelFunc // of what ends at once
	timers     sync.WaitGroup     // evaluator and schedule
	requests   sync.WaitGroup     // of callers
	busy       int                // callers and writes to the journal; World.mu guards it
	stopping   time.Duration      // when the stop of the dispatcher began; World.mu guards it
	ran        chan struct{}      // closed when the dispatcher has ended
}

func (p *process) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// die kills the process. The story learns of it by the channel crash.
func (p *process) die() {
	p.once.Do(func() {
		close(p.dead)
		select {
		case p.w.crash <- struct{}{}:
		default:
		}
	})
}

// wait lets time pass; it is false when the process is dead.
func (p *process) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return !p.isDead()
	case <-p.dead:
		return false
	}
}

// start starts the exporter as internal/app does.
func (w *world) start() {
	p := &process{w: w, dead: make(chan struct{}), ran: make(chan struct{})}
	w.mu.Lock()
	p.book = openBook(w, p)
	w.ledger.restart(w.now())
	w.calls = nil
	w.p = p
	cfg := w.config
	w.mu.Unlock()
	w.trace("start", cfg.String())
	quiet := slog.New(slog.DiscardHandler)
	p.dispatcher = dispatch.New(dispatch.Options{
		Journal: p.book, Observer: eyes{w}, Outlook: func(target string) trend.Outlook { return w.outlook(target, w.now()) }, Instance: "host", QueueLength: w.queue, Workers: w.workers,
		VerifyTimeout: verifyTimeout, Logger: quiet, Now: w.now,
	})
	p.dispatcher.Apply(cfg.of(p))
	p.schedule = schedule.New(schedule.Options{RunNow: p.dispatcher.RunNow, State: p.book, Logger: quiet, Now: w.now})
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() {
		defer close(p.ran)
		if err := p.dispatcher.Run(context.Background()); err != nil {
			panic(err)
		}
	}()
	if w.standalone {
		p.evaluator = eval.New(eval.Options{
			Gatherer: registry{w}, Rules: w.rules[cfg.interval], Submit: p.submitOwn, State: alerts{p.book},
			Labels: map[string]string{"instance": "host"}, Logger: quiet, Registerer: prometheus.NewRegistry(), Now: w.now,
		})
		p.timers.Go(func() { p.evaluator.Run(ctx) })
	}
	p.wait(w.between(time.Microsecond, time.Millisecond)) // else it would be due when the evaluator is
	p.schedule.Apply(cfg.policies)
	p.timers.Go(func() { p.schedule.Run(ctx) })
}

// submitOwn takes the alerts of the evaluator.
func (p *process) submitOwn(ctx context.Context, b alert.Batch) ([]alert.Disposition, error) {
	p.count(1)
	defer p.count(-1)
	out, err := p.dispatcher.Submit(ctx, b)
	p.w.answered(p, out)
	return out, err
}

// count counts those who wait for the process or the journal.
func (p *process) count(n int) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.busy += n
}

// request calls the exporter as someone outside does, without waiting for the answer.
func (p *process) request(call func(ctx context.Context)) {
	p.count(1)
	p.requests.Go(func() {
		defer p.count(-1)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		call(ctx)
	})
}

// bury waits until nothing of a dead process is left.
func (p *process) bury() {
	p.die()
	p.cancel()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.dispatcher.Drain(gone) // no one hears what it says
	p.timers.Wait()
	p.requests.Wait()
	<-p.ran
	p.forget()
}

// forget takes note of the death of a process of which nothing is left.
func (p *process) forget() {
	p.die()
	select {
	case <-p.w.crash:
	default:
	}
}

// stop ends the exporter as a signal does, within a time. It reports how long that took, and whether it
// was neither killed meanwhile nor so slow at writing that it says so.
func (p *process) stop(limit time.Duration) (took time.Duration, orderly bool) {
	begin := p.w.elapsed()
	p.cancel()
	p.timers.Wait()
	p.w.mu.Lock()
	p.stopping = p.w.elapsed()
	p.w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := p.dispatcher.Drain(ctx) // it names the actions that do not return
	<-p.ran
	took = p.w.elapsed() - begin
	p.requests.Wait()
	if orderly = !p.isDead(); orderly {
		p.book.close()
	}
	p.w.trace("stopped", took.String())
	p.forget()
	return took, orderly && (err == nil || !strings.Contains(err.Error(), "not in the journal yet"))
}
