package heap

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The errors of profiles, to be tested with errors.Is.
var (
	// ErrNoProfile says that the target cannot give a profile. Nothing was asked of it, or it answered that.
	ErrNoProfile = errors.New("no profile can be read")
	// ErrProfileUnknown says that a profile was asked for and the answer was not seen: the target may have
	// collected its heap for it, or may still do so.
	ErrProfileUnknown = errors.New("outcome of the profile is unknown")
)

// Bounds of a profile: as it is sent, and as it is unpacked.
const (
	maxProfileAnswer = 16 << 20
	SamplingInterval = units.Bytes(512 << 10) // mean bytes between two samples of Node.js and Go
)

// Snapshot is what a runtime answered about what lives in its heap, in its own form: not trusted, and no
// longer than 16 MiB.
type Snapshot struct {
	Data  []byte
	Epoch string        // of the start of the process, or of its sampling: of two, nothing can be compared
	Since time.Time     // when sampling began: older objects are not in it; zero: all are
	PID   int           // 0: not known
	Used  Amount        // of the heap, before
	Took  time.Duration // until the answer was there: the target paused no longer for it
}

// Profiler reads what lives in a heap. all asks a virtual machine for garbage too, which spares it a
// collection, and Python for types in place of lines; other runtimes do not know the difference. The error is an ErrProfileUnknown when the target was asked and did not answer.
type Profiler interface {
	Profile(ctx context.Context, all bool) (Snapshot, error)
}

// profiler is a backend that can read a profile.
type profiler interface {
	profile(ctx context.Context, all bool) (Snapshot, error)
}

// Profile implements Profiler. The providers node_inspector, node_agent, python_agent, jvm and go_pprof have one.
func (c *Client) Profile(ctx context.Context, all bool) (Snapshot, error) {
	if err := c.usable(); err != nil {
		return Snapshot{}, err
	}
	p, ok := c.shared.backend.(profiler)
	if !ok {
		return Snapshot{}, fmt.Errorf("%w by the provider %s", ErrNoProfile, c.Provider())
	}
	return p.profile(ctx, all)
}

// Provider returns the name of the provider; "" for a nil Client.
func (c *Client) Provider() string {
	if c == nil {
		return ""
	}
	return c.key.cfg.Provider
}

// profileUnless marks the error of a profile that was asked for: what the target answered is final, what was not seen
// is unknown.
func profileUnless(sent bool, err error) error {
	if _, answered := errors.AsType[*answerError](err); answered {
		return fmt.Errorf("%w: %w", ErrNoProfile, err)
	}
	if err == nil || !sent {
		return err
	}
	return fmt.Errorf("%w: %w", ErrProfileUnknown, err)
}

// samples reports whether what a target allocates is to be sampled.
func (t *target) samples() bool { return t.now.Load().Sample }

// sampleParams are those of HeapProfiler.startSampling. Objects that were collected are not kept.
type sampleParams struct {
	Interval int64 `json:"samplingInterval"`
}

// sample begins the sampling of a session, or ends it, where the config has changed since. It does not wait for an
// answer: where another profiler of the target samples already, that stands in the answer to the profile.
func (s *session) sample(want bool, now time.Time) {
	s.mu.Lock()
	began := s.sampled
	s.mu.Unlock()
	var err error
	switch {
	case want == !began.IsZero():
		return
	case want:
		_, _, err = s.send(methodStartSampling, sampleParams{Interval: int64(SamplingInterval)}, false)
		began = now
	default:
		_, _, err = s.send(methodStopSampling, nil, false)
		began = time.Time{}
	}
	if err == nil {
		s.mu.Lock()
		s.sampled = began
		s.mu.Unlock()
	}
}

