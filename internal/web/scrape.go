package web

import (
	"net/http"
	"time"
)

const (
	scrapesAtOnce = 8                // of callers of one standing
	scrapeWait    = 5 * time.Second  // for a turn
	scrapeWrite   = 10 * time.Second // for a caller without proof to read the answer
)

// turns are the scrapes at the same time, by the standing of the caller: a crowd of one standing makes
// only its own wait.
type turns [proved + 1]chan struct{}

func newTurns() (t turns) {
	for i := range t {
		t[i] = make(chan struct{}, scrapesAtOnce)
	}
	return t
}

// take waits for a turn, and reports whether it came.
func (t *turns) take(r *http.Request, k standing) bool {
	select {
	case t[k] <- struct{}{}:
		return true
	default:
	}
	limit := time.NewTimer(scrapeWait)
	defer limit.Stop()
	select {
	case t[k] <- struct{}{}:
		return true
	case <-limit.C:
	case <-r.Context().Done():
	}
	return false
}

// scrape serves the metrics and learns under which name this exporter is scraped: that is its
// instance label. A caller who may not change anything teaches nothing: the name decides whose alerts
// are acted on.
func (s *server) scrape() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.mayChange(r) == nil {
			s.LearnHost(r.Host)
		}
		k, _ := s.standing(r)
		if !s.turns.take(r, k) {
			w.Header().Set("Retry-After", "1")
			text(w, http.StatusServiceUnavailable, "Too many scrapes wait for their turn: retry later, or send the token, for which turns are kept.")
			return
		}
		defer func() { <-s.turns[k] }()
		if k != proved {
			//nolint:errcheck // a connection that cannot have a deadline is a test's
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(scrapeWrite))
		}
		s.Metrics.ServeHTTP(w, r)
	})
}
