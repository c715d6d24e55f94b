package heap

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
)

// factory makes the client of a provider; nothing is opened before the first reading.
type factory struct {
	runtime string // label of the metrics
	example string // an address as it stands in a config
	hint    string // how to start a target so that it listens there
	open    func(p *Pool, cfg Config) (backend, error)
}

var providers = map[string]factory{
	ProviderNode: {runtime: "node", example: "127.0.0.1:9229", hint: "start node with --inspect=127.0.0.1:9229", open: newInspector},
	ProviderGo:   {runtime: "go", example: "127.0.0.1:6060", hint: "serve net/http/pprof there", open: newPprof},
}

// backend is one client of one address.
type backend interface {
	Collector
	close() error
}

// Options configure a Pool. Logger is required.
type Options struct {
	Logger  *slog.Logger
	Now     func() time.Time // default time.Now
	Metrics *lazy.Metrics    // nil = none
}

// Pool holds at most one client per provider and address, shared by all who ask for it. It
// outlives reloads: a reload that takes its clients from the pool before the old ones are closed
// keeps their sessions, so that the target is not attached to again.
type Pool struct {
	opts Options
	lazy *lazy.Set

	mu     sync.Mutex
	shared map[Config]*shared
}

type shared struct {
	backend
	users int // guarded by Pool.mu
}

// NewPool returns a Pool that has opened nothing.
func NewPool(o Options) *Pool {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Pool{opts: o, lazy: lazy.NewSet(), shared: make(map[Config]*shared)}
}

// Get returns a client for a config that Validate has accepted, nil when it configures no heap.
// Nothing is opened before the first reading. Close the client when it is not needed any more.
func (p *Pool) Get(cfg Config) (*Client, error) {
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
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shared[cfg]
	if s == nil {
		b, err := f.open(p, cfg)
		if err != nil {
			return nil, err
		}
		s = &shared{backend: b}
		p.shared[cfg] = s
	}
	s.users++
	return &Client{pool: p, cfg: cfg, shared: s}, nil
}

// Stats describes the clients for the page.
func (p *Pool) Stats() []lazy.Stat { return p.lazy.Stats() }

// Close closes all clients, whoever uses them.
func (p *Pool) Close() error { return p.lazy.CloseAll() }

func (p *Pool) put(cfg Config, s *shared) error {
	p.mu.Lock()
	s.users--
	last := s.users == 0
	if last && p.shared[cfg] == s {
		delete(p.shared, cfg)
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
	cfg    Config
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
	return c.cfg.Runtime()
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
	return c.shared.Collect(ctx)
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
	return c.pool.put(c.cfg, c.shared)
}
