package heap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

const (
	maxListBytes     = 1 << 20
	inspectorOpen    = 2 * time.Second
	inspectorIdle    = 15 * time.Minute // above the longest sample interval
	inspectorBackoff = 10 * time.Second // longest; a refused connection costs 0.1 ms
	reattachAfter    = 5 * time.Minute  // to the same start of a target whose session was lost
	maxLimitTries    = 3
	leaveTimeout     = 500 * time.Millisecond // for the answer to exprClose
)

// inspector reads Node.js through its V8 inspector.
type inspector struct {
	address  string // of the config; "" where it is found by the target's processes
	locator  *locator
	guard    *guard // of an address
	fellows  *fellows
	held     bool
	hint     string
	client   *http.Client
	now      func() time.Time
	logger   *slog.Logger
	provider *lazy.Provider[*session]
	target   *target

	mu       sync.Mutex
	attached debuggee  // the newest start of the target that was attached to
	at       time.Time // when that was
	opened   bool      // its inspector was opened because this exporter asked for it
	left     bool      // it waits to exit, so it is never attached to again
	limit    Amount    // of attached
	tries    int       // readings of the limit that failed, of attached
	silent   string    // the start of the target that ended the session in place of a profile
}

func newInspector(p *Pool, cfg Config, of *target) (backend, error) {
	g := guarded(p, cfg, of)
	n := &inspector{
		address: cfg.Address,
		guard:   g,
		fellows: newFellows(p.opts.ProcFS, of),
		held:    cfg.Session != SessionPerSample,
		hint:    "start node with --inspect=" + cfg.Address,
		client:  newHTTPClient(newTransport(g)),
		now:     p.opts.Now,
		logger:  p.opts.Logger.With("provider", ProviderNode, "address", cfg.Address),
		target:  of,
	}
	name := cfg.Address + whose(cfg, of)
	if cfg.Address == "" {
		name = "of " + of.name
		n.hint = "start node with --inspect=127.0.0.1:9229"
		n.logger = p.opts.Logger.With("provider", ProviderNode, "target", of.name)
		n.locator = newLocator(of, &p.opts, cfg.Activate != "")
		n.locator.try = func(ctx context.Context, m proc.Member, inside bool, address string) (debuggee, error) {
			client := n.client
			if inside {
				client = newInsideClient(p.opts.ProcFS, m)
			}
			return n.find(ctx, client, address)
		}
	}
	var err error
	n.provider, err = lazy.Add(p.lazy, lazy.Options[*session]{
		Name: strings.TrimSpace(ProviderNode+" "+cfg.Session+" "+cfg.Activate) + " " + name, Kind: ProviderNode,
		Open:  n.open,
		Close: n.leave,
		Dead:  n.dead,
		Idle:  inspectorIdle, OpenTimeout: inspectorOpen, MaxBackoff: inspectorBackoff,
		Now: p.opts.Now, Metrics: p.opts.Metrics,
	})
	return n, err
}

// open finds the target and attaches to it, at most once per start of the target: see mayAttach.
func (n *inspector) open(ctx context.Context) (*session, error) {
	address, target, opened, err := n.whereabouts(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.mayAttach(target); err != nil {
		return nil, err
	}
	s, err := attach(ctx, address, target)
	if err != nil {
		return nil, classify(err, address, n.hint)
	}
	n.noteAttached(target, opened)
	n.logger.Debug("attached to the inspector", "id", target.id)
	return s, nil
}

// whereabouts returns the target at the address of the config, or where its processes listen.
func (n *inspector) whereabouts(ctx context.Context) (address string, found debuggee, opened bool, err error) {
	if n.locator != nil {
		return n.locator.locate(ctx)
	}
	found, err = n.find(ctx, n.client, n.address)
	return n.address, found, false, classify(err, n.address, n.hint)
}

// leave ends a session. An inspector that was opened because this exporter asked for it is closed
// again: its port lets every user of the host run code in the target.
func (n *inspector) leave(s *session) {
	n.mu.Lock()
	ours := n.opened && n.attached.id == s.target.id
	n.mu.Unlock()
	if ours && s.lost() == nil {
		ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
		result, _, err := s.call(ctx, methodEvaluate, evaluate(exprClose))
		if err == nil {
			_, err = decodeEvaluate(result)
		}
		if err != nil {
			n.logger.Warn("the inspector that was opened by SIGUSR1 may still be open", "err", err)
		}
		cancel()
	}
	s.close()
}

func (n *inspector) find(ctx context.Context, c *http.Client, address string) (debuggee, error) {
	body, err := get(ctx, c, address, "/json/list")
	if status, ok := errors.AsType[*statusError](err); ok {
		return debuggee{}, fmt.Errorf("not an inspector: %w", status)
	}
	if err != nil {
		return debuggee{}, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxListBytes+1))
	if err != nil {
		return debuggee{}, err
	}
	if len(data) > maxListBytes {
		return debuggee{}, fmt.Errorf("not an inspector: /json/list is larger than %d bytes", maxListBytes)
	}
	found, err := decodeList(data)
	found.via = c
	return found, err
}

// mayAttach refuses a target that must not be attached to again: each attach prints on its stderr,
// and an attached target cannot exit. The id is new with each start of the target.
func (n *inspector) mayAttach(target debuggee) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.attached.id != target.id:
	case n.left:
		return fmt.Errorf("%w: the target is exiting", ErrUnreachable)
	case n.held && n.now().Sub(n.at) < reattachAfter:
		return fmt.Errorf("%w: the session to this start of the target was lost, the next is opened at %s", ErrUnreachable, n.at.Add(reattachAfter).Format(time.TimeOnly))
	}
	return nil
}

