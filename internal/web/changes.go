package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// ErrRefused marks an error of RunNow that the caller can fix; others are answered with 503.
var ErrRefused = errors.New("refused")

// ErrPending marks an error of Reload that has not ended yet: it goes on, and is not refused.
var ErrPending = errors.New("the reload has not ended yet")

func fail(w http.ResponseWriter, code int, format string, args ...any) {
	writeJSON(w, code, map[string]string{"status": "error", "error": fmt.Sprintf(format, args...)})
}

// countWebhook counts the answers of the webhook by their code.
func (s *server) countWebhook(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &codeWriter{ResponseWriter: w, code: http.StatusOK}
		next(c, r)
		s.webhook.WithLabelValues(strconv.Itoa(c.code)).Inc()
	}
}

type codeWriter struct {
	http.ResponseWriter
	code int
}

// WriteHeader notes the code.
func (c *codeWriter) WriteHeader(code int) {
	c.code = code
	c.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the connection.
func (c *codeWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// handleWebhook is POST /api/v1/webhook. It answers after the intents are in the journal and
// never waits for a run. Alertmanager retries only after 5xx: docs/webhook.md has the table.
func (s *server) handleWebhook(w http.ResponseWriter, r *http.Request) {
	release, ok := s.admit(w, r, true)
	if !ok {
		return
	}
	defer release()
	batch, err := alert.DecodeWebhook(r.Body)
	bodyRead(w)
	if err != nil {
		s.badBody(w, err)
		return
	}
	if s.refuses(w, r) {
		return
	}
	batch.Host = r.Host
	dispositions, err := s.Submit(r.Context(), batch)
	if err != nil {
		w.Header().Set("Retry-After", retryAfter)
		fail(w, http.StatusServiceUnavailable, "%s", err)
		return
	}
	if dispositions == nil {
		dispositions = []alert.Disposition{}
	}
	writeJSON(w, http.StatusOK, dispositions)
}

// bodyRead lifts the time limit of the body: it would otherwise end the request's context while
// an answer is being prepared.
func bodyRead(w http.ResponseWriter) {
	//nolint:errcheck // a connection that cannot have a deadline is a test's
	http.NewResponseController(w).SetReadDeadline(time.Time{})
}

func (s *server) badBody(w http.ResponseWriter, err error) {
	var bad *alert.DecodeError
	switch {
	case errors.As(err, &bad) && bad.TooLarge:
		fail(w, http.StatusRequestEntityTooLarge, "%s", bad)
	case isTooLarge(err):
		fail(w, http.StatusRequestEntityTooLarge, "the body is larger than 1 MiB: group the alerts by instance and target, or set max_alerts in the receiver")
	case errors.Is(err, os.ErrDeadlineExceeded):
		fail(w, http.StatusRequestTimeout, "the body did not arrive within 10 seconds: send it at once")
	default:
		s.Logger.Debug("bad request", "err", err)
		fail(w, http.StatusBadRequest, "%s", err)
	}
}

// read reads the body of a request. It answers and returns false when that is not possible, or when the caller may
// not change anything by then.
func (s *server) read(w http.ResponseWriter, r *http.Request, into any, form string) bool {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil && dec.More() {
		err = errors.New("something follows the request")
	}
	bodyRead(w)
	switch {
	case err == nil:
		return !s.refuses(w, r)
	case isTooLarge(err), errors.Is(err, os.ErrDeadlineExceeded):
		s.badBody(w, err)
	default:
		fail(w, http.StatusBadRequest, "%s: send %s", err, form)
	}
	return false
}

// run is POST /api/v1/run: a playbook or an action now, with the same checks and journal.
func (s *server) run(w http.ResponseWriter, r *http.Request) {
	release, ok := s.admit(w, r, true)
	if !ok {
		return
	}
	defer release()
	var req RunRequest
	if !s.read(w, r, &req, `{"target": "...", "playbook": "..."} or {"target": "...", "action": "..."}, with "dry_run": true to change nothing`) {
		return
	}
	id, err := s.RunNow(r.Context(), req)
	switch {
	case errors.Is(err, ErrRefused):
		fail(w, http.StatusBadRequest, "%s", err)
	case err != nil:
		w.Header().Set("Retry-After", retryAfter)
		fail(w, http.StatusServiceUnavailable, "%s", err)
	default:
		writeJSON(w, http.StatusOK, map[string]string{"status": "success", "run_id": id})
	}
}

// reload is POST /-/reload.
func (s *server) reload(w http.ResponseWriter, r *http.Request) {
	release, ok := s.admit(w, r, false)
	if !ok {
		return
	}
	defer release()
	err := s.Reload()
	if errors.Is(err, ErrPending) {
		w.Header().Set("Retry-After", retryAfter)
		text(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	if err != nil {
		text(w, http.StatusInternalServerError, "the configuration was not loaded, the old one still runs:\n"+err.Error())
		return
	}
	text(w, http.StatusOK, "The configuration was loaded.")
}
