package dispatch

import (
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// mode says whether actions may have effects.
type mode string

const (
	dryRun  mode = ModeDryRun
	propose mode = ModePropose
	enforce mode = ModeEnforce
)

// scope says what a run consists of.
type scope int

const (
	wholePlaybook scope = iota
	oneAction           // a single action that a person or a schedule named
)

// effect is how far a run, or a step, went. The effect of a run is the greatest of its steps.
type effect int

const (
	effectNone  effect = iota // no step ran
	effectDry                 // dry runs only
	effectEmpty               // actions ran and found nothing to do
	effectActed
)

// run is one run of a playbook, from its acceptance to its result.
type run struct {
	request
	intent
	progress progress // guarded by Dispatcher.mu
}

// request is what was accepted. It does not change.
type request struct {
	seq                uint64 // order of acceptance
	since              time.Time
	target, playbook   string
	steps              []Step
	subject            Subject
	cooldown           time.Duration
	trigger            alert.Trigger
	alert, fingerprint string
	first              *alert.Alert // for the steps that pass it on; nil when there is none or no step does
	scope              scope
	mode               mode
	force              bool   // overrides max_remove_fraction
	only               string // only the policies with this name
	guarded            bool   // an alert asked: cooldowns of steps and the falling guard apply
	breaks             bool   // an emergency breaks a cooldown with it
	continues          string // the run that waited and that this one goes on with
	quiet              bool   // of a schedule: recorded only when there is something to do
	insists            bool   // enforces whatever the target's mode is
	by                 string // who asked, "" when that is not known
	why                string // it acts early; "" when it does not
	decided            bool   // a person has decided that it acts: what is to be proposed first is not

	approved *Proposal      // that it carries out; nil for any other run
	choice   *action.Choice // the files of it

	key   playbookKey
	state *playbookState // that it belongs to; nil when it leaves no trace there
}

// intent is what became of the record of the intent.
type intent struct {
	begun chan struct{} // closed when id or err is known
	spent time.Time     // the use of a budget that this run is; zero when it is none
	id    string
	err   error
}

// progress is where a run stands.
type progress struct {
	level  series.Level
	alerts int                 // that it serves
	served map[string]struct{} // their keys, up to maxServed
	twins  map[twin]struct{}   // the same by name
	readAt time.Time           // when the reading was taken that led to the run; zero where that is not known, and once it had an effect
	acted  bool                // it had one
	state  string
	ended  bool
	step   int  // from 1; 0 before the first
	mode   mode // of the step
	action string
	record string // of the step, from its intent to its result; else ""
	files  int64
	bytes  int64

	early bool // only the steps that act before the limit run, at any level; an alert that joins ends that

	followers []*Follower
}

// result is how a run ended.
type result struct {
	outcome  string
	err      error
	effect   effect
	steps    []action.Outcome // of those that ran
	verified verification     // after the last that was verified
	settled  bool             // nothing more is to be done to relieve: it has, or nothing can be seen of it
	removed  *action.Removed  // by its steps; nil when none passes that on
	notes    []string
	dueAt    time.Time // when enough of what is left is old enough; zero when age holds nothing back
	inUse    bool      // what is left may be free again at any time
	until    time.Time // to which a run waits that ended waiting
	before   Reading
	after    Reading
	files    int64
	bytes    int64
	freed    int64
	lost     int64 // bytes of logs
	skipped  map[string]int64
	policies []action.PolicyResult // for followers; empty when there is none
}

// record is the intent of the run.
func (r *run) record(now time.Time, level series.Level) journal.Record {
	intent := "run " + describe(r.steps)
	switch {
	case r.approved != nil:
		intent = "run " + describe(r.steps[r.approved.From:]) + ", the proposal " + r.approved.ID + ", approved by " + r.by
	case r.by != "":
		intent += ", requested by " + r.by
	case r.why != "":
		intent += ", since " + r.why
	}
	return journal.Record{
		Time: now, Target: r.target, Playbook: r.playbook, Trigger: string(r.trigger), Alert: r.alert, Fingerprint: r.fingerprint,
		Mode: string(r.mode), Level: level.String(), Intent: intent,
	}
}

// serve notes an alert that the run serves, and by which way it came. Its key is remembered up to a
// bound: beyond it a repeat is reported as accepted by the open run, or as held by the cooldown, which
// has the same effect.
func (p *progress) serve(a *alert.Alert, t alert.Trigger) {
	p.alerts++
	if p.served == nil {
		p.served = make(map[string]struct{})
	}
	if p.twins == nil {
		p.twins = make(map[twin]struct{})
	}
	if len(p.served) < maxServed {
		p.served[a.Key()] = struct{}{}
		p.twins[twin{a.Name(), isInside(t)}] = struct{}{}
	}
	if p.readAt.IsZero() && !p.acted {
		p.readAt = a.ReadAt
	}
}

// newRun makes a run and reserves its slot in the queue. It is called with the lock held.
func (d *Dispatcher) newRun(t *Target, p Playbook, trigger alert.Trigger) *run {
	d.accepted++
	r := &run{
		request: request{
			seq: d.accepted, since: d.opts.Now(), target: t.Name, playbook: p.Name, steps: p.Steps, subject: p.Subject,
			cooldown: p.Cooldown, trigger: trigger, mode: d.modeOf(t),
		},
		intent:   intent{begun: make(chan struct{})},
		progress: progress{state: StateQueued},
	}
	if r.cooldown <= 0 {
		r.cooldown = defaultCooldown
	}
	d.queued++
	d.open[r] = struct{}{}
	return r
}

// modeOf is the mode in which actions of a target run at present: as its configuration says, if the
// journal would survive a crash.
func (d *Dispatcher) modeOf(t *Target) mode {
	if m := mode(t.Mode); (m == enforce || m == propose) && d.opts.Journal.Durable() {
		return m
	}
	return dryRun
}

// modeNow is the mode of a run at present: one that was accepted as a dry run stays one, and one that was accepted to
// enforce may do no more than its target may now, unless a person insists. What a person has approved is bound to the
// configuration of then. It is called with the lock held.
func (d *Dispatcher) modeNow(r *run) mode {
	t, ok := d.targets[r.target]
	switch {
	case !ok || r.mode == dryRun, r.approved != nil && r.approved.Digest != t.Digest:
		return dryRun
	case r.insists && d.opts.Journal.Durable():
		return enforce
	}
	m := d.modeOf(&t)
	if m == propose && r.decided || m == enforce && r.mode == propose && !r.decided {
		return r.mode
	}
	return m
}

// stepMode is the mode of a step: that of its run, or what the step says if that is less. What only looks needs no one's
// approval. It is called with the lock held.
func (d *Dispatcher) stepMode(r *run, step *Step) mode {
	m := d.modeNow(r)
	switch {
	case m == dryRun || step.Mode == ModeDryRun:
		return dryRun
	case r.decided || r.insists || observes(step):
		return enforce
	case step.Mode == ModePropose:
		return propose
	}
	return m
}

// modeAt is the mode of a playbook at a level: that of its target, or propose where its first step that relieves is
// proposed.
func (d *Dispatcher) modeAt(t *Target, p *Playbook, level series.Level) mode {
	m := d.modeOf(t)
	for i := range p.Steps {
		if s := &p.Steps[i]; m == enforce && s.applies(level) && !observes(s) {
			if s.Mode == ModePropose {
				return propose
			}
			return m
		}
	}
	return m
}

// describe returns the steps for the journal.
func describe(steps []Step) string {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.String()
	}
	return strings.Join(names, ", ")
}
