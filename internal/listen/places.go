package listen

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/loopback"
)

// The connections of one listener at the same time. Who has proved who he is with the last request
// counts only for the first limit.
const (
	maxConnections = 512
	maxUnproved    = 448 // the others are kept for those who have proved who they are
	maxRemote      = 384 // of the unproved, from other hosts: the others are kept for this one
	maxPeer        = 128 // of the remote, from one host

	patience  = 2 * time.Second // for a first request to come, and for one without proof to be answered, when places are scarce
	warnEvery = time.Minute
)

// places are the connections of one listener. Where there are too many, a new one has the place of another
// that loses nothing or little by it: see rank. One host goes beyond its number only at its own cost.
// Where no such connection is left, the new one has a kept place, and loses it when its request
// proves nothing.
type places struct {
	logger *slog.Logger
	now    func() time.Time

	mu     sync.Mutex
	conns  map[*conn]struct{}
	warned time.Time // when it was last said that places are scarce
}

// conn is one connection. All but the first three are guarded by the mu of places.
type conn struct {
	net.Conn
	places *places
	peer   string // "" = this host

	state  http.ConnState
	since  time.Time // of the state
	proved bool      // by the last request
	stream bool      // the request stays, and is limited where it is answered
	judged bool      // the request's header is read, and what it proves is known
	ended  bool      // the request is answered, although its body has not arrived
	kept   bool      // it has a kept place, and has to prove who it is
}

func newPlaces(logger *slog.Logger) *places {
	return &places{logger: logger, now: time.Now, conns: make(map[*conn]struct{})}
}

// listener accepts connections within the limits of its places.
type listener struct {
	net.Listener
	places *places
}

// Accept returns the next connection that has a place.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.places.take(raw); c != nil {
			return c, nil
		}
		raw.Close()
	}
}

// Close frees the place.
func (c *conn) Close() error {
	c.places.mu.Lock()
	delete(c.places.conns, c)
	c.places.mu.Unlock()
	return c.Conn.Close()
}

// take gives a place to a new connection, and nil where there is none.
func (p *places) take(raw net.Conn) *conn {
	c := &conn{Conn: raw, places: p, peer: loopback.Peer(raw.RemoteAddr().String()), state: http.StateNew, since: p.now()}
	p.mu.Lock()
	victim, ok := p.room(c)
	if ok {
		delete(p.conns, victim)
		p.conns[c] = struct{}{}
	}
	p.mu.Unlock()
	if victim != nil {
		p.warn(victim)
		victim.Conn.Close()
	}
	if !ok {
		return nil
	}
	return c
}

// warn says now and then that places are scarce, and who has them.
func (p *places) warn(victim *conn) {
	p.mu.Lock()
	now := p.now()
	due := p.warned.IsZero() || now.Sub(p.warned) >= warnEvery
	if due {
		p.warned = now
	}
	p.mu.Unlock()
	if due {
		p.logger.Warn("too many connections are open: those that wait are closed for new ones", "client", victim.RemoteAddr().String(), "most", maxConnections)
	}
}

// room decides who goes for a new connection, if anyone has to. It is called with the lock held.
func (p *places) room(c *conn) (victim *conn, ok bool) {
	unproved, remote, peer := p.count(c.peer)
	among := func(*conn) bool { return false }
	switch {
	case peer >= maxPeer:
		victim = p.first(proven, func(o *conn) bool { return o.peer == c.peer })
		return victim, victim != nil
	case remote >= maxRemote && c.peer != "":
		among = func(o *conn) bool { return o.peer != "" }
	case unproved >= maxUnproved:
		among = func(o *conn) bool { return c.peer == "" || o.peer != "" }
	case len(p.conns) < maxConnections:
		return nil, true
	}
	if victim = p.first(young, func(o *conn) bool { return !o.kept && among(o) }); victim != nil {
		return victim, true
	}
	if len(p.conns) < maxConnections {
		c.kept = true
		return nil, true
	}
	if victim = p.first(busy, func(o *conn) bool { return o.proved || o.kept || among(o) }); victim == nil {
		return nil, false
	}
	c.kept = victim.kept || victim.proved
	return victim, true
}

// count counts the connections without proof: all, those from other hosts, and those from one of them. It
// is called with the lock held.
func (p *places) count(peer string) (unproved, remote, same int) {
	for o := range p.conns {
		if o.proved {
			continue
		}
		unproved++
		if o.peer != "" {
			remote++
			if o.peer == peer {
				same++
			}
		}
	}
	return unproved, remote, same
}

// first returns the connection that is closed first: of the lowest rank, which is below least, of the host
// that has the most of them, the one that has waited longest. It is called with the lock held.
func (p *places) first(least int, among func(o *conn) bool) *conn {
	of := make(map[string]int)
	for o := range p.conns {
		if among(o) {
			of[o.peer]++
		}
	}
	now := p.now()
	var best *conn
	for o := range p.conns {
		if !among(o) {
			continue
		}
		rank := o.rank(now)
		if rank < least || rank == least && best != nil && cmp.Or(cmp.Compare(of[best.peer], of[o.peer]), o.since.Compare(best.since)) < 0 {
			best, least = o, rank
		}
	}
	return best
}

// The ranks, in the order in which connections are closed for new ones.
const (
	waiting = iota // nothing is lost: no request has come for long, or it is answered
	slow           // a request that proves nothing takes longer than it may
	young          // a request that proves nothing is being answered
	fresh          // opened a moment ago, or its request is not read yet
	proven         // waiting, and the last request had proof
	busy           // not closed
)

func (c *conn) rank(now time.Time) int {
	early := now.Sub(c.since) <= patience
	switch {
	case c.state == http.StateActive && !c.ended:
		switch {
		case c.proved || c.stream:
			return busy
		case early && !c.judged:
			return fresh
		case early:
			return young
		}
		return slow
	case c.proved:
		return proven
	case c.state == http.StateNew && early:
		return fresh
	}
	return waiting
}

// mark is the ConnState of the server.
func (p *places) mark(nc net.Conn, state http.ConnState) {
	c := connOf(nc)
	if c == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.state, c.since, c.judged, c.ended = state, p.now(), false, false
	if state == http.StateIdle {
		c.stream = false
	}
}

// connOf returns the connection below one of the server, which TLS wraps.
func connOf(nc net.Conn) *conn {
	for {
		switch c := nc.(type) {
		case *conn:
			return c
		case interface{ NetConn() net.Conn }:
			nc = c.NetConn()
		default:
			return nil
		}
	}
}

// connKey is where net/http lets a handler find its connection.
type connKey struct{}

func connContext(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, connOf(nc))
}

// handler notes what each request proves, and refuses those that prove nothing on a kept place.
func (p *places) handler(next http.Handler, caller func(*http.Request) (proved, stream bool)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(connKey{}).(*conn)
		if !ok || c == nil {
			next.ServeHTTP(w, r)
			return
		}
		proved, stream := caller(r)
		if !p.request(c, proved, stream) {
			w.Header().Set("Connection", "close")
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many connections: retry later, or send the token, for which places are kept", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
		if r.ProtoMajor == 1 {
			p.answered(c)
		}
	})
}

// request notes a request, and reports whether it may be answered.
func (p *places) request(c *conn, proved, stream bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.judged, c.proved, c.stream = true, proved, c.stream || stream
	if c.kept && !proved {
		unproved, remote, same := p.count(c.peer)
		if unproved > maxUnproved || c.peer != "" && (remote > maxRemote || same > maxPeer) {
			return false
		}
	}
	c.kept = false
	return true
}

func (p *places) answered(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.ended, c.since = true, p.now()
}
