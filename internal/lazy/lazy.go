package lazy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// The defaults of Options.
const (
	DefaultOpenTimeout = 5 * time.Second
	DefaultMinBackoff  = time.Second
	DefaultMaxBackoff  = 30 * time.Second
)

// ErrClosed says that the provider was closed for good.
var ErrClosed = errors.New("provider is closed")

// Options configure a Provider. Name, Kind and Open are required.
type Options[T any] struct {
	Name  string   // unique in its Set; used in errors and in Needs of others
	Kind  string   // the provider label of the metrics, a bounded set: node_inspector, go_pprof
	Needs []string // names of the providers that Open gets values of; see Set.Check

	// Open makes the value. It runs on a goroutine of the provider and must return soon after ctx
	// is done; ctx ends with the provider and after OpenTimeout, not with any one waiter.
	Open func(ctx context.Context) (T, error)
	// Close gives the value back; nil when there is nothing to give back. It is called once per
	// opened value, never while a Lease on it is held, and never with a lock held.
	Close func(T)
	// Dead, when set, says without I/O that an open value cannot be used any more: it is retired
	// and another is opened.
	Dead func(T) bool

	Idle        time.Duration // an unused value is closed after this time; 0 = kept until Unload or Close
	OpenTimeout time.Duration // default DefaultOpenTimeout
	MinBackoff  time.Duration // wait after a first failure, doubled with each further; default DefaultMinBackoff
	MaxBackoff  time.Duration // default DefaultMaxBackoff
	Now         func() time.Time
	Metrics     *Metrics // nil = none
}

// Error is a failed opening, or one that was not tried because the last failed a moment ago.
type Error struct {
	Provider string
	Next     time.Time // no opening is tried before
	Err      error     // of the last opening that was tried
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%v (next try at %s)", e.Err, e.Next.Format(time.TimeOnly))
}

// Unwrap returns the error of the last opening that was tried.
func (e *Error) Unwrap() error { return e.Err }

// Stat describes a provider for the page.
type Stat struct {
	Name     string
	Kind     string
	Open     bool
	Uses     int       // leases held on the open value
	Opens    uint64    // since the provider was made
	Failures uint64    // openings that failed, and values that were discarded as broken
	Next     time.Time // no opening is tried before; zero when it may be tried now
	LastErr  error     // of the last opening or use; nil once an opening succeeded
}

// Provider holds at most one open value of type T.
type Provider[T any] struct {
	opts   Options[T]
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup // openings and closings
	gone   func()         // notifies the Set, nil without one

	mu       sync.Mutex
	cur      *instance[T]
	opening  *attempt
	timer    *time.Timer
	streak   int // failures since the last success that was not discarded
	next     time.Time
	lastErr  error
	opens    uint64
	failures uint64
	closed   bool
}

// instance is one opened value and who uses it. All fields are guarded by the provider's mu.
type instance[T any] struct {
	value   T
	uses    int
	retired bool // not to be handed out any more; closed with its last use
}

// attempt is one opening; done is closed when err stands.
type attempt struct {
	done chan struct{}
	err  error
}

