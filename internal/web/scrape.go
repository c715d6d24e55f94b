package web

import (
	"bytes"
	"net/http"
	"sync"
	"time"
)

const (
	scrapesOpen   = 40               // of callers of one standing, with those that read their answer
	scrapesAtOnce = 2                // of them: being gathered
	scrapeWait    = 5 * time.Second  // for a turn
	scrapeWrite   = 10 * time.Second // for a caller without proof to read the answer
)

// turns are the scrapes at the same time, by the standing of the caller: a crowd of one standing makes
// only its own wait.
type turns [proved + 1]struct{ open, gathering chan struct{} }

func newTurns() (t turns) {
	for i := range t {
		t[i].open, t[i].gathering = make(chan struct{}, scrapesOpen), make(chan struct{}, scrapesAtOnce)
	}
	return t
}

// take waits for a turn until a time, and reports whether it came.
func take(r *http.Request, turn chan struct{}, until time.Time) bool {
	select {
	case turn <- struct{}{}:
		return true
	default:
	}
	limit := time.NewTimer(time.Until(until))
	defer limit.Stop()
	select {
	case turn <- struct{}{}:
		return true
	case <-limit.C:
	case <-r.Context().Done():
	}
	return false
}

// answer keeps what a handler writes, so that a client that reads slowly holds up only itself.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

// Header returns the header.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader keeps the code.
func (a *answer) WriteHeader(code int) { a.code = code }

// Write keeps a part of the body.
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// scrape serves the metrics and learns under which name this exporter is scraped: that is its
// instance label. A caller who may not change anything teaches nothing: the name decides whose alerts
// are acted on.
func (s *server) scrape() http.Handler {
	spare := sync.Pool{New: func() any { return new(answer) }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.mayChange(r) == nil {
			s.LearnHost(r.Host)
		}
		k, _ := s.standing(r)
		turn, until := &s.turns[k], time.Now().Add(scrapeWait)
		if !take(r, turn.open, until) {
			s.tooManyScrapes(w)
			return
		}
		defer func() { <-turn.open }()
		if !take(r, turn.gathering, until) {
			s.tooManyScrapes(w)
			return
		}
		a, _ := spare.Get().(*answer)
		defer spare.Put(a)
		a.header, a.code = w.Header(), http.StatusOK
		a.body.Reset()
		func() {
			defer func() { <-turn.gathering }()
			s.Metrics.ServeHTTP(a, r)
		}()
		if k != proved {
			//nolint:errcheck // a connection that cannot have a deadline is a test's
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(scrapeWrite))
		}
		w.WriteHeader(a.code)
		w.Write(a.body.Bytes())
	})
}

func (s *server) tooManyScrapes(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	text(w, http.StatusServiceUnavailable, "Too many scrapes wait for their turn: retry later, or send the token, for which turns are kept.")
}
