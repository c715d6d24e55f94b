package lifecycle

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
	stepReserve = 500 * time.Millisecond
)

// Lifecycle is the steps that end what was started. Its methods may be called concurrently.
type Lifecycle struct {
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
	keep  bool // the whole limit, whatever the steps before it need
	stop  func(ctx context.Context) error
}

// New returns a Lifecycle without steps. Steps that do not end as they should are logged.
func New(logger *slog.Logger) *Lifecycle {
	return &Lifecycle{logger: logger, limit: stopLimit}
}

// Add registers how something that was started is ended: by stop, which has until its context is
// done, and limit at most.
func (l *Lifecycle) Add(name string, limit time.Duration, stop func(ctx context.Context) error) {
	l.add(stopStep{name, limit, false, stop})
}

// AddKept is Add for a step that has the whole of its limit, whatever the steps before it need.
func (l *Lifecycle) AddKept(name string, limit time.Duration, stop func(ctx context.Context) error) {
	l.add(stopStep{name, limit, true, stop})
}

func (l *Lifecycle) add(s stopStep) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = append(l.steps, s)
}

// Stop runs all steps, once, and returns within 25 s. The error names each that failed or did not end.
func (l *Lifecycle) Stop() error {
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
	if s.keep {
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
	return Within(limit, func() error { return s.stop(ctx) })
}

// ErrNoEnd says that something did not end in its time.
var ErrNoEnd = errors.New("did not end")

// Within runs f on a goroutine of its own and returns its error, or ErrNoEnd when it has not
// returned in time. The goroutine is then left behind.
func Within(limit time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("%w within %s", ErrNoEnd, limit)
	}
}

// Wait returns a step that waits for goroutines whose context is done.
func Wait(group *sync.WaitGroup) func(context.Context) error {
	return func(context.Context) error {
		group.Wait()
		return nil
	}
}
