package heap

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
)

// newPythonAgent reads Python through the socket of its preload modules. Python has no limit of its own for its heap: the script
// reports at which size a limit of the process or of its control groups would be reached.
func newPythonAgent(p *Pool, cfg Config, of *target) (backend, error) {
	return newScriptAgent(p, cfg, of, &pythonScript)
}

// limited applies the limit of the config.
func (n *agents) limited(u *Usage) {
	if n.limit.OK && u.Used.OK && (!u.Limit.OK || n.limit.Bytes < u.Limit.Bytes) {
		u.Limit = n.limit
	}
}

// pythonRequest asks for types, or for lines where tracemalloc is on.
func pythonRequest(types bool) string {
	if types {
		return agentCensusRequest
	}
	return agentTraceRequest
}

// decodePython reads {"by":...,"used":...,"committed":...,"limit":...} or {"error":"..."}. Without a limit there is none.
func decodePython(line []byte) (u Usage, err error) {
	var r struct {
		Used, Committed, Limit *float64
		By, Error              string
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return Usage{}, fmt.Errorf("its script answered %q: %w", clip(string(line[:min(len(line), 60)])), err)
	}
	if r.Error != "" {
		return Usage{}, &answerError{fmt.Errorf("its script refused: %s", clip(r.Error))}
	}
	if r.By != "allocator" && r.By != "resident" {
		return Usage{}, errors.New("its script does not say by what it measures the heap")
	}
	var usedErr, committedErr, limitErr error
	u.Used, usedErr = amountOf("used", r.Used)
	u.Committed, committedErr = amountOf("committed", r.Committed)
	if r.Limit != nil {
		u.Limit, limitErr = amountOf("limit", r.Limit)
	}
	if err := cmp.Or(usedErr, committedErr, limitErr); err != nil {
		return Usage{}, err
	}
	return u, nil
}
