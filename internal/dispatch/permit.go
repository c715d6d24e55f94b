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

	forecast forecast      // whether it is to act before the limit is reached
	proposal proposalState // of the playbook
}

// forecast is what the growth of the memory says of a playbook with act_before.
type forecast int

const (
	forecastUnasked forecast = iota // something else requests the playbook
	forecastDue                     // the limit would be reached before the window opens again
	forecastNotDue                  // it would not, or that is not known surely enough
)

// proposalState is where the proposal of a playbook stands.
type proposalState int

const (
	proposalNone     proposalState = iota
	proposalOpen                   // it waits for a person
	proposalDenied                 // a person has denied it for this situation
	proposalApproved               // a person has approved it, and it is to be carried out
)

// permission is the answer to a situation.
type permission struct {
	skip   string // why it may not run: one of the Skip constants; "" when it may
	mode   mode   // in which it may run; "" when it may not
	breaks bool   // it breaks the cooldown with that
}

// permit is the whole decision whether a remedy may run by itself. It is pure, and a table of all situations
// is its test. What a person wants comes first. An emergency breaks a cooldown once, and nothing else: neither a
// pause nor a window nor a budget yields to it. A forecast is not an emergency, whatever the level is. A budget comes last, since only what would run now needs a
// person. What a person has approved acts in place of a proposal: its cooldown and budget are for what no person has
// seen. A proposal says something about a playbook only while that is in mode propose; what is left of one in another mode
// is void.
func permit(s situation) permission {
	if s.mode != propose {
		s.proposal = proposalNone
	}
	approved := s.proposal == proposalApproved
	switch {
	case s.paused:
		return permission{skip: SkipPaused}
	case s.proposal == proposalOpen:
		return permission{skip: SkipProposed}
	case s.proposal == proposalDenied:
		return permission{skip: SkipDenied}
	case s.rests && !approved && (s.level < series.LevelEmergency || s.broken || s.forecast != forecastUnasked):
		return permission{skip: SkipCooldown}
	case s.closed:
		return permission{skip: SkipWindow}
	case approved:
		return permission{mode: enforce}
	case s.forecast == forecastNotDue:
		return permission{skip: SkipForecast}
	case s.spent:
		return permission{skip: SkipBudget}
	}
	return permission{mode: s.mode, breaks: s.rests}
}
