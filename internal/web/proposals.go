package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
)

var (
	// ErrGone marks an error of Decide for a proposal that does not wait.
	ErrGone = errors.New("gone")
	// ErrVoid marks an error of Decide for a proposal whose situation has changed.
	ErrVoid = errors.New("void")
)

const (
	formType = "application/x-www-form-urlencoded"
	maxBy    = 100 // bytes of a name
	csp      = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	cspPage  = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

// Proposal is a run that waits for the approval of a person.
type Proposal struct {
	ID       string         `json:"id"`
	Target   string         `json:"target"`
	Playbook string         `json:"playbook"`
	Level    string         `json:"level"`
	Alert    string         `json:"alert,omitempty"`
	Trigger  string         `json:"trigger"`
	Since    time.Time      `json:"since"`
	Until    time.Time      `json:"until"`              // it expires
	Reading  string         `json:"reading,omitempty"`  // why
	Evidence []string       `json:"evidence,omitempty"` // what was found out before
	Steps    []ProposedStep `json:"steps"`              // what would run, each only if those before it did not help
}

// ProposedStep is one step of a proposal.
type ProposedStep struct {
	Do     string `json:"do"`
	Files  int64  `json:"files,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"` // that would be free
	Detail string `json:"detail,omitempty"`
	Text   string `json:"-"` // all of it, for people
}

// public returns a proposal without what URLs hold.
func (p *Proposal) public() Proposal {
	out := *p
	out.Evidence, out.Steps = slices.Clone(p.Evidence), slices.Clone(p.Steps)
	for i := range out.Evidence {
		out.Evidence[i] = fetch.PublicText(out.Evidence[i])
	}
	for i := range out.Steps {
		s := &out.Steps[i]
		s.Do, s.Detail, s.Text = fetch.PublicText(s.Do), fetch.PublicText(s.Detail), fetch.PublicText(s.Text)
	}
	return out
}

func publicProposals(list []Proposal) []Proposal {
	out := make([]Proposal, len(list))
	for i := range list {
		out[i] = list[i].public()
	}
	return out
}

// Decision is what a person decides about a proposal.
type Decision struct {
	ID   string `json:"-"`
	Deny bool   `json:"-"`
	By   string `json:"by"` // the name that is given; for Decide with who asked
}

// proposals is GET /api/v1/proposals?target=.
func (s *server) proposals(w http.ResponseWriter, r *http.Request) {
	only := r.URL.Query().Get("target")
	list := publicProposals(s.State().Activity.Proposals)
	writeJSON(w, http.StatusOK, struct {
		Status    string     `json:"status"`
		Proposals []Proposal `json:"proposals"`
	}{"success", slices.DeleteFunc(list, func(p Proposal) bool { return only != "" && p.Target != only })})
}

// approve is POST /api/v1/proposals/ID/approve.
func (s *server) approve(w http.ResponseWriter, r *http.Request) { s.decide(w, r, false) }

// deny is POST /api/v1/proposals/ID/deny.
func (s *server) deny(w http.ResponseWriter, r *http.Request) { s.decide(w, r, true) }

// decide takes the decision of a person, who may give a name. A form is the button of the page.
func (s *server) decide(w http.ResponseWriter, r *http.Request, deny bool) {
	if r.Method == http.MethodPost && isForm(r) {
		s.decideByForm(w, r, deny)
		return
	}
	release, ok := s.admit(w, r, true)
	if !ok {
		return
	}
	defer release()
	req := Decision{}
	if !s.read(w, r, &req, `{"by": "..."}, or {}`) {
		return
	}
	if len(req.By) > maxBy || strings.ContainsFunc(req.By, func(c rune) bool { return !unicode.IsPrint(c) }) {
		fail(w, http.StatusBadRequest, "the name has %d bytes, or holds characters that no one sees: write at most %d", len(req.By), maxBy)
		return
	}
	req.ID, req.Deny = r.PathValue("id"), deny
	if req.By == "" {
		req.By = s.caller(r)
	} else {
		req.By += ", says " + s.caller(r)
	}
	id, err := s.Decide(r.Context(), req)
	if err != nil {
		code := decisionCode(err)
		if code == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", retryAfter)
		}
		fail(w, code, "%s", err)
		return
	}
	out := map[string]string{"status": "success"}
	if id != "" {
		out["run_id"] = id
	}
	writeJSON(w, http.StatusOK, out)
}

func decisionCode(err error) int {
	switch {
	case errors.Is(err, ErrGone):
		return http.StatusNotFound
	case errors.Is(err, ErrVoid):
		return http.StatusConflict
	case errors.Is(err, ErrRefused):
		return http.StatusBadRequest
	}
	return http.StatusServiceUnavailable
}

// decideByForm is decide for the buttons of the page. A browser sends what the listener asks for, so only that proves who
// decides: neither the token nor that the caller is on this host. And the browser has to say that the form is the page's
// own.
func (s *server) decideByForm(w http.ResponseWriter, r *http.Request, deny bool) {
	if !s.decides(r) || !fromOwnPage(r) {
		text(w, http.StatusForbidden, "This form is only for the exporter's own page, where the listener asks who you are. On the host: spillway_exporter approve or deny.")
		return
	}
	if !s.limiter.AllowN(s.Now(), 1) {
		text(w, http.StatusServiceUnavailable, "Too many requests: try again in a second.")
		return
	}
	_, err := s.Decide(r.Context(), Decision{ID: r.PathValue("id"), Deny: deny, By: s.caller(r)})
	if err != nil {
		text(w, decisionCode(err), "Not done: "+err.Error()+".")
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// decides reports whether who looks at the page may decide on it.
func (s *server) decides(r *http.Request) bool { return s.Authenticated != nil && s.Authenticated(r) }

// fromOwnPage reports whether a browser says that a request is of this site. The page sends no referrer, so that some
// say the origin null: then Sec-Fetch-Site decides alone.
func fromOwnPage(r *http.Request) bool {
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	switch {
	case site != "" && site != "same-origin":
		return false
	case origin == "" || origin == "null":
		return site == "same-origin"
	}
	return foreignOrigin(r) == nil
}

func isForm(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), formType)
}
