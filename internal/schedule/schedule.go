package schedule

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

const (
	stateKey  = "schedule"             // in the journal: when each policy was last run by its schedule
	look      = time.Minute            // the clock may be set meanwhile
	spread    = 500 * time.Millisecond // between runs that are due at the same time
	retry     = time.Minute            // after a run that could not be started
	saveLimit = 2 * time.Second
)

// Policy is a policy that is also enforced on an interval of its own.
type Policy struct {
	Target, Action, Name string
	Every                time.Duration
}

func (p *Policy) key() string { return strings.Join([]string{p.Target, p.Action, p.Name}, "/") }

// Of returns the policies of a configuration that have an interval.
func Of(cfg *config.Config) []Policy {
	var out []Policy
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		for _, k := range policy.Kinds {
			for _, p := range t.Of(k.Name) {
				if every := p.Schedule(); every > 0 {
					out = append(out, Policy{t.Name, k.Action, p.CommonKeys().Name, every})
				}
			}
		}
	}
	return out
}

// stateStore is what the schedule needs of a journal.
type stateStore interface {
	State(key string) ([]byte, error)
	PutState(ctx context.Context, key string, value []byte) error
}

// Options are what a Schedule works with. All are required.
type Options struct {
	RunNow func(context.Context, dispatch.ManualRequest) (string, error)
	State  stateStore // the journal
	Logger *slog.Logger
	Now    func() time.Time
}

// Schedule requests the runs of the policies that are due. Apply and Run may be called concurrently.
type Schedule struct {
	opts Options
	wake chan struct{}

	mu      sync.Mutex
	entries map[string]*entry
	last    map[string]time.Time // of the last run, or of the first load; nil before it was read
	began   time.Time            // when the last run was requested, of any policy
}

type entry struct {
	Policy
	due time.Time
}

// New returns a Schedule without policies.
func New(o Options) *Schedule {
	return &Schedule{opts: o, wake: make(chan struct{}, 1)}
}

// Apply exchanges the policies. Those that stay keep their time; those that are overdue run at once,
// one after another.
func (s *Schedule) Apply(list []Policy) {
	stored, err := s.read()
	if err != nil {
		s.opts.Logger.Warn("the times of scheduled cleanups could not be read: they start anew", "err", err)
	}
	s.mu.Lock()
	now := s.opts.Now()
	if s.last == nil {
		s.last = stored
	}
	entries, last := make(map[string]*entry), make(map[string]time.Time)
	for _, p := range list {
		key := p.key()
		at, known := s.last[key]
		if !known || at.After(now) {
			at = now
		}
		last[key] = at
		e := &entry{Policy: p, due: at.Add(p.Every)}
		if old := s.entries[key]; old != nil && old.Every == p.Every {
			e.due = old.due
		} else if e.due.Before(now) {
			e.due = now
		}
		entries[key] = e
	}
	s.entries, s.last = entries, last
	s.mu.Unlock()
	s.save()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Planned is a policy with the time of its next run.
type Planned struct {
	Policy

	At time.Time
}

// Planned returns the policies with the times of their next runs, the next one first.
func (s *Schedule) Planned() []Planned {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Planned, 0, len(s.entries))
	for _, e := range s.entries {
		out = append(out, Planned{e.Policy, e.due})
	}
	slices.SortFunc(out, func(a, b Planned) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.key(), b.key())) })
	return out
}

// Run starts the runs that are due until ctx is done.
func (s *Schedule) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		if ctx.Err() != nil { // select chooses by chance where something is due, too
			return
		}
		p, next := s.due()
		if p != nil {
			s.start(ctx, *p)
			s.save()
			_, next = s.due()
		}
		timer.Reset(next)
	}
}

// due returns the policy that has been due for longest, nil when none is, and how long to wait for the
// next.
func (s *Schedule) due() (first *Policy, next time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	next = look
	if passed := now.Sub(s.began); passed >= 0 && passed < spread {
		return nil, spread - passed
	}
	var since time.Time
	for _, key := range slices.Sorted(maps.Keys(s.entries)) {
		e := s.entries[key]
		if e.due.Sub(now) > max(e.Every, retry) { // the clock was set back
			e.due = now.Add(e.Every)
		}
		next = min(next, max(e.due.Sub(now), 0))
		if !e.due.After(now) && (first == nil || e.due.Before(since)) {
			first, since = &e.Policy, e.due
		}
	}
	return first, next
}

// start requests one run and notes when.
func (s *Schedule) start(ctx context.Context, p Policy) {
	_, err := s.opts.RunNow(ctx, dispatch.ManualRequest{Target: p.Target, Action: p.Action, Only: p.Name, Trigger: alert.TriggerSchedule})
	if err != nil && ctx.Err() != nil {
		return
	}
	if err != nil && !errors.Is(err, dispatch.ErrPaused) && !errors.Is(err, dispatch.ErrHeld) {
		s.opts.Logger.Warn("scheduled cleanup could not be started", "target", p.Target, "dir", p.Name, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	s.began = now
	e := s.entries[p.key()]
	if e == nil {
		return
	}
	if err != nil {
		e.due = now.Add(min(e.Every, retry))
		return
	}
	s.last[p.key()], e.due = now, now.Add(e.Every)
}

// read returns the times that the journal keeps.
func (s *Schedule) read() (map[string]time.Time, error) {
	raw, err := s.opts.State.State(stateKey)
	if err != nil || raw == nil {
		return nil, err
	}
	var millis map[string]int64
	if err := json.Unmarshal(raw, &millis); err != nil {
		return nil, fmt.Errorf("state %q of the journal: %w", stateKey, err)
	}
	out := make(map[string]time.Time, len(millis))
	for key, ms := range millis {
		out[key] = time.UnixMilli(ms)
	}
	return out, nil
}

// save keeps the times in the journal.
func (s *Schedule) save() {
	s.mu.Lock()
	millis := make(map[string]int64, len(s.last))
	for key, at := range s.last {
		millis[key] = at.UnixMilli()
	}
	s.mu.Unlock()
	raw, err := json.Marshal(millis)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), saveLimit)
		defer cancel()
		err = s.opts.State.PutState(ctx, stateKey, raw)
	}
	if err != nil {
		s.opts.Logger.Warn("the times of scheduled cleanups are not in the journal: a restart may repeat one", "err", err)
	}
}
