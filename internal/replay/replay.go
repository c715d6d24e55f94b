package replay

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/eval"
	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/schedule"
)

// warmUp is how long before the span the replay begins, so that the cooldowns that hold at its start are known: the longest
// that a run can leave behind, twice.
const warmUp = 2 * time.Hour

// Options are what a replay is made of. Journal, Files and Limit may be nil.
type Options struct {
	Config  *config.Config
	Rules   *eval.Ruleset
	History *history.Store // open
	Files   *folderlog.Log
	Journal func(journal.Filter) (records []journal.Record, next string, err error)
	// Limit returns the memory limit that a target with memory.limit has at present: that of its cgroup may be smaller. It
	// is not known for one that does not run.
	Limit    func(target string) (bytes int64, ok bool)
	From, To time.Time
}

// Report is what a configuration would have done.
type Report struct {
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	Resolution string    `json:"resolution"` // of all times but those of the journal
	Runs       []Run     `json:"runs"`       // in the order of time
	Folders    []Folder  `json:"folders,omitempty"`
	Notes      []string  `json:"notes,omitempty"` // what could not be judged, and why
}

// Whether a run would have started.
const (
	WouldHave = "would_have"
	MayHave   = "may_have" // only the largest value of five minutes reaches it
	WouldNot  = "would_not"
)

// Run is a run that would have started, or really did.
type Run struct {
	Time     time.Time `json:"time"` // within five minutes after it
	Target   string    `json:"target"`
	Playbook string    `json:"playbook"` // or the action of a schedule
	Would    string    `json:"would"`
	Mode     string    `json:"mode,omitempty"`
	Trigger  string    `json:"trigger,omitempty"`
	Alert    string    `json:"alert,omitempty"`
	Level    string    `json:"level,omitempty"`
	Outcome  string    `json:"outcome,omitempty"`          // by what was seen later
	Seconds  float64   `json:"duration_seconds,omitempty"` // for which its alert held; 0 where none began it
	Files    int64     `json:"files,omitempty"`
	Bytes    int64     `json:"bytes,omitempty"`
	Really   *Really   `json:"really,omitempty"` // nil: nothing of the kind happened

	fingerprint string
}

// Really is a run of the journal.
type Really struct {
	ID      string    `json:"run_id"`
	Time    time.Time `json:"time"`
	Mode    string    `json:"mode"`
	Level   string    `json:"level,omitempty"`
	Outcome string    `json:"outcome"`
	Seconds float64   `json:"duration_seconds"`
	Files   int64     `json:"files,omitempty"`
}

// replay is one that is under way.
type replay struct {
	o       Options
	report  *Report
	world   *world
	book    *book
	now     time.Time
	stage   *dispatch.Rehearsal
	pressed *eval.Evaluator // sees the highest pressure
	calm    *eval.Evaluator // sees the lowest
	holds   map[string]time.Duration
	every   time.Duration
	calming bool      // calm has an alert
	again   time.Time // the stage is to look at what begins by itself
	due     []scheduled
	alerts  map[string]*span // by fingerprint: of the present or the last time that it fired
	people  []journal.Record // what people have paused and resumed
}

// span is when an alert held.
type span struct {
	since, until time.Time // until is zero while it holds
	at           bool      // it needs no time, so that the largest value is enough
	calm         []stretch // in which it fires at the lowest pressure, too
}

// stretch is a time from a first to a last moment.
type stretch struct{ from, to time.Time }

// fires notes that the alert fires at the lowest pressure.
func (s *span) fires(at time.Time) {
	if n := len(s.calm); n > 0 && at.Sub(s.calm[n-1].to) <= history.Step {
		s.calm[n-1].to = at
		return
	}
	s.calm = append(s.calm, stretch{at, at})
}

// sure reports whether a run that the alert began at a time would have begun, and not only may have.
func (s *span) sure(at time.Time) bool {
	return s.at || slices.ContainsFunc(s.calm, func(c stretch) bool { return !at.Before(c.from.Add(-near)) && !at.After(c.to.Add(near)) })
}

// scheduled is a policy with an interval of its own.
type scheduled struct {
	schedule.Policy
	at time.Time
}