// profile implements profiler.
func (n *inspector) profile(ctx context.Context, _ bool) (out Snapshot, err error) {
	if !n.held {
		return Snapshot{}, fmt.Errorf("%w: a session for each reading samples nothing: write session: %s", ErrNoProfile, SessionHeld)
	}
	err = n.with(ctx, func(s *session) error {
		before, err := n.usage(ctx, s)
		if err != nil {
			return err
		}
		s.mu.Lock()
		began := s.sampled
		s.mu.Unlock()
		if began.IsZero() {
			s.sample(true, n.now())
			return fmt.Errorf("%w yet: sampling has begun now", ErrNoProfile)
		}
		if n.refusedProfile(s.target.id) {
			return fmt.Errorf("%w: its last answer was longer than %d bytes", ErrNoProfile, maxProfileAnswer)
		}
		s.conn.SetReadLimit(maxProfileAnswer)
		start := time.Now()
		data, sent, err := s.call(ctx, methodSamplingProfile, nil)
		took := time.Since(start)
		s.conn.SetReadLimit(maxMessageBytes)
		if err != nil {
			if errors.Is(err, errLost) && sent {
				n.noteRefused(s.target.id)
				err = fmt.Errorf("%w: %w", ErrUnknown, err) // it is not asked a second time
			}
			return profileUnless(sent, err)
		}
		out = Snapshot{Data: data, Epoch: fmt.Sprintf("%s/%d", s.target.id, began.UnixMilli()), Since: began, Used: before.Used, Took: took}
		return nil
	})
	return out, err
}

// refusedProfile reports whether a start of the target ended the session in place of a profile. It is not asked again:
// that would cost it the session each time.
func (n *inspector) refusedProfile(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.silent == id
}

func (n *inspector) noteRefused(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent = id
}

// profile implements profiler: it asks the fullest of the target's machines for the number of instances of each class.
func (j *jvm) profile(ctx context.Context, all bool) (out Snapshot, err error) {
	err = withLease(ctx, j.provider, func(machines *machines) error {
		before, m, err := machines.fullest()
		if err != nil {
			return err
		}
		if machines.sealed(m) {
			return fmt.Errorf("process %d: %w: it runs with -XX:+DisableAttachMechanism: remove that flag, or write evidence: off", m.member.PID, ErrNoProfile)
		}
		request := attachHistogram
		if all {
			request = attachHistogramAll
		}
		start := time.Now()
		text, sent, err := j.askText(ctx, m, request)
		if err != nil {
			return profileUnless(sent, err)
		}
		out = Snapshot{Data: text, Epoch: epochOf(m.member), PID: m.member.PID, Used: before.Used, Took: time.Since(start)}
		return nil
	})
	return out, err
}

// profile implements profiler: the heap profile of a Go program, after a collection. Without it the profile is as old
// as the last two collections.
func (g *pprofClient) profile(ctx context.Context, _ bool) (Snapshot, error) {
	before, _, err := g.fetch(ctx, pprofRead)
	if err != nil {
		return Snapshot{}, err
	}
	start := time.Now()
	data, sent, err := g.fetchRaw(ctx, pprofProfile)
	if refused, ok := errors.AsType[*statusError](err); ok {
		return Snapshot{}, fmt.Errorf("%w: %w", ErrNoProfile, refused)
	}
	if errors.Is(err, ErrNoProfile) { // it has answered, with what cannot be used
		return Snapshot{}, err
	}
	if err != nil {
		return Snapshot{}, profileUnless(sent, err)
	}
	out := Snapshot{Data: data, Used: before.Used, Took: time.Since(start)}
	if members := g.target.members(); len(members) > 0 {
		out.PID, out.Epoch = members[0].PID, epochOf(members[0])
	}
	return out, nil
}

// unpackProfile reads a profile that may be compressed.
func unpackProfile(body io.Reader) ([]byte, error) {
	data, err := readBounded(body)
	if err != nil || !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, err
	}
	unzip, err := gzip.NewReader(bytes.NewReader(data))
	if err == nil {
		data, err = readBounded(unzip)
	}
	if err != nil && !errors.Is(err, ErrNoProfile) {
		err = fmt.Errorf("%w: %w", ErrNoProfile, err)
	}
	return data, err
}

var errTooLong = fmt.Errorf("%w: it is longer than %d bytes", ErrNoProfile, maxProfileAnswer)

func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxProfileAnswer+1))
	if err == nil && len(data) > maxProfileAnswer {
		return nil, errTooLong
	}
	return data, err
}

// epochOf names one start of a process.
func epochOf(m proc.Member) string { return fmt.Sprintf("%d/%d", m.PID, m.Start.UnixMilli()) }
