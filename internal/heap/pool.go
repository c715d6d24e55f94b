package heap

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// backend is one client of one address.
type backend interface {
	Reader
	// collect is Collector.Collect, in one of the modes of the config.
	collect(ctx context.Context, mode string) (before, after Usage, err error)
	close() error
}

// Target is whose heap a client reads. Members and Anon answer from memory.
type Target struct {
	Name    string
	Members func() []proc.Member                   // its processes at present; nil: none are watched
	Anon    func() (resident units.Bytes, ok bool) // anonymous resident memory of all of them; nil: not watched
	// Activate makes one of them open its inspector, on the record; nil: nothing may be sent to
	// the target. Its error is an ErrNotSent when nothing was sent and nothing was recorded.
	Activate func(context.Context, proc.Member) error
	// Sample says that what the target allocates is sampled, for a Profile. Node.js does so from then on; Go and the
	// JVM need none.
	Sample bool
	// Wake makes a Java virtual machine open its attach socket. It is called for a collection
	// only; nil: nothing may be sent to the target.
	Wake func(context.Context, Sleeper) error
}

// target is a Target that a reload may give other functions: a client outlives the tracker whose
// members it was made with.
type target struct {
	name string
	now  atomic.Pointer[Target]
}

func (t *target) members() []proc.Member {
	if f := t.now.Load().Members; f != nil {
		return f()
	}
	return nil
}

func (t *target) anon() (units.Bytes, bool) {
	if f := t.now.Load().Anon; f != nil {
		return f()
	}
	return 0, false
}

// Options configure a Pool. Logger is required.
type Options struct {
	Logger  *slog.Logger
	Now     func() time.Time // default time.Now
	Metrics *lazy.Metrics    // nil = none
	ProcFS  string           // where procfs is mounted; default /proc
	// Ports returns the loopback addresses at which a process listens; default proc.Ports.
	Ports func(proc.Member) ([]netip.AddrPort, error)
}

// Pool holds at most one client per provider and address, shared by all who ask for it. It
// outlives reloads: a reload that takes its clients from the pool before the old ones are closed
// keeps their sessions, so that the target is not attached to again.
type Pool struct {
	opts Options
	lazy *lazy.Set

	mu        sync.Mutex
	shared    map[sharedKey]*shared
	documents int // made so far
}

// sharedKey distinguishes clients. What reads by address is shared by all targets that name it and watch
// no processes; what finds its target by its processes, or connects to those alone, is that target's own.
type sharedKey struct {
	cfg    Config
	target string
}

type shared struct {
	backend
	of    *target
	users int // guarded by Pool.mu
}

// NewPool returns a Pool that has opened nothing.
func NewPool(o Options) *Pool {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ProcFS == "" {
		o.ProcFS = "/proc"
	}
	if o.Ports == nil {
		o.Ports = func(m proc.Member) ([]netip.AddrPort, error) { return proc.Ports(o.ProcFS, m) }
	}
	return &Pool{opts: o, lazy: lazy.NewSet(), shared: make(map[sharedKey]*shared)}
}

// Get returns a client for a config that Validate has accepted, nil when it configures no heap.
// Nothing is opened before the first reading. Close the client when it is not needed any more.
func (p *Pool) Get(cfg Config, of Target) (*Client, error) {
	if !cfg.Enabled() {
		return nil, nil //nolint:nilnil // a nil Client is usable, see Client
	}
	f, known := providers[cfg.Provider]
	if !known {
		return nil, fmt.Errorf("heap provider %q: %w", cfg.Provider, ErrNotConfigured)
	}
	if cfg.Provider == ProviderNode && cfg.Session == "" {
		cfg.Session = SessionHeld
	}
	key := sharedKey{cfg: cfg}
	key.cfg.Collect = Collect{}                                              // what reads a heap does not depend on when it is collected
	if cfg.byProcess() || of.Members != nil && cfg.Listener != ListenerAny { // it is looked at whose socket it is
		key.target = of.Name
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shared[key]
	if s == nil {
		t := &target{name: of.Name}
		t.now.Store(&of)
		b, err := f.open(p, cfg, t)
		if err != nil {
			return nil, err
		}
		s = &shared{backend: b, of: t}
		p.shared[key] = s
	}
	s.of.now.Store(&of)
	s.users++
	return &Client{pool: p, key: key, mode: cfg.Collect.Mode, shared: s}, nil
}

// Stats describes the clients for the page.
func (p *Pool) Stats() []lazy.Stat { return p.lazy.Stats() }

// Close closes all clients, whoever uses them.
func (p *Pool) Close() error { return p.lazy.CloseAll() }

func (p *Pool) put(key sharedKey, s *shared) error {
	p.mu.Lock()
	s.users--
	last := s.users == 0
	if last && p.shared[key] == s {
		delete(p.shared, key)
	}
	p.mu.Unlock()
	if !last {
		return nil
	}
	return s.close()
}

// Client is one user's handle on a shared client. It implements Collector and io.Closer. A nil
// *Client answers ErrNotConfigured.
type Client struct {
	pool   *Pool
	key    sharedKey
	mode   string // how it asks for a collection
	shared *shared

	mu     sync.Mutex
	closed bool
}

func (c *Client) usable() error {
	if c == nil {
		return ErrNotConfigured
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	return nil
}

// Runtime returns the runtime label: node or go; "" for a nil Client.
func (c *Client) Runtime() string {
	if c == nil {
		return ""
	}
	return c.key.cfg.Runtime()
}

// Read implements Reader.
func (c *Client) Read(ctx context.Context) (Usage, error) {
	if err := c.usable(); err != nil {
		return Usage{}, err
	}
	return c.shared.Read(ctx)
}

// Collect implements Collector.
func (c *Client) Collect(ctx context.Context) (before, after Usage, err error) {
	if err := c.usable(); err != nil {
		return Usage{}, Usage{}, err
	}
	return c.shared.collect(ctx, c.mode)
}

// Close gives the handle back; the last user's Close ends the connection.
func (c *Client) Close() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	was := c.closed
	c.closed = true
	c.mu.Unlock()
	if was {
		return nil
	}
	return c.pool.put(c.key, c.shared)
}
