package simulate

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
	"github.com/spillway-exporter/spillway_exporter/internal/window"
)

// windows are those of every configuration, in UTC, as the clock of the host.
var windows = window.Windows{
	"office": {{Times: []window.Range{{Start: "08:00", End: "18:00"}}}},
	"hours":  {{Times: []window.Range{{Start: "00:00", End: "01:00"}, {Start: "06:30", End: "06:40"}, {Start: "20:00", End: "24:00"}}}},
}

// guard gives some playbooks of a target budgets and windows. It reports whether there are any.
func (w *world) guard(books map[string]dispatch.Playbook) bool {
	guards := make(dispatch.Guards)
	for _, name := range []string{relieveMemory, "clean_temp", "trim_cache", ownPlaybook} {
		if _, ok := books[name]; !ok || !w.happens(20) {
			continue
		}
		g := dispatch.Guard{}
		if w.happens(70) {
			g.Budget = dispatch.Budget{AtMost: 1 + w.rng.IntN(3), Per: units.Duration(pick(w, 5*time.Minute, time.Hour, 30*time.Hour))}
		}
		if w.happens(40) {
			g.WhenOpen = pick(w, window.Ref("office"), "not office", "hours")
			if w.happens(60) {
				g.ActBefore = dispatch.ActBeforeLimit
			}
		}
		if step := w.rng.IntN(3); step < len(books[name].Steps) && w.happens(30) {
			books[name].Steps[step].WhenOpen = "hours"
			if w.happens(50) {
				books[name].Steps[step].ActBefore = dispatch.ActBeforeLimit
			}
		}
		guards[name] = g
	}
	guards.Apply(books, windows)
	return len(guards) > 0
}

// pauseNote is a pause that surely holds: the exporter has confirmed it. Its end is the earliest there can be.
type pauseNote struct {
	since, until time.Time
	length       time.Duration // 0: until someone resumes
}

func (n pauseNote) holds(at time.Time) bool {
	return at.After(n.since) && (n.length == 0 || at.Before(n.until))
}

// clamped is the pause once the clock was set.
func (n pauseNote) clamped(now time.Time) pauseNote {
	if now.Before(n.since) {
		n.since, n.until = now, now.Add(n.length)
	}
	return n
}

// use is one of a budget: when a run began that acted.
type use struct {
	runID string
	at    time.Time
}

// guardBook is what is known of pauses and budgets. World.mu guards it.
type guardBook struct {
	paused            map[string]pauseNote // "" is all targets
	used              map[key][]use        // by runs that acted by themselves, whose end is synced
	began             map[string]use       // by the id of a run that is open
	early             map[key]earlyNote    // of this process: runs before a limit
	resumes, resuming int                  // how often one has begun or ended, and how many are under way
	fresh             time.Duration        // when the configuration came into effect, since the beginning of the story
}

func newGuardBook() guardBook {
	return guardBook{paused: make(map[string]pauseNote), used: make(map[key][]use), began: make(map[string]use), early: make(map[key]earlyNote)}
}

// earlyNote is a run that began before a limit, by both clocks.
type earlyNote struct {
	at    time.Time
	after time.Duration
}

// outlook is what is foreseen of a target. It is another one each hour, by the seed.
func (w *world) outlook(target string, now time.Time) trend.Outlook {
	hour := now.Truncate(time.Hour)
	sum := hashStart.number(int64(w.seed)).number(hour.Unix()).text(target, "outlook").mixed()
	o := trend.Outlook{Judged: now}
	o.Growing, o.PerSecond = sum%4 > 0, 1
	o.Confidence = float64(sum/4%10) / 9
	o.At = hour.Add(time.Duration(1+sum/40%30) * time.Hour)
	o.Earliest, o.Latest = o.At.Add(-time.Duration(sum/1200%60)*time.Minute), o.At.Add(time.Hour)
	return o
}

// checkEarly: what acts before a limit does so only where that is foreseen and sure, once while its window is open, and with the
// steps that say so.
func (w *world) checkEarly(r *journal.Record, p *dispatch.Playbook) {
	if r.Step > 0 {
		joined := w.ledger.accepted[r.RunID] // an alert makes it an ordinary run
		if !joined && !slices.ContainsFunc(p.Steps, func(s dispatch.Step) bool { return s.Do == r.Action && s.Early }) {
			w.breaks("%s of %s for %s runs before the limit, and does not say so", r.Action, r.Playbook, r.Target)
		}
		return
	}
	if r.Outcome != "" || r.Mode != dispatch.ModeEnforce {
		return
	}
	sure := func(at time.Time) bool {
		o := w.outlook(r.Target, at)
		return o.Growing && o.Confidence >= trend.Sure
	}
	if !sure(r.Time) && !sure(r.Time.Add(-time.Minute)) {
		w.breaks("%s for %s began at %s before its limit, which is not foreseen", r.Playbook, r.Target, r.Time.Format(time.TimeOnly))
	}
	g, k := &w.ledger.guards, key{r.Target, r.Playbook}
	last, before := g.early[k]
	g.early[k] = earlyNote{r.Time, w.elapsed()}
	if !before || last.after < g.fresh || r.Time.Before(last.at) {
		return
	}
	for at := last.at; !at.After(r.Time); at = at.Add(time.Minute) {
		if !slices.ContainsFunc(p.Steps, func(s dispatch.Step) bool { return s.Early && p.Hours.Open(at) && s.Hours.Open(at) }) {
			return
		}
	}
	w.breaks("%s for %s began at %s and at %s before its limit, in one window", r.Playbook, r.Target, last.at.Format(time.TimeOnly), r.Time.Format(time.TimeOnly))
}

