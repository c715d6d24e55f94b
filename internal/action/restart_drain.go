package action

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	defaultDrain = units.Duration(time.Minute)
	maxDrain     = time.Hour
	drainRequest = 5 * time.Second
)

// Drain is how a service is asked to take no more work before it is restarted.
type Drain struct {
	Post     string         `yaml:"post"`     // a URL that is POSTed to, on loopback or a host of hosts
	Idle     string         `yaml:"idle"`     // a URL that answers 2xx once the service is idle; without it the whole deadline is waited for
	Undo     string         `yaml:"undo"`     // a URL that is POSTed to when the restart does not happen after all
	Hosts    []string       `yaml:"hosts"`    // hosts other than loopback that the URLs may name
	Deadline units.Duration `yaml:"deadline"` // the longest wait, after which the service is restarted all the same
}

// validate applies the defaults and reports every mistake.
func (d *Drain) validate(report report.Func) {
	if d.Deadline == 0 {
		d.Deadline = defaultDrain
	}
	if d.Deadline.Std() < time.Second || d.Deadline.Std() > maxDrain {
		report("deadline", "%s is out of range: write 1s to %s", d.Deadline, units.Duration(maxDrain))
	}
	if d.Post == "" && (d.Idle != "" || d.Undo != "" || len(d.Hosts) > 0) {
		report("post", "is missing: write the URL that makes the service take no more work, such as http://127.0.0.1:4545/drain")
	}
	for key, raw := range map[string]string{"post": d.Post, "idle": d.Idle, "undo": d.Undo} {
		if raw == "" {
			continue
		}
		if _, err := d.to(raw).check(raw); err != nil {
			report(key, "%v", err)
		}
	}
}

// to returns the settings of a request to one of the URLs.
func (d *Drain) to(raw string) *HTTPSettings { return &HTTPSettings{URL: raw, Hosts: d.Hosts} }

// plan says what would be done.
func (d *Drain) plan() string {
	until := "for " + d.Deadline.String()
	if d.Idle != "" {
		until = "until it is idle, for " + d.Deadline.String() + " at most"
	}
	return fmt.Sprintf("drain it by a POST to %s and wait %s", fetch.PublicURL(d.Post), until)
}

// name is what the drain of a step is found by again, without its URLs.
func (d *Drain) name() string {
	sum := sha256.Sum256([]byte(d.Post))
	return hex.EncodeToString(sum[:8])
}

// drain asks the service to take no more work and waits until it is idle. One that does not answer is restarted all
// the same: that is what the restart is for. The error says that the journal does not have it, so that nothing was asked.
func (r *restarting) drain(ctx context.Context) error {
	d := &r.s.Drain
	start := r.Now()
	if err := r.Ledger.Draining(ctx, r.Target, r.req.RunID, d.name()); err != nil {
		return err
	}
	r.drained = true // a request without an answer may have been heard
	if err := r.post(ctx, d.Post); err != nil {
		r.say("not drained: %v", err)
		return nil
	}
	idle := r.awaitIdle(ctx)
	took := r.Now().Sub(start).Round(time.Millisecond)
	switch {
	case idle:
		r.say("drained and idle after %s", took)
	case d.Idle == "":
		r.say("drained for %s", took)
	default:
		r.say("drained, and not idle within %s", took)
	}
	return nil
}

func (r *restarting) post(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, drainRequest)
	defer cancel()
	req := *r.req
	req.DryRun, req.Settings = false, r.s.Drain.to(address)
	_, err := NewHTTP(r.Logger).Run(ctx, req)
	return err
}

// awaitIdle waits for the answer that says so, at most until the deadline.
func (r *restarting) awaitIdle(ctx context.Context) bool {
	d := &r.s.Drain
	ctx, cancel := context.WithTimeout(ctx, d.Deadline.Std())
	defer cancel()
	if d.Idle == "" {
		<-ctx.Done()
		return false
	}
	tick := time.NewTicker(restartPoll)
	defer tick.Stop()
	for {
		if d.idle(ctx) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// idle asks once.
func (d *Drain) idle(ctx context.Context) bool {
	s := d.to(d.Idle)
	to, err := s.address()
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, drainRequest)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), http.NoBody)
	if err != nil {
		return false
	}
	transport := newHTTPTransport(slices.Contains(d.Hosts, to.Hostname()))
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req) // follows no redirect
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode >= 200 && resp.StatusCode < 300
}
