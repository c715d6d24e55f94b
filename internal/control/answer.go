package control

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"
)

// answer writes events. Its send may be called concurrently.
type answer struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	ctrl  *http.ResponseController
	begun bool
	err   error // the caller has gone, or does not read
}

func newAnswer(w http.ResponseWriter) *answer {
	return &answer{w: w, ctrl: http.NewResponseController(w)}
}

// send writes one event. After the first error it does nothing: an action never waits twice for a
// caller that does not read.
func (a *answer) send(e Event) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	a.err = errors.Join(a.ctrl.SetWriteDeadline(time.Now().Add(writeTimeout)), json.NewEncoder(a.w).Encode(e))
	if a.err == nil && e.File == nil { // of those there are many
		a.err = a.ctrl.Flush()
	}
	return a.err
}
