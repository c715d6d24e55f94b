package dispatch

import (
	"maps"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
)

// ActBeforeLimit is the value of act_before.
const ActBeforeLimit = "limit"

// outlookAge is how old a judgement may be: they come every five minutes.
const outlookAge = 15 * time.Minute

// checkEarly reports what is wrong with an act_before.
func checkEarly(value string, windowed bool, report report.Func) {
	switch {
	case value == "":
	case value != ActBeforeLimit:
		report("act_before", "%q is unknown: write %s, or remove the key", value, ActBeforeLimit)
	case !windowed:
		report("act_before", "needs a window to act in: write when_open, such as when_open: night")
	}
}

// ActsEarly reports whether some step of a playbook acts before the limit.
func (p *Playbook) ActsEarly() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Early })
}

// earlyClosed names the window for which nothing of a playbook can act before the limit now; "" when something can.
func (p *Playbook) earlyClosed(now time.Time) string {
	closed := p.Hours.String()
	for i := range p.Steps {
		s := &p.Steps[i]
		switch {
		case !s.Early || !p.Hours.Open(now):
		case s.Hours.Open(now):
			return ""
		case closed == "":
			closed = s.Hours.String()
		}
	}
	return closed
}

// foreseen reports whether it is sure enough that the memory reaches its limit.
func foreseen(o trend.Outlook, now time.Time) bool {
	age := now.Sub(o.Judged)
	return o.Growing && o.Confidence >= trend.Sure && o.PerSecond > 0 && !o.At.IsZero() && age.Abs() < outlookAge
}

// dueEarly reports whether the present window of some step is the last one before the limit is reached, and until when that
// window is open. What is reached while it is open is left to the levels.
func (p *Playbook) dueEarly(o trend.Outlook, now time.Time) (closes time.Time, due bool) {
	if !foreseen(o, now) {
		return time.Time{}, false
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		open := func(t time.Time) bool { return p.Hours.Open(t) && s.Hours.Open(t) }
		if !s.Early || !open(now) {
			continue
		}
		closes := next(now, later(o.At, o.Latest), func(t time.Time) bool { return !open(t) })
		if !closes.IsZero() && next(closes, o.Earliest, open).IsZero() {
			return closes, true
		}
	}
	return time.Time{}, false
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// next returns the first time from one up to another at which a condition is true, to the minute; zero where there is none.
func next(from, to time.Time, is func(time.Time) bool) time.Time {
	for t := from; !t.After(to); t = t.Add(time.Minute) {
		if is(t) {
			return t
		}
	}
	return time.Time{}
}

// isEarly reports whether a run is of what acts before the limit.
func (d *Dispatcher) isEarly(r *run) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return r.progress.early
}

func (d *Dispatcher) outlookOf(target string) trend.Outlook {
	if d.opts.Outlook == nil {
		return trend.Outlook{}
	}
	return d.opts.Outlook(target)
}

// startEarly makes the runs of playbooks that act before the limit, where their window is the last one before it.
func (d *Dispatcher) startEarly() (fresh []*run, pleas []*plea) {
	if d.opts.Outlook == nil {
		return nil, nil
	}
	keys := make(map[playbookKey]Subject)
	d.mu.Lock()
	for name, t := range d.targets {
		for _, p := range t.Playbooks {
			if p.ActsEarly() {
				keys[playbookKey{name, p.Name}] = p.Subject
			}
		}
	}
	d.mu.Unlock()
	for _, key := range slices.SortedFunc(maps.Keys(keys), compareKeys) {
		reading, outlook := d.opts.Observer.Observe(key.target, keys[key]), d.opts.Outlook(key.target)
		r, plea := d.early(key, reading.Level, outlook)
		if r != nil {
			fresh = append(fresh, r)
		}
		pleas = append(pleas, plea)
	}
	return fresh, pleas
}

// early makes the run of a playbook that acts before the limit, if it is due and may begin now.
func (d *Dispatcher) early(key playbookKey, level series.Level, o trend.Outlook) (*run, *plea) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.opts.Now()
	t := d.targets[key.target]
	p, known := t.Playbooks[key.playbook]
	s := d.stateOf(key)
	s.clamp(now)
	if !known || s.open != nil || s.wait != nil || d.draining || d.queued >= d.opts.QueueLength || s.early.holds(d.modeOf(&t), now) {
		return nil, nil
	}
	closes, due := p.dueEarly(o, now)
	m := d.modeOf(&t)
	q := situation{
		mode: m, level: level, paused: d.pausedBy(t.Name) != nil, rests: s.holding(m).holds(now), closed: p.earlyClosed(now) != "",
		spent: s.spent(&p, now), forecast: forecastNotDue,
	}
	if due {
		q.forecast = forecastDue
	}
	q.proposal, _ = d.proposalOf(key.target, key.playbook, "", &p, series.LevelNormal)
	switch permit(q).skip {
	case "":
	case SkipBudget:
		return nil, d.needsHuman(key, alert.TriggerForecast, &alert.Alert{}, level)
	default:
		return nil, nil
	}
	s.early = opening{now, closes, m}
	r := d.newRun(&t, p, alert.TriggerForecast)
	r.guarded, r.why = true, "its memory reaches the limit "+o.When(now)
	r.progress.level, r.progress.early = level, true
	d.own(r, key)
	d.spend(r, p.Budget)
	return r, nil
}

// retryEarly lets runs that could not be recorded begin again.
func (d *Dispatcher) retryEarly(early []*run) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range early {
		if r.err != nil {
			r.state.early = opening{}
		}
	}
}

// opening is the time of a window in which a playbook has acted before the limit.
type opening struct {
	from, until time.Time
	mode        mode // what was only tried does not hold back what acts
}

// holds reports whether a playbook has acted in the window that is open. After the clock was set back it is not known.
func (o opening) holds(m mode, now time.Time) bool {
	return !now.Before(o.from) && now.Before(o.until) && (o.mode == enforce || m != enforce)
}

// ActsEarly reports whether something of these playbooks is to act before a limit.
func (p Playbooks) ActsEarly(g Guards) bool {
	for _, steps := range p {
		if slices.ContainsFunc(steps, func(s Step) bool { return s.ActBefore != "" }) {
			return true
		}
	}
	for name := range g {
		if g[name].ActBefore != "" {
			return true
		}
	}
	return false
}
