package dispatch

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// twinDelay is how much later than the exporter a Prometheus may see what both judge, and its alert
// arrive: a scrape, an evaluation and a group_wait of a minute, 30 s and 30 s.
const twinDelay = 2 * time.Minute

// twin names an alert by what is the same wherever its rule is judged: here, or by a Prometheus that
// reads the same rule file. Labels, times and with them the fingerprint are others there.
type twin struct {
	name   string
	inside bool // judged here
}

func isInside(t alert.Trigger) bool { return t == alert.TriggerStandalone }

// servedTwin reports whether the last run was already about an alert, which was judged on the other
// side and served there. One that began after the run is a new one. Of what happened here that is
// seen from its start; of what a Prometheus says it is known only after some time, or from the twin
// that still fires here.
func (c *cooldown) servedTwin(q *question, firing bool) bool {
	if _, served := c.twins[twin{q.alert.Name(), !q.inside}]; !served {
		return false
	}
	holds := c.holds(q.now)
	if q.inside {
		return holds && !q.alert.StartsAt.After(c.LastEnd)
	}
	late := c.LastEnd.Add(twinDelay)
	return holds && firing || q.alert.StartsAt.Before(late) && (holds || q.now.Before(late))
}

// firesInside reports whether an alert of the name is known to fire by the rules that are judged here.
func (s *playbookState) firesInside(name string, now time.Time) bool {
	for _, f := range s.firing {
		if isInside(f.trigger) && f.alert.Name() == name && now.Sub(f.seen) <= firingLast {
			return true
		}
	}
	return false
}