// Play replays.
func Play(ctx context.Context, o Options) (*Report, error) {
	o.From, o.To = floor(o.From), floor(o.To)
	p := &replay{
		o: o, report: &Report{From: o.From, To: o.To, Resolution: "5m", Runs: []Run{}}, every: o.Config.EvaluationInterval.Std(),
		alerts: make(map[string]*span), holds: make(map[string]time.Duration),
	}
	begin := o.From.Add(-warmUp)
	var err error
	if p.world, err = newWorld(&o, begin); err != nil {
		return nil, err
	}
	set, remedies := o.Rules.Remedies(p.world.has)
	p.book = newBook(func() time.Time { return p.now })
	p.now = begin
	p.direct(set)
	for i := range remedies {
		p.holds[remedies[i].Name] = remedies[i].Hold
	}
	really, err := p.readJournal(begin)
	if err != nil {
		return nil, err
	}
	for at := begin; at.Before(o.To); at = at.Add(history.Step) {
		if err := p.step(ctx, at); err != nil {
			return nil, err
		}
	}
	p.conclude(really)
	p.report.Notes = append(p.report.Notes, p.world.notes(remedies)...)
	return p.report, nil
}

func floor(t time.Time) time.Time {
	ms := t.UnixMilli()
	return time.UnixMilli(ms - ms%history.Step.Milliseconds())
}

// direct sets the stage.
func (p *replay) direct(set *eval.Ruleset) {
	quiet := slog.New(slog.DiscardHandler)
	now := func() time.Time { return p.now }
	p.stage = dispatch.NewRehearsal(dispatch.Options{Journal: p.book, Observer: p.world, Logger: quiet, Now: now}, p.world.later)
	p.stage.Apply(targets(p.o.Config, p.world, now))
	evaluator := func(of *values, submit func(context.Context, alert.Batch) ([]alert.Disposition, error)) *eval.Evaluator {
		return eval.New(eval.Options{
			Gatherer: of.registry, Rules: set, Interval: p.every, Submit: submit, Logger: quiet, Registerer: prometheus.NewRegistry(), Now: now,
			Labels: map[string]string{alert.LabelInstance: "replay"},
		})
	}
	p.pressed = evaluator(&p.world.high, p.stage.Submit)
	p.calm = evaluator(&p.world.low, func(context.Context, alert.Batch) ([]alert.Disposition, error) { return nil, nil })
	for _, s := range schedule.Of(p.o.Config) {
		p.due = append(p.due, scheduled{s, p.now.Add(s.Every)})
	}
	p.again = p.now.Add(time.Minute)
}

// step lives through five minutes: all moments at which something may begin.
func (p *replay) step(ctx context.Context, begin time.Time) error {
	end := begin.Add(history.Step)
	judge := begin // when the evaluators look
	for at := begin; at.Before(end); {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.now = at
		p.world.set(at)
		p.persons(ctx, at)
		if !at.Before(judge) {
			if err := p.judge(ctx, at); err != nil {
				return fmt.Errorf("at %s: %w", at.UTC().Format(time.RFC3339), err)
			}
			judge = end
			if next := p.follow(at); !next.IsZero() {
				judge = at.Add(max(p.rounded(next.Sub(at)), p.every))
			}
		}
		p.scheduled(ctx, at)
		if !at.Before(p.again) {
			p.again = at.Add(max(p.stage.Again(), time.Second))
		}
		at = p.sooner(at, end, judge)
	}
	return nil
}

// rounded returns a time of whole evaluations.
func (p *replay) rounded(d time.Duration) time.Duration {
	if rest := d % p.every; rest > 0 {
		d += p.every - rest
	}
	return d
}

// judge evaluates the rules: at the highest pressure, and at the lowest while there is any.
func (p *replay) judge(ctx context.Context, at time.Time) error {
	if err := p.pressed.Evaluate(ctx, at); err != nil {
		return err
	}
	list, _ := p.pressed.Active()
	if len(list) == 0 && !p.calming {
		return nil
	}
	err := p.calm.Evaluate(ctx, at)
	list, _ = p.calm.Active()
	p.calming = len(list) > 0
	return err
}