// New returns a Provider that has opened nothing.
func New[T any](o Options[T]) *Provider[T] {
	if o.OpenTimeout <= 0 {
		o.OpenTimeout = DefaultOpenTimeout
	}
	if o.MinBackoff <= 0 {
		o.MinBackoff = DefaultMinBackoff
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = DefaultMaxBackoff
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Provider[T]{opts: o}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	o.Metrics.declare(o.Kind)
	return p
}

// Lease is the right to use a value until Release or Discard.
type Lease[T any] struct {
	Value T
	p     *Provider[T]
	inst  *instance[T]
	once  sync.Once
}

// Get returns the open value, opening it when needed. It waits for an opening that is under way
// until ctx is done. The error is an *Error when opening failed or is backing off, ErrClosed after
// Close, or the context's.
func (p *Provider[T]) Get(ctx context.Context) (*Lease[T], error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		lease, at, err := p.tryGet()
		if lease != nil || err != nil {
			return lease, err
		}
		select {
		case <-at.done:
			if at.err != nil {
				return nil, at.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryGet returns a lease, an error, or the opening to wait for.
func (p *Provider[T]) tryGet() (*Lease[T], *attempt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, fmt.Errorf("%s: %w", p.opts.Name, ErrClosed)
	}
	if p.cur != nil && p.opts.Dead != nil && p.opts.Dead(p.cur.value) {
		p.retire()
	}
	if p.cur != nil {
		p.stopTimer()
		p.cur.uses++
		return &Lease[T]{Value: p.cur.value, p: p, inst: p.cur}, nil, nil
	}
	if p.opening == nil {
		if p.opts.Now().Before(p.next) {
			return nil, nil, &Error{Provider: p.opts.Name, Next: p.next, Err: p.lastErr}
		}
		p.opening = &attempt{done: make(chan struct{})}
		at := p.opening
		p.work.Go(func() { p.open(at) })
	}
	return nil, p.opening, nil
}

func (p *Provider[T]) open(at *attempt) {
	ctx, cancel := context.WithTimeout(p.ctx, p.opts.OpenTimeout)
	value, err := p.opts.Open(ctx)
	cancel()

	p.mu.Lock()
	defer p.mu.Unlock()
	p.opening = nil
	switch {
	case err != nil:
		at.err = p.fail(err)
	case p.closed:
		at.err = fmt.Errorf("%s: %w", p.opts.Name, ErrClosed)
		p.close(value)
	default:
		p.opens++
		p.lastErr = nil
		p.next = time.Time{}
		p.cur = &instance[T]{value: value}
		p.opts.Metrics.opened(p.opts.Kind)
		p.startTimer() // the waiters may have gone
	}
	close(at.done)
}

// fail counts a failure, sets the back-off and returns the error to show. mu is held.
func (p *Provider[T]) fail(err error) error {
	p.failures++
	p.opts.Metrics.failed(p.opts.Kind)
	wait := p.opts.MinBackoff
	for range p.streak {
		if wait *= 2; wait >= p.opts.MaxBackoff {
			wait = p.opts.MaxBackoff
			break
		}
	}
	p.streak++
	p.next, p.lastErr = p.opts.Now().Add(wait), err
	return &Error{Provider: p.opts.Name, Next: p.next, Err: err}
}

// retire takes the open value out of use and closes it once no one uses it. mu is held.
func (p *Provider[T]) retire() {
	inst := p.cur
	if inst == nil {
		return
	}
	p.cur = nil
	p.stopTimer()
	inst.retired = true
	p.opts.Metrics.gone(p.opts.Kind)
	if inst.uses == 0 {
		p.close(inst.value)
	}
}

// close gives a value back on a goroutine of its own. mu is held.
func (p *Provider[T]) close(value T) {
	if p.opts.Close != nil {
		p.work.Go(func() { p.opts.Close(value) })
	}
}

func (p *Provider[T]) stopTimer() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// startTimer begins the idle time of the open value. mu is held.
func (p *Provider[T]) startTimer() {
	if p.opts.Idle <= 0 || p.cur == nil || p.cur.uses > 0 {
		return
	}
	p.stopTimer()
	inst := p.cur
	p.timer = time.AfterFunc(p.opts.Idle, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.closed && p.cur == inst && inst.uses == 0 {
			p.retire()
		}
	})
}

// Release ends the use. It may be called more than once.
func (l *Lease[T]) Release() { l.end(nil) }

// Discard ends the use of a value that turned out to be broken: it is not handed out again, the
// failure is counted, and the next opening waits for the back-off. A nil error says that the value
// is spent but nothing failed: the next need opens another at once.
func (l *Lease[T]) Discard(err error) {
	l.p.mu.Lock()
	if l.p.cur == l.inst {
		l.p.retire()
		if err != nil {
			_ = l.p.fail(err)
		}
	}
	l.p.mu.Unlock()
	l.end(err)
}

func (l *Lease[T]) end(err error) {
	l.once.Do(func() {
		if orphan := l.p.unuse(l.inst, err); orphan && l.p.opts.Close != nil {
			l.p.opts.Close(l.Value)
		}
	})
}

// unuse ends one use. orphan says that the provider was closed meanwhile, waits for no one any
// more, and leaves closing the value to the caller.
func (p *Provider[T]) unuse(inst *instance[T], err error) (orphan bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	inst.uses--
	switch {
	case inst.uses > 0:
	case inst.retired && p.closed:
		return true
	case inst.retired:
		p.close(inst.value)
	default:
		if err == nil {
			p.streak = 0 // opened and used: whatever failed before is over
		}
		p.startTimer()
	}
	return false
}

// Unload closes the open value as soon as no one uses it. The next need opens another.
func (p *Provider[T]) Unload() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retire()
}

// Close closes the provider for good: an opening under way is cancelled and the value is closed
// once no one uses it. Close waits for both, but not for leases that are still held: their
// holders' values are closed by their Release.
func (p *Provider[T]) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.retire()
	gone := p.gone
	p.mu.Unlock()
	if gone != nil {
		gone() // the name is free at once
	}
	p.cancel()
	p.work.Wait()
	return nil
}

// Stat returns the present state.
func (p *Provider[T]) Stat() Stat {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stat{Name: p.opts.Name, Kind: p.opts.Kind, Opens: p.opens, Failures: p.failures, LastErr: p.lastErr}
	if p.cur != nil {
		s.Open, s.Uses = true, p.cur.uses
	}
	if p.next.After(p.opts.Now()) {
		s.Next = p.next
	}
	return s
}
