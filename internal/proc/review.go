package proc

import "time"

const (
	slowCheck = 5 * time.Minute  // how often it is decided again about an old process
	nameCheck = time.Minute      // how often its name is read, which decides again at once when it is another,
	nameUntil = 10 * time.Minute // up to this age
	deepest   = 64               // ancestors that are asked
)

// young are the ages after first sight at which a process's name is read again: a service that
// was started by a shell changes its name by exec.
var young = [...]time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second}

// review is when it is decided again which target a process belongs to, and what the last decision
// left open.
type review struct {
	firstSeen  int64
	at         int64 // of the next one, or of a look at the name
	whole      int64 // of the next one when the name stays
	ages       int   // of young that are behind it
	decided    bool  // once at least
	unreadable bool  // not enough could be read to decide
	blank      bool  // it had no arguments at the last look
}

// check reads who the process is and decides which target it belongs to, after its parent.
func (t *Tracker) check(p *process, ms int64, depth int) {
	if t.keepsName(p, ms) || !t.identify(p, ms) {
		return
	}
	if parent := t.find(p.ppid); parent != nil && parent.review.at <= ms && depth < deepest {
		t.check(parent, ms, depth+1)
	}
	t.facts.reset(t.r, p.pid, p.comm, "")
	t.facts.name = properName(&t.facts)
	if p.name != t.facts.name {
		p.name = t.intern(t.facts.name)
	}
	g, by := t.choose(p)
	if p.losesOwn(g, by) && !p.review.blank && t.facts.hasLine && len(t.facts.line) == 0 {
		// Amid an exec the arguments are empty for a moment: a member stays one until a second look.
		p.review.blank, p.review.at = true, ms+young[0].Milliseconds()
		return
	}
	p.review.blank = false
	p.review.unreadable = g == nil && t.facts.lastErr != nil && !gone(t.facts.lastErr)
	t.move(p, g, by, ms)
	p.review.decided = true
}

// losesOwn reports whether a member would no longer be one by its own properties of a target.
func (p *process) losesOwn(g *group, by kinship) bool {
	switch {
	case p.group == nil || p.group == g:
		return false
	case g == nil:
		return true
	}
	return p.by == matched && !p.group.discovered && (by == descended || g.discovered)
}

// keepsName reports whether nothing has to be decided about an old process, because it has the name that
// it had. That costs a part of what deciding does.
func (t *Tracker) keepsName(p *process, ms int64) bool {
	r := &p.review
	if ms >= r.whole || r.whole-ms > slowCheck.Milliseconds() || r.blank {
		return false
	}
	s, err := t.r.stat(p.pid)
	if err != nil || s.start != p.start || string(s.comm) != p.comm {
		return false
	}
	r.at = t.nextName(p, ms)
	return true
}

// nextName returns when the name of a process is read, or when all is decided again if that is earlier. A
// service that takes its name late does so while it starts.
func (t *Tracker) nextName(p *process, ms int64) int64 {
	if t.ageOf(p, ms) >= nameUntil.Milliseconds() {
		return p.review.whole
	}
	return min(ms+nameCheck.Milliseconds(), p.review.whole)
}

// ageOf returns the age of a process in milliseconds, since it was first seen where its start is not known.
func (t *Tracker) ageOf(p *process, ms int64) int64 {
	if start := t.startOf(p.start); !start.IsZero() {
		return ms - start.UnixMilli()
	}
	return ms - p.review.firstSeen
}

// identify reads who the process is. It returns false when there is nothing to decide about: it
// has ended, has no memory of its own, or cannot be read at present.
func (t *Tracker) identify(p *process, ms int64) bool {
	s, err := t.r.stat(p.pid)
	switch {
	case err != nil && gone(err):
		t.end(p, reaped)
		return false
	case err != nil:
		p.review.unreadable = true
		t.schedule(p, ms)
		return false
	case p.start != 0 && s.start != p.start: // the pid was given out again since the listing
		t.end(p, reaped)
		return false
	case s.state == 'Z' || s.state == 'X':
		t.end(p, zombie)
		return false
	case s.kernel: // has no memory of its own
		t.leave(p)
		p.review.at = never
		return false
	}
	p.ppid, p.start, p.review.unreadable = s.ppid, s.start, false
	if p.comm != string(s.comm) {
		p.comm = t.intern(string(s.comm))
	}
	t.schedule(p, ms)
	return true
}

// schedule sets when the process is looked at again.
func (t *Tracker) schedule(p *process, ms int64) {
	r := &p.review
	if !r.decided && r.ages == 0 && !t.boot.IsZero() && p.start > 0 {
		if age := ms - t.startOf(p.start).UnixMilli(); age > young[len(young)-1].Milliseconds() {
			// Older than anything that still changes its name often; spread, so that the
			// processes of a first listing do not come due together.
			r.ages = len(young)
			turn := int64(uint32(p.pid)*2654435761>>24 + 1)
			r.whole = ms + slowCheck.Milliseconds()/256*turn
			r.at = r.whole
			return
		}
	}
	for r.ages < len(young) && r.firstSeen+young[r.ages].Milliseconds() <= ms {
		r.ages++
	}
	if r.ages < len(young) {
		r.at = r.firstSeen + young[r.ages].Milliseconds()
		return
	}
	r.whole = ms + slowCheck.Milliseconds()
	r.at = t.nextName(p, ms)
}

// mostNames is how many names are kept to be shared by the processes that have them.
const mostNames = 1024

// intern returns one copy of a name for all processes that have it.
func (t *Tracker) intern(name string) string {
	if known, ok := t.interned[name]; ok {
		return known
	}
	if len(t.interned) >= mostNames {
		clear(t.interned)
	}
	t.interned[name] = name
	return name
}
