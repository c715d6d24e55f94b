package web

import (
	"net/http"
	"net/url"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// journalView is a page of the journal.
type journalView struct {
	Target, Outcome string
	Next            string // After of the page with older records; "" when there are none
}

// Older returns the address of the page with older records.
func (j *journalView) Older() string {
	q := url.Values{"after": {j.Next}}
	if j.Target != "" {
		q.Set("target", j.Target)
	}
	if j.Outcome != "" {
		q.Set("outcome", j.Outcome)
	}
	return "/journal?" + q.Encode()
}

// journalPage is GET /journal?target=&outcome=&after=: the records for people.
func (s *server) journalPage(w http.ResponseWriter, r *http.Request) {
	_, v := s.newView("journal")
	q := r.URL.Query()
	v.Title = "Journal · " + v.Host
	v.Journal = &journalView{Target: q.Get("target"), Outcome: q.Get("outcome")}
	s.recent(v, journal.Filter{Target: v.Journal.Target, Outcome: v.Journal.Outcome, After: q.Get("after"), Limit: journalActions})
	s.render(w, r, v)
}

// apiPage is GET /api/v1/: what there is as JSON.
func (s *server) apiPage(w http.ResponseWriter, r *http.Request) {
	_, v := s.newView("api")
	v.Title = "API · " + v.Host
	s.render(w, r, v)
}
