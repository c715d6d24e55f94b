package hitrate

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
)

// Kind is the provider label of watches in the metrics of lazy.
const Kind = "inotify"

// Cache is what is watched: the same value gets the same watch.
type Cache struct {
	Name string // unique; names the watch in errors
	Dir  string
	Key  string // whatever else decides which files count
}

// Pool holds one Watch per cache. It outlives reloads: a reload that takes its handles before the
// old ones are closed keeps the watches, their totals and what they remember.
type Pool struct {
	lazy    *lazy.Set
	metrics *lazy.Metrics
	now     func() time.Time

	mu     sync.Mutex
	shared map[Cache]*shared
	made   int
}

type shared struct {
	provider *lazy.Provider[*Watch]
	users    int // guarded by Pool.mu

	mu    sync.Mutex
	lease *lazy.Lease[*Watch] // from the first scan on
	watch *Watch
}

// NewPool returns a Pool that watches nothing. metrics may be nil.
func NewPool(now func() time.Time, metrics *lazy.Metrics) *Pool {
	return &Pool{lazy: lazy.NewSet(), metrics: metrics, now: now, shared: make(map[Cache]*shared)}
}

// Get returns a handle on the watch of a cache. Nothing is opened before its first Begin.
func (p *Pool) Get(c Cache, selects func(name []byte) bool) (*Handle, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shared[c]
	if s == nil {
		p.made++ // in the name, since the watch before it may still be closing
		provider, err := lazy.Add(p.lazy, lazy.Options[*Watch]{
			Name: fmt.Sprintf("watch %d of cache %s in %s", p.made, c.Name, c.Dir), Kind: Kind, Now: p.now, Metrics: p.metrics,
			Open:  func(context.Context) (*Watch, error) { return New(Options{Select: selects, Now: p.now}) },
			Close: func(w *Watch) { _ = w.Close() }, // of a descriptor that is only read
		})
		if err != nil {
			return nil, err
		}
		s = &shared{provider: provider}
		p.shared[c] = s
	}
	s.users++
	return &Handle{pool: p, cache: c, shared: s}, nil
}

// Stats describes the watches for the page.
func (p *Pool) Stats() []lazy.Stat { return p.lazy.Stats() }

// Close ends all watches.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c, s := range p.shared {
		s.release()
		delete(p.shared, c)
	}
	return p.lazy.CloseAll()
}

// Handle is one user's handle on a watch. A nil *Handle watches nothing and knows nothing. Its
// methods are safe for concurrent use.
type Handle struct {
	pool   *Pool
	cache  Cache
	shared *shared
	once   sync.Once
}

// Begin is Watch.Begin; it opens the watch on first need.
func (h *Handle) Begin(ctx context.Context) error {
	s := h.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch == nil {
		lease, err := s.provider.Get(ctx)
		if err != nil {
			return err
		}
		s.lease, s.watch = lease, lease.Value
	}
	s.watch.Begin()
	return nil
}

func (h *Handle) watch() *Watch {
	if h == nil {
		return nil
	}
	h.shared.mu.Lock()
	defer h.shared.mu.Unlock()
	return h.shared.watch
}

// Follow is Watch.Follow, after Begin. A scan that was given up may come here after the watch was
// closed: the error is then os.ErrClosed, here and in Counts.
func (h *Handle) Follow(fd int, path []byte) error {
	if w := h.watch(); w != nil {
		return w.Follow(fd, path)
	}
	return os.ErrClosed
}

// End is Watch.End, after Begin.
func (h *Handle) End() {
	if w := h.watch(); w != nil {
		w.End()
	}
}

// Counts is Watch.Counts, after Begin.
func (h *Handle) Counts() (Counts, error) {
	if w := h.watch(); w != nil {
		return w.Counts()
	}
	return Counts{}, os.ErrClosed
}

// LastUseNs is Watch.LastUseNs, and 0 while nothing is watched.
func (h *Handle) LastUseNs(path []byte) int64 {
	if w := h.watch(); w != nil {
		return w.LastUseNs(path)
	}
	return 0
}

// CatchUp is Watch.CatchUp.
func (h *Handle) CatchUp() {
	if w := h.watch(); w != nil {
		w.CatchUp()
	}
}

// Pause is Watch.Pause.
func (h *Handle) Pause() (resume func()) {
	if w := h.watch(); w != nil {
		return w.Pause()
	}
	return func() {}
}

// Close gives the handle back; the last user's Close ends the watch.
func (h *Handle) Close() {
	if h == nil {
		return
	}
	h.once.Do(func() {
		h.pool.mu.Lock()
		defer h.pool.mu.Unlock()
		s := h.shared
		if s.users--; s.users > 0 || h.pool.shared[h.cache] != s {
			return
		}
		delete(h.pool.shared, h.cache)
		s.release()
		_ = s.provider.Close() // the same error would be reported by no one
	})
}

func (s *shared) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease != nil {
		s.lease.Release()
		s.lease, s.watch = nil, nil
	}
}
