package dispatch

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// situation is everything on which it depends whether a remedy may run by itself.
type situation struct {
	mode   mode
	level  series.Level
	paused bool // a person has paused the target, or all
	rests  bool // the cooldown of the playbook holds
	broken bool // an emergency has broken that cooldown already
	closed bool // the window of the playbook is closed, or that of each step for the level
	spent  bool // its budget is used up
}

// permission is the answer to a situation.
type permission struct {
	skip   string // why it may not run: SkipPaused, SkipCooldown, SkipWindow or SkipBudget; "" when it may
	mode   mode   // in which it may run; "" when it may not
	breaks bool   // it breaks the cooldown with that
}

// permit is the whole decision whether a remedy may run by itself. It is pure, and a table of all situations
// is its test. What a person wants comes first. An emergency breaks a cooldown once, and nothing else: neither a
// pause nor a window nor a budget gives way to it. A budget comes last, since only what would run now needs a
// person.
func permit(s situation) permission {
	switch {
	case s.paused:
		return permission{skip: SkipPaused}
	case s.rests && (s.level < series.LevelEmergency || s.broken):
		return permission{skip: SkipCooldown}
	case s.closed:
		return permission{skip: SkipWindow}
	case s.spent:
		return permission{skip: SkipBudget}
	}
	return permission{mode: s.mode, breaks: s.rests}
}
