package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const (
	watchPath      = "/api/v1/watch"
	watchEvery     = 500 * time.Millisecond // how often the store is looked at for a stream
	updateEvery    = 4 * time.Second        // news for the page
	heartbeatEvery = 15 * time.Second
	streamDeadline = 10 * time.Second // for one write
)

// watch is GET /api/v1/watch?target=: Server-Sent Events. An event "level" with the health report
// comes at once and with every change of a target's level, so that an application can shed load
// by itself; an event "update" notifies a page that there is something new to fetch.
func (s *server) watch(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("target")
	if name != "" && len(only(s.observed(), name)) == 0 {
		fail(w, http.StatusNotFound, "there is no target %q: /api/v1/targets lists them", name)
		return
	}
	k, peer := s.standing(r)
	place := s.streams.enter(k, peer)
	if place == nil {
		w.Header().Set("Retry-After", "30")
		fail(w, http.StatusServiceUnavailable, "%d streams are open already: send the token, close one, or poll /health/memory", maxStreams)
		return
	}
	defer s.streams.leave(place)
	rc := http.NewResponseController(w)
	//nolint:errcheck // without this the server's own read limit would end the stream
	rc.SetReadDeadline(time.Time{})
	st := &stream{s: s, w: w, rc: rc, name: name, gone: place.gone, levels: make(map[string]series.Level)}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	st.run(r)
}

// stream is one watcher.
type stream struct {
	s      *server
	w      http.ResponseWriter
	rc     *http.ResponseController
	name   string
	gone   chan struct{} // closed when another has taken the place
	levels map[string]series.Level
}

func (st *stream) run(r *http.Request) {
	// Said at once, so that a client knows that it is connected although no level is known yet.
	if !st.send("retry: 3000\n\n") {
		return
	}
	var seq uint64
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	updated := st.s.Now()
	for {
		if now := st.s.Store.Seq(); now != seq {
			seq = now
			if !st.changes() {
				return
			}
			if t := st.s.Now(); t.Sub(updated) >= updateEvery {
				updated = t
				if !st.send("event: update\ndata: {}\n\n") {
					return
				}
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-st.gone:
			st.send(": another stream has taken this place\n\n")
			return
		case <-beat.C:
			if !st.send(": still here\n\n") {
				return
			}
		case <-look.C:
		}
	}
}

// changes sends the report of every target whose level is not what was sent last.
func (st *stream) changes() bool {
	targets := st.s.observed()
	if st.name != "" {
		targets = only(targets, st.name)
	}
	for i := range targets {
		t := &targets[i]
		if t.Level == nil {
			continue
		}
		if before, sent := st.levels[t.Name]; sent && before == *t.Level {
			continue
		}
		st.levels[t.Name] = *t.Level
		if !st.sendReport(t) {
			return false
		}
	}
	return true
}

func (st *stream) sendReport(t *health.Target) bool {
	raw, err := json.Marshal(t.Report())
	if err != nil {
		return true
	}
	return st.send(fmt.Sprintf("event: level\ndata: %s\n\n", raw))
}

func (st *stream) send(event string) bool {
	//nolint:errcheck // a connection that cannot have a deadline is a test's
	st.rc.SetWriteDeadline(time.Now().Add(streamDeadline))
	if _, err := st.w.Write([]byte(event)); err != nil {
		return false
	}
	return st.rc.Flush() == nil
}
