package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	stopLimit   = 25 * time.Second // of a whole shutdown
	journalTime = 2 * time.Second  // kept for the journal, whatever the steps before it need
	stepReserve = 500 * time.Millisecond
)

// lifecycle ends what was started: named steps, the last one first, within one deadline. A step
// that does not end in its time is abandoned and named, and takes no time from those after it: a
// call that is stuck in the kernel cannot be cancelled.
type lifecycle struct {
	logger *slog.Logger
	limit  time.Duration

	mu    sync.Mutex
	steps []stopStep

	once sync.Once
	err  error
}

// stopStep ends one part of the exporter. stop has until its context is done.
type stopStep struct {
	name  string
	limit time.Duration
	stop  func(ctx context.Context) error
}

func newLifecycle(logger *slog.Logger) *lifecycle {
	return &lifecycle{logger: logger, limit: stopLimit}
}

// add registers how something that was started is ended.
func (l *lifecycle) add(name string, limit time.Duration, stop func(ctx context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = append(l.steps, stopStep{name, limit, stop})
}

// stop runs all steps, once. The error names each that failed or did not end.
func (l *lifecycle) stop() error {
	l.once.Do(func() {
		l.mu.Lock()
		steps := l.steps
		l.mu.Unlock()
		end := time.Now().Add(l.limit)
		var errs []error
		for i := len(steps) - 1; i >= 0; i-- {
			s := &steps[i]
			began := time.Now()
			err := s.run(s.bound(end.Sub(began), steps[:i]))
			if err != nil {
				l.logger.Error("shutdown: a step did not end as it should", "step", s.name, "took", time.Since(began).Round(time.Millisecond), "err", err)
				errs = append(errs, fmt.Errorf("shutdown: %s: %w", s.name, err))
			}
		}
		l.err = errors.Join(errs...)
	})
	return l.err
}

// reserve is what the steps before leave to this one.
func (s *stopStep) reserve() time.Duration {
	if s.limit == journalTime {
		return s.limit
	}
	return min(s.limit, stepReserve)
}

// bound is the time that a step has: its own limit, less where the steps after it need the rest.
func (s *stopStep) bound(left time.Duration, after []stopStep) time.Duration {
	for i := range after {
		left -= after[i].reserve()
	}
	return max(min(s.limit, left), s.reserve())
}

// run runs the step and returns after limit at the latest.
func (s *stopStep) run(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit-min(limit/10, 200*time.Millisecond))
	defer cancel()
	return within(limit, func() error { return s.stop(ctx) })
}

// errNoEnd says that something did not end in its time.
var errNoEnd = errors.New("did not end")

// within runs f on a goroutine of its own and returns its error, or an errNoEnd when it has not
// returned in time. The goroutine is then left behind.
func within(limit time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("%w within %s", errNoEnd, limit)
	}
}

// wait returns a step that waits for goroutines whose context is done.
func wait(group *sync.WaitGroup) func(context.Context) error {
	return func(context.Context) error {
		group.Wait()
		return nil
	}
}
