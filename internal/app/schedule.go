package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

const (
	scheduleKey    = "schedule"             // in the journal: when each policy was last run by its schedule
	scheduleLook   = time.Minute            // the clock may be set meanwhile
	scheduleSpread = 500 * time.Millisecond // between runs that are overdue
	scheduleRetry  = time.Minute            // after a run that could not be started
	scheduleSave   = 2 * time.Second
)

// scheduled is a policy that is also enforced on an interval of its own.
type scheduled struct {
	target, action, policy string
	every                  time.Duration
}

func (s *scheduled) key() string { return strings.Join([]string{s.target, s.action, s.policy}, "/") }

// schedules returns the policies of a configuration that have an interval.
func schedules(cfg *config.Config) []scheduled {
	var out []scheduled
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		for _, k := range policy.Kinds {
			for _, p := range t.Of(k.Name) {
				if every := p.Schedule(); every > 0 {
					out = append(out, scheduled{t.Name, k.Action, p.CommonKeys().Name, every})
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

// schedule runs policies on their own intervals. A policy is due one interval after its last
// scheduled run, or after it was first configured; neither a reload nor a restart begins that anew.
type schedule struct {
	runNow func(context.Context, dispatch.ManualRequest) (string, error)
	state  stateStore
	logger *slog.Logger
	now    func() time.Time
	wake   chan struct{}

	mu      sync.Mutex
	entries map[string]*scheduleEntry
	last    map[string]time.Time // of the last run, or of the first load; nil before it was read
}

type scheduleEntry struct {
	scheduled
	due time.Time
}

func newSchedule(runNow func(context.Context, dispatch.ManualRequest) (string, error), state stateStore, logger *slog.Logger, now func() time.Time) *schedule {
	return &schedule{runNow: runNow, state: state, logger: logger, now: now, wake: make(chan struct{}, 1)}
}

// apply exchanges the policies. Those that stay keep their time; those that are overdue run soon,
// one after another.
func (s *schedule) apply(list []scheduled) {
	stored, err := s.read()
	if err != nil {
		s.logger.Warn("the times of scheduled cleanups could not be read: they start anew", "err", err)
	}
	s.mu.Lock()
	now := s.now()
	if s.last == nil {
		s.last = stored
	}
	entries, last := make(map[string]*scheduleEntry), make(map[string]time.Time)
	late := 0
	for _, p := range list {
		key := p.key()
		at, known := s.last[key]
		if !known || at.After(now) {
			at = now
		}
		last[key] = at
		e := &scheduleEntry{scheduled: p, due: at.Add(p.every)}
		if old := s.entries[key]; old != nil && old.every == p.every {
			e.due = old.due
		} else if e.due.Before(now) {
			late++
			e.due = now.Add(time.Duration(late) * scheduleSpread)
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

// run starts the runs that are due until ctx is done.
func (s *schedule) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		due, next := s.due()
		for _, p := range due {
			s.start(ctx, p)
		}
		if len(due) > 0 {
			s.save()
			_, next = s.due()
		}
		timer.Reset(next)
	}
}

// due returns the policies that are due and how long to wait for the next.
func (s *schedule) due() (due []scheduled, next time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	next = scheduleLook
	for _, e := range s.entries {
		if e.due.Sub(now) > max(e.every, scheduleRetry) { // the clock was set back
			e.due = now.Add(e.every)
		}
		if wait := e.due.Sub(now); wait <= 0 {
			due = append(due, e.scheduled)
		} else {
			next = min(next, wait)
		}
	}
	return due, next
}

// start requests one run and notes when.
func (s *schedule) start(ctx context.Context, p scheduled) {
	_, err := s.runNow(ctx, dispatch.ManualRequest{Target: p.target, Action: p.action, Only: p.policy, Trigger: alert.TriggerSchedule})
	if err != nil && ctx.Err() != nil {
		return
	}
	if err != nil {
		s.logger.Warn("scheduled cleanup could not be started", "target", p.target, "dir", p.policy, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[p.key()]
	if e == nil {
		return
	}
	now := s.now()
	if err != nil {
		e.due = now.Add(min(e.every, scheduleRetry))
		return
	}
	s.last[p.key()], e.due = now, now.Add(e.every)
}

// read returns the times that the journal keeps.
func (s *schedule) read() (map[string]time.Time, error) {
	raw, err := s.state.State(scheduleKey)
	if err != nil || raw == nil {
		return nil, err
	}
	var millis map[string]int64
	if err := json.Unmarshal(raw, &millis); err != nil {
		return nil, fmt.Errorf("state %q of the journal: %w", scheduleKey, err)
	}
	out := make(map[string]time.Time, len(millis))
	for key, ms := range millis {
		out[key] = time.UnixMilli(ms)
	}
	return out, nil
}

// save keeps the times in the journal.
func (s *schedule) save() {
	s.mu.Lock()
	millis := make(map[string]int64, len(s.last))
	for key, at := range s.last {
		millis[key] = at.UnixMilli()
	}
	s.mu.Unlock()
	raw, err := json.Marshal(millis)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), scheduleSave)
		defer cancel()
		err = s.state.PutState(ctx, scheduleKey, raw)
	}
	if err != nil {
		s.logger.Warn("the times of scheduled cleanups are not in the journal: a restart may repeat one", "err", err)
	}
}