func (n *inspector) noteAttached(target debuggee, opened bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.attached.id != target.id {
		n.opened, n.left, n.limit, n.tries = opened, false, Amount{}, 0
	}
	n.attached, n.at = target, n.now()
}

// dead reports whether a session has ended, and remembers when it was left for the target's sake.
func (n *inspector) dead(s *session) bool {
	err := s.lost()
	if errors.Is(err, errLeft) {
		n.mu.Lock()
		if n.attached.id == s.target.id {
			n.left = true
		}
		n.mu.Unlock()
	}
	return err != nil
}

// with runs f on a session and decides what becomes of the session after it. A held session whose
// end shows only now is replaced once, unless f has asked for a collection on it.
func (n *inspector) with(ctx context.Context, f func(s *session) error) error {
	for again := n.held; ; again = false {
		if n.locator != nil && len(n.locator.target.members()) == 0 {
			return ErrNoProcess
		}
		lease, err := n.provider.Get(ctx)
		if err != nil {
			return n.unopened(ctx, err)
		}
		err = f(lease.Value)
		switch {
		case n.dead(lease.Value):
			lease.Discard(broken(lease.Value.lost()))
		case !n.held:
			lease.Discard(nil)
		default:
			lease.Release()
		}
		if !again || !errors.Is(err, errLost) || errors.Is(err, ErrUnknown) {
			return err
		}
	}
}

// broken returns nil for a session that ended as sessions do, because the target or we went.
func broken(err error) error {
	if errors.Is(err, errLeft) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

func (n *inspector) unopened(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, lazy.ErrClosed):
		return ErrClosed
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: no session in time", ErrBusy)
	}
	return err
}

// Read implements Reader.
func (n *inspector) Read(ctx context.Context) (u Usage, err error) {
	err = n.with(ctx, func(s *session) error {
		s.sample(n.held && n.target.samples(), n.now())
		u, err = n.usage(ctx, s)
		return err
	})
	return u, err
}

func (n *inspector) usage(ctx context.Context, s *session) (Usage, error) {
	result, _, err := s.call(ctx, methodHeapUsage, nil)
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	if u.Used, u.Committed, err = decodeHeapUsage(result); err != nil {
		return Usage{}, err
	}
	u.Limit = n.limitOf(ctx, s)
	if n.locator != nil {
		n.fellows.cover(&u, s.target.of, true)
	} else {
		read, known := n.guard.reader()
		n.fellows.cover(&u, read, known)
	}
	return u, nil
}

// limitOf returns the limit, which is read once per start of the target: V8 fixes it at its start.
// A reading that fails leaves it absent and is repeated a few times only.
func (n *inspector) limitOf(ctx context.Context, s *session) Amount {
	n.mu.Lock()
	known, give := n.limit, n.tries >= maxLimitTries || n.attached.id != s.target.id
	n.mu.Unlock()
	if known.OK || give {
		return known
	}
	if !ready(ctx, s) {
		return Amount{}
	}
	result, _, err := s.call(ctx, methodEvaluate, evaluate(exprLimit))
	if errors.Is(err, ErrBusy) || errors.Is(err, errLost) || errors.Is(err, context.Canceled) {
		return Amount{}
	}
	limit := Amount{}
	if err == nil {
		limit, err = decodeLimit(result)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.tries++
		if n.tries == maxLimitTries {
			n.logger.Warn("the heap limit cannot be read, so there is no ratio", "err", err)
		}
		return Amount{}
	}
	if n.attached.id == s.target.id {
		n.limit = limit
	}
	return limit
}

// ready reports whether expressions may be evaluated: the target has begun its program.
func ready(ctx context.Context, s *session) bool {
	if s.begun.Load() {
		return true
	}
	result, _, err := s.call(ctx, methodEvaluate, evaluateParams{Expression: exprReady, ReturnByValue: true, Silent: true})
	if err != nil {
		return false
	}
	if v, err := decodeEvaluate(result); err != nil || v != 1 {
		return false
	}
	s.begun.Store(true)
	return true
}

func evaluate(expression string) evaluateParams {
	return evaluateParams{Expression: expression, CommandLineAPI: true, ReturnByValue: true, Silent: true}
}

// collect implements backend.
func (n *inspector) collect(ctx context.Context, mode string) (before, after Usage, err error) {
	err = n.with(ctx, func(s *session) error {
		if before, err = n.usage(ctx, s); err != nil {
			return fmt.Errorf("before the collection, which was not asked for: %w", err)
		}
		if err := n.force(ctx, s, mode); err != nil {
			return err
		}
		after, _ = n.usage(ctx, s) // absent when it fails: the collection has ended all the same
		return nil
	})
	return before, after, err
}

// force runs one full collection: gc() or, in thorough mode and where the target does not let us,
// the profiler's.
func (n *inspector) force(ctx context.Context, s *session, mode string) error {
	if mode != CollectThorough && ready(ctx, s) {
		result, sent, err := s.call(ctx, methodEvaluate, evaluate(exprCollect))
		if err == nil {
			_, err = decodeEvaluate(result)
			if err == nil {
				return nil
			}
		} else if _, answered := errors.AsType[*answerError](err); !answered {
			return unknownIf(sent, err)
		}
		n.logger.Debug("gc() is not to be had, asking the heap profiler", "err", err)
	}
	_, sent, err := s.call(ctx, methodCollect, nil)
	if _, answered := errors.AsType[*answerError](err); answered {
		return err
	}
	return unknownIf(sent, err)
}

// unknownIf marks an error of a collection that the target may have begun.
func unknownIf(sent bool, err error) error {
	if err == nil || !sent {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

func (n *inspector) close() error { return n.provider.Close() }