// sooner returns the next moment.
func (p *replay) sooner(at, end, judge time.Time) time.Time {
	next := end
	for _, t := range []time.Time{judge, p.again} {
		if t.After(at) && t.Before(next) {
			next = t
		}
	}
	for i := range p.due {
		if t := p.due[i].at; t.After(at) && t.Before(next) {
			next = t
		}
	}
	return next
}

// scheduled starts the policies that are due by their own interval.
func (p *replay) scheduled(ctx context.Context, at time.Time) {
	for i := range p.due {
		s := &p.due[i]
		if at.Before(s.at) {
			continue
		}
		s.at = at.Add(s.Every)
		// One that is paused or held is not started, as in the exporter.
		_, _ = p.stage.RunNow(ctx, dispatch.ManualRequest{Target: s.Target, Action: s.Action, Only: s.Name, Trigger: alert.TriggerSchedule})
	}
}

// follow notes which alerts hold, and which runs they have begun. It returns when the evaluators may find something else
// although nothing changes.
func (p *replay) follow(at time.Time) (next time.Time) {
	list, next := p.pressed.Active()
	calm, calmNext := p.calm.Active()
	if !calmNext.IsZero() && (next.IsZero() || calmNext.Before(next)) {
		next = calmNext
	}
	holding := make(map[string]bool, len(list))
	for i := range list {
		a := &list[i]
		holding[a.Fingerprint] = true
		s := p.alerts[a.Fingerprint]
		if s == nil || !s.until.IsZero() {
			s = &span{since: a.Since, at: p.holds[a.Name] == 0}
			p.alerts[a.Fingerprint] = s
		}
		if again := p.repeats(a, at); !again.IsZero() && (next.IsZero() || again.Before(next)) {
			next = again
		}
	}
	for i := range calm {
		if s := p.alerts[calm[i].Fingerprint]; s != nil && calm[i].Fires {
			s.fires(at)
		}
	}
	p.begun()
	for f, s := range p.alerts {
		if s.until.IsZero() && !holding[f] {
			s.until = at
		}
	}
	return next
}

// repeats returns when an alert that fires is worth being submitted again: when the cooldown of its playbook ends. For all
// else five minutes are soon enough. It is the zero time when no cooldown holds.
func (p *replay) repeats(a *eval.Firing, at time.Time) time.Time {
	until := p.stage.Until(a.Target, a.Playbook)
	switch {
	case !a.Fires || !until.After(at):
		return time.Time{}
	case a.Again.After(until):
		return a.Again
	}
	return until
}

// begun notes which alerts have begun the runs since it was called last.
func (p *replay) begun() {
	for _, i := range p.book.fresh() {
		if s := p.alerts[p.book.runs[i].Fingerprint]; s != nil {
			p.book.spans[i] = s
		}
	}
}

// conclude writes the report.
func (p *replay) conclude(really []journal.Record) {
	p.begun()
	for i := range p.book.runs {
		rec := &p.book.runs[i]
		if rec.Time.Before(p.o.From) || rec.Outcome == dispatch.OutcomeNeedsHuman {
			continue
		}
		r := Run{
			Time: floor(rec.Time), Target: rec.Target, Playbook: rec.Playbook, Would: WouldHave, Mode: rec.Mode, Trigger: rec.Trigger, Alert: rec.Alert,
			Level: rec.Level, Outcome: rec.Outcome, Files: rec.Files, Bytes: rec.Bytes, fingerprint: rec.Fingerprint,
		}
		if s := p.book.spans[i]; s != nil {
			until := s.until
			if until.IsZero() {
				until = p.o.To
			}
			r.Seconds = until.Sub(s.since).Seconds()
			if !s.sure(rec.Time) {
				r.Would = MayHave
			}
		}
		p.report.Runs = append(p.report.Runs, r)
	}
	p.match(really)
	slices.SortStableFunc(p.report.Runs, func(a, b Run) int { return a.Time.Compare(b.Time) })
	p.report.Folders = p.world.removed(p.o.From, p.o.To)
}
