package eval

import (
	"context"
	"time"
)

// Kick says that a sweep of the sampler has ended: new values are there. Run evaluates then when
// an evaluation is due, so that it judges what was just seen. It never blocks.
func (e *Evaluator) Kick() {
	select {
	case e.kicks <- struct{}{}:
	default:
	}
}

// cadence is when Run evaluates and judges.
type cadence struct {
	regular, soon *time.Timer
	last          time.Time // regular evaluation
	kicked        bool      // since
}

// Run evaluates once per interval until ctx ends, judges targets in between when they cross a
// threshold (see Cross), and writes the state a last time.
func (e *Evaluator) Run(ctx context.Context) {
	c := cadence{regular: time.NewTimer(e.every()), soon: time.NewTimer(e.crossings.until(e.o.Now()))}
	defer c.regular.Stop()
	defer c.soon.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := e.save(e.o.Now(), true); err != nil {
				e.o.Logger.Error("alerts are not kept over the restart", "err", err)
			}
			return
		case <-e.kicks:
			c.kicked = true
			if every := e.every(); !c.last.IsZero() && e.o.Now().Sub(c.last) < every-every/5 {
				continue
			}
			e.regularly(ctx, &c)
		case <-c.regular.C:
			e.regularly(ctx, &c)
		case <-e.crossings.wake:
		case <-c.soon.C:
			e.logged(ctx, e.Judge(ctx, e.o.Now()))
		}
		c.soon.Reset(e.crossings.until(e.o.Now()))
	}
}

// regularly is the evaluation that is due once per interval.
func (e *Evaluator) regularly(ctx context.Context, c *cadence) {
	began := e.o.Now()
	if !c.last.IsZero() {
		e.metrics.late(began.Sub(c.last), e.every())
	}
	c.last = began
	e.logged(ctx, e.Evaluate(ctx, began))
	// Where a sampler kicks, wait a little longer for its next sweep.
	wait := e.every()
	if c.kicked {
		wait += wait / 10
	}
	c.kicked = false
	c.regular.Reset(max(wait-e.o.Now().Sub(began), 0))
}

func (e *Evaluator) logged(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		e.o.Logger.Debug("evaluation had errors", "err", err)
	}
}