// clamp is what becomes of pauses and uses when the clock is set. A pause that is over may have been noticed.
func (g *guardBook) clamp(now time.Time) {
	for target, p := range g.paused {
		if p = p.clamped(now); p.length > 0 && !now.Before(p.until) {
			delete(g.paused, target)
			continue
		}
		g.paused[target] = p
	}
	for k := range g.used {
		for i, u := range g.used[k] {
			if now.Before(u.at) {
				g.used[k][i].at = now
			}
		}
	}
}

// pauseOrResume is a person who pauses something, or resumes it.
func (w *world) pauseOrResume() {
	req := dispatch.PauseRequest{Target: pick(w, append([]string{""}, serviceNames...)...), Reason: "by chance"}
	resume := w.happens(45)
	if !resume && w.happens(80) {
		req.For = w.between(time.Minute, 3*time.Hour)
	}
	p := w.p
	p.request(func(ctx context.Context) {
		if resume {
			ended := w.resume(ctx, p, req)
			p.say("resume", req.Target, string(rune('0'+len(ended))))
			return
		}
		w.mu.Lock()
		delete(w.ledger.guards.paused, req.Target) // it may be a shorter one from here on
		before := w.ledger.guards.resumes
		w.mu.Unlock()
		made, err := p.dispatcher.Pause(ctx, req)
		p.say("pause", req.Target, req.For.String())
		w.mu.Lock()
		defer w.mu.Unlock()
		if g := &w.ledger.guards; err == nil && !p.isDead() && g.resumes == before && g.resuming == 0 { // else it may be over already
			w.ledger.guards.paused[req.Target] = pauseNote{since: made.Since, until: made.Until, length: req.For}.clamped(w.now())
		}
	})
}

// resume is a person who ends pauses. What is confirmed while that goes on may be over as soon as it has begun.
func (w *world) resume(ctx context.Context, p *process, req dispatch.PauseRequest) []dispatch.Pause {
	note := func(underWay int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		g := &w.ledger.guards
		g.resumes, g.resuming = g.resumes+1, g.resuming+underWay
		if !p.isDead() {
			maps.DeleteFunc(g.paused, func(target string, _ pauseNote) bool { return req.Target == "" || req.Target == target })
		}
	}
	note(1)
	defer note(-1)
	ended, _ := p.dispatcher.Resume(ctx, req)
	return ended
}

// resumeAll ends all pauses.
func (w *world) resumeAll() {
	p := w.p
	p.request(func(ctx context.Context) { w.resume(ctx, p, dispatch.PauseRequest{}) })
	w.pass(time.Minute)
}

// checkGuards: no step begins by itself while its target is paused or its window is closed, no playbook while its own
// window is closed, and none acts more often than its budget allows.
func (w *world) checkGuards(r *journal.Record, trigger alert.Trigger) {
	if trigger == alert.TriggerManual || trigger == "" {
		return
	}
	g := &w.ledger.guards
	for _, target := range []string{"", r.Target} {
		if p, ok := g.paused[target]; ok && r.Step > 0 && p.holds(r.Time) {
			w.breaks("%s of %s began at %s by %s, and %q is paused since %s", r.Intent, r.Target, r.Time.Format(time.TimeOnly), trigger, target, p.since.Format(time.TimeOnly))
		}
	}
	playbook, ok := w.config.targets[r.Target].Playbooks[r.Playbook]
	began := w.elapsed()
	if n := w.ledger.runs[r.RunID]; n != nil && r.Step > 0 {
		began = n.made
	}
	if trigger == alert.TriggerSchedule || !ok || began < g.fresh+time.Minute { // it may have begun by the configuration before
		return
	}
	if trigger == alert.TriggerForecast {
		w.checkEarly(r, &playbook)
	}
	if r.Step == 0 {
		if !playbook.Hours.Open(r.Time) && r.Outcome == "" && r.Mode == dispatch.ModeEnforce {
			w.breaks("%s for %s began at %s by %s, and its window is closed", r.Playbook, r.Target, r.Time.Format(time.TimeOnly), trigger)
		}
		return
	}
	if i := slices.IndexFunc(playbook.Steps, func(s dispatch.Step) bool { return s.Do == r.Action }); i >= 0 && !playbook.Steps[i].Hours.Open(r.Time) {
		w.breaks("the step %s of %s for %s began at %s by %s, and its window is closed", r.Action, r.Playbook, r.Target, r.Time.Format(time.TimeOnly), trigger)
	}
	begin, counts := g.began[r.RunID]
	if !counts {
		return
	}
	n := 0
	for _, u := range g.used[key{r.Target, r.Playbook}] {
		if begin.at.Sub(u.at) < playbook.Budget.Per.Std() {
			n++
		}
	}
	if most := playbook.Budget.AtMost; most > 0 && n >= most {
		w.breaks("%s for %s acts at %s by %s for the time %d within %s, and its budget is %d", r.Playbook, r.Target, r.Time.Format(time.TimeOnly), trigger, n+1, playbook.Budget.Per, most)
	}
}
