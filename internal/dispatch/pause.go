package dispatch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

const (
	pausesKey   = "pauses"
	maxPause    = 366 * 24 * time.Hour
	maxPauseLen = 500 // bytes of a reason
)

// Pause stops what begins by itself. What a person asks for goes on.
type Pause struct {
	Target string        `json:"target,omitempty"` // "" is all targets
	Since  time.Time     `json:"since"`
	Until  time.Time     `json:"until,omitzero"` // zero: until someone resumes
	Length time.Duration `json:"length,omitempty"`
	Reason string        `json:"reason,omitempty"`
	By     string        `json:"by,omitempty"` // who asked
}

// over reports whether a pause has ended by itself. A clock that was set back prolongs none.
func (p *Pause) over(now time.Time) bool {
	if p.Length == 0 {
		return false
	}
	p.Since = soonerOf(p.Since, now)
	p.Until = p.Since.Add(p.Length)
	return !now.Before(p.Until)
}

// Whom names what is paused, for people.
func (p *Pause) Whom() string {
	if p.Target == "" {
		return "all targets"
	}
	return "target " + p.Target
}

// String says what is paused, until when and why.
func (p Pause) String() string {
	text := p.Whom() + " until someone resumes"
	if p.Length > 0 {
		text = p.Whom() + " until " + clock(p.Until)
	}
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}

// PauseRequest is a pause that a person asks for, or the end of one.
type PauseRequest struct {
	Target string        // "" is all
	For    time.Duration // 0: until someone resumes
	Reason string
	By     string
}

// Pause holds back everything that begins by itself, for one target or all, and each step that has not begun. The
// step at work ends. It is in effect when it returns, whatever the error: an ErrJournal says that a restart before the
// journal can be written again ends it. Other errors, ErrUnknown and ErrBadRequest, are for a request that names nothing.
func (d *Dispatcher) Pause(ctx context.Context, req PauseRequest) (Pause, error) {
	if err := d.checkPause(&req); err != nil {
		return Pause{}, err
	}
	now := d.opts.Now()
	p := Pause{Target: req.Target, Since: now, Length: req.For, Reason: req.Reason, By: req.By}
	p.over(now) // sets Until
	d.mu.Lock()
	d.pauses[p.Target] = p
	d.mu.Unlock()
	until := "resume"
	if p.Length > 0 {
		until = clock(p.Until)
	}
	d.log.Warn("paused: nothing begins by itself", "target", cmp.Or(p.Target, "(all)"), "until", until, "reason", p.Reason, "by", p.By)
	return p, d.keepPauses(ctx, "pause", p.Target, "pause "+p.String(), p.By)
}

// Resume ends the pause of a target, or all pauses, and returns those that it ended. The error is as for Pause.
func (d *Dispatcher) Resume(ctx context.Context, req PauseRequest) ([]Pause, error) {
	if err := d.checkPause(&req); err != nil {
		return nil, err
	}
	d.mu.Lock()
	var ended []Pause
	for target, p := range d.pauses {
		if req.Target == "" || req.Target == target {
			ended = append(ended, p)
			delete(d.pauses, target)
		}
	}
	_, all := d.pauses[""]
	d.mu.Unlock()
	slices.SortFunc(ended, func(a, b Pause) int { return cmp.Compare(a.Target, b.Target) })
	switch {
	case len(ended) == 0 && all:
		return nil, fmt.Errorf("%w: all targets are paused: resume without a target", ErrBadRequest)
	case len(ended) == 0:
		return nil, nil
	}
	d.log.Info("resumed", "target", cmp.Or(req.Target, "(all)"), "by", req.By)
	d.rouse()
	return ended, d.keepPauses(ctx, "resume", req.Target, "resume "+ended[0].Whom(), req.By)
}

func (d *Dispatcher) checkPause(req *PauseRequest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.targets[req.Target]
	_, paused := d.pauses[req.Target] // one that a reload has taken away can be resumed
	switch {
	case req.Target != "" && !known && !paused:
		return fmt.Errorf("target %.100q is %w here: write one of %s", req.Target, ErrUnknown, list(slices.Sorted(maps.Keys(d.targets))))
	case req.For < 0 || req.For > maxPause:
		return fmt.Errorf("%w: a pause of %s is out of range: write up to 366d, or leave it out for one until someone resumes", ErrBadRequest, req.For)
	case len(req.Reason) > maxPauseLen:
		return fmt.Errorf("%w: the reason has %d bytes: write at most %d", ErrBadRequest, len(req.Reason), maxPauseLen)
	}
	return nil
}

