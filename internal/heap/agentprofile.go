package heap

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// agentProfile is the answer of the script to sample and profile.
type agentProfile struct {
	Since float64 `json:"since"` // milliseconds since 1970
	Error string  `json:"error"`
}

// profile implements profiler.
func (n *scriptAgent) profile(ctx context.Context, types bool) (out Snapshot, err error) {
	err = withLease(ctx, n.provider, func(all *agents) error {
		out, err = all.profile(ctx, types)
		return err
	})
	return out, err
}

// profile asks the fullest of the processes.
func (n *agents) profile(ctx context.Context, types bool) (Snapshot, error) {
	before, a, err := n.fullest(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	if err := n.take(ctx); err != nil {
		return Snapshot{}, err
	}
	defer n.give()
	request := agentProfileRequest
	if n.language == &pythonScript {
		request = pythonRequest(types)
	}
	start := time.Now()
	line, sent, err := a.exchange(ctx, request)
	took := time.Since(start)
	if err != nil {
		return Snapshot{}, profileUnless(sent, err)
	}
	var r agentProfile
	if err := json.Unmarshal(line, &r); err != nil {
		a.drop()
		return Snapshot{}, fmt.Errorf("process %d: %w: its script answered %q", a.member.PID, ErrNoProfile, clip(string(line[:min(len(line), 60)])))
	}
	if r.Error != "" {
		return Snapshot{}, fmt.Errorf("process %d: %w: its script says: %s", a.member.PID, ErrNoProfile, clip(r.Error))
	}
	out := Snapshot{Data: bytes.Clone(line), Epoch: epochOf(a.member), PID: a.member.PID, Used: before.Used, Took: took}
	if n.language == &pythonScript {
		return out, nil
	}
	if r.Since <= 0 || r.Since > 1e14 {
		return Snapshot{}, fmt.Errorf("process %d: %w: its script says that it samples since %v", a.member.PID, ErrNoProfile, r.Since)
	}
	out.Epoch, out.Since = fmt.Sprintf("%s/%.0f", out.Epoch, r.Since), time.UnixMilli(int64(r.Since))
	return out, nil
}

// sample asks the script of a process to sample, once for each connection. A script of an earlier version, and one in a Node.js
// without an inspector, answers that it cannot: then a profile will say so.
func (a *agent) sample(ctx context.Context, want bool) {
	if !want || a.asked || a.conn == nil {
		return
	}
	if _, sent, _ := a.exchange(ctx, agentSampleRequest); sent && a.conn != nil {
		a.asked = true
	}
}
