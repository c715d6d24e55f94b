package web

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/loopback"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Pause holds back what begins by itself.
type Pause struct {
	Target string        `json:"target,omitempty"` // absent: all targets
	Since  time.Time     `json:"since"`
	Until  time.Time     `json:"until,omitzero"` // absent: until someone resumes
	Length time.Duration `json:"-"`
	Reason string        `json:"reason,omitempty"`
	By     string        `json:"-"` // who asked: in the journal
}

// Budget is what a playbook may still do by itself.
type Budget struct {
	Target    string         `json:"target"`
	Playbook  string         `json:"playbook"`
	AtMost    int            `json:"at_most"`
	Per       units.Duration `json:"per"`
	Remaining int            `json:"remaining"`
}

// concerns reports whether a pause holds a target; "" is any.
func (p *Pause) concerns(target string) bool {
	return target == "" || p.Target == "" || p.Target == target
}

// pause is POST /api/v1/pause.
func (s *server) pause(w http.ResponseWriter, r *http.Request) { s.hold(w, r, false) }

// resume is POST /api/v1/resume.
func (s *server) resume(w http.ResponseWriter, r *http.Request) { s.hold(w, r, true) }

// hold pauses or resumes, and answers with the pauses that hold then. What could not be written is in effect all the
// same, and the answer has a warning.
func (s *server) hold(w http.ResponseWriter, r *http.Request, resume bool) {
	release, ok := s.admit(w, r, true)
	if !ok {
		return
	}
	defer release()
	form := `{"target": "...", "for": "2h", "reason": "..."}, or {} for all targets until someone resumes`
	if resume {
		form = `{"target": "..."}, or {} to end all pauses`
	}
	var req PauseRequest
	if !s.read(w, r, &req, form) {
		return
	}
	if resume && (req.For != 0 || req.Reason != "") {
		fail(w, http.StatusBadRequest, "the end of a pause has no time and no reason: send %s", form)
		return
	}
	req.Resume, req.By = resume, s.caller(r)
	err := s.Pause(r.Context(), req)
	if errors.Is(err, ErrRefused) {
		fail(w, http.StatusBadRequest, "%s", err)
		return
	}
	out := struct {
		Status  string  `json:"status"`
		Warning string  `json:"warning,omitempty"`
		Pauses  []Pause `json:"pauses"`
	}{Status: "success", Pauses: append([]Pause{}, s.State().Activity.Pauses...)}
	if err != nil {
		out.Warning = err.Error()
	}
	writeJSON(w, http.StatusOK, out)
}

// caller names who sent a request, for the journal: the user whom the listener has made sure of, or the host.
func (s *server) caller(r *http.Request) string {
	host := cmp.Or(loopback.Peer(r.RemoteAddr), "this host")
	if s.User != nil {
		if user := s.User(r); user != "" {
			return "user " + user + " (" + host + ")"
		}
	}
	return "the API (" + host + ")"
}