// pausedBy returns the pause that holds a target; nil when none does. It is called with the lock held.
func (d *Dispatcher) pausedBy(target string) *Pause {
	if len(d.pauses) == 0 {
		return nil
	}
	now := d.opts.Now()
	for _, key := range []string{"", target} {
		if p, ok := d.pauses[key]; ok && !p.over(now) {
			return &p
		}
	}
	return nil
}

// holdsBack reports whether a step does not run because a person has paused its target since the run was accepted,
// or because its window has closed. A person is held back by the window of a last resort alone.
func (d *Dispatcher) holdsBack(r *run, step Step, res *result) bool {
	byItself := automatic(r.trigger)
	d.mu.Lock()
	p := d.pausedBy(r.target)
	d.mu.Unlock()
	reason, text := "", ""
	switch {
	case p != nil && byItself:
		reason, text = SkipPaused, fmt.Sprintf("%s was skipped, a person has paused %s", step.Do, p)
	case (byItself || isLast(&step)) && !step.Hours.Open(d.opts.Now()):
		reason, text = SkipWindow, fmt.Sprintf("%s was skipped, its window %q is closed", step.Do, step.Hours)
	default:
		return false
	}
	res.notes = append(res.notes, text)
	d.metrics.skips.WithLabelValues(r.target, step.Do, reason).Inc()
	return true
}

// endPauses forgets the pauses that have ended by themselves, and writes those that could not be written.
func (d *Dispatcher) endPauses(ctx context.Context) {
	d.mu.Lock()
	now := d.opts.Now()
	ended := false
	for target, p := range d.pauses {
		if p.over(now) {
			delete(d.pauses, target)
			ended = true
			d.log.Info("a pause has ended", "target", cmp.Or(target, "(all)"), "since", p.Since)
			continue
		}
		d.pauses[target] = p
	}
	unsaved := d.unsavedPauses
	d.mu.Unlock()
	if ended || unsaved {
		if err := d.savePauses(ctx); err != nil {
			d.log.Debug("the pauses could not be saved", "err", err)
		}
	}
}

// keepPauses writes the pauses and a record of what a person did.
func (d *Dispatcher) keepPauses(ctx context.Context, what, target, intent, by string) error {
	ctx = context.WithoutCancel(ctx)
	err := d.savePauses(ctx)
	rec := journal.Record{Time: d.opts.Now(), Target: target, Action: what, Trigger: string(alert.TriggerManual), Intent: intent, Outcome: OutcomeDone}
	if by != "" {
		rec.Intent += ", requested by " + by
	}
	if err == nil {
		err = d.recordDone(ctx, rec)
	}
	if err != nil {
		d.log.Error("a pause, or its end, is in effect and not in the journal", "what", intent, "err", err)
		return fmt.Errorf("it is in effect, but not after a restart: %w: %w", ErrJournal, err)
	}
	return nil
}

// savePauses keeps the pauses over a restart. One at a time: what is written last has to be what was decided last.
func (d *Dispatcher) savePauses(ctx context.Context) error {
	d.saving <- struct{}{}
	defer func() { <-d.saving }()
	d.mu.Lock()
	raw, err := json.Marshal(d.pausesNow())
	d.unsavedPauses = false
	d.mu.Unlock()
	if err == nil {
		err = d.opts.Journal.PutState(ctx, pausesKey, raw)
	}
	if err != nil {
		d.mu.Lock()
		d.unsavedPauses = true
		d.mu.Unlock()
	}
	return err
}

// pausesNow returns the pauses that hold, that of all first. It is called with the lock held.
func (d *Dispatcher) pausesNow() []Pause {
	out := []Pause{}
	now := d.opts.Now()
	for _, target := range slices.Sorted(maps.Keys(d.pauses)) {
		if p := d.pauses[target]; !p.over(now) {
			out = append(out, p)
		}
	}
	return out
}

// loadPauses restores the pauses of the previous process.
func (d *Dispatcher) loadPauses() {
	saved, err := d.opts.Journal.States(pausesKey)
	var pauses []Pause
	if err == nil && len(saved[pausesKey]) > 0 {
		err = json.Unmarshal(saved[pausesKey], &pauses)
	}
	if err != nil { // nothing is known of what a person wanted: nothing begins by itself until he says so
		d.log.Error("whether anything is paused cannot be read: everything is, until someone resumes", "err", err)
		pauses = []Pause{{Since: d.opts.Now(), Reason: "the journal could not be read at the start"}}
	}
	for _, p := range pauses {
		d.pauses[p.Target] = p
	}
}
