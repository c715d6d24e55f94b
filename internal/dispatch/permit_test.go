package dispatch

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// permitTable is the decision as docs/autonomy.md has it: the first row that fits is the answer. "-" fits all.
const permitTable = `
mode    | level     | pause  | cooldown | window | budget | proposal | forecast | answer
-       | -         | paused | -        | -      | -      | -        | -        | paused
propose | -         | -      | -        | -      | -      | open     | -        | proposed
propose | -         | -      | -        | -      | -      | denied   | -        | denied
propose | -         | -      | -        | closed | -      | approved | -        | window
propose | -         | -      | -        | -      | -      | approved | -        | enforce
-       | -         | -      | holds    | -      | -      | -        | due      | cooldown
-       | -         | -      | holds    | -      | -      | -        | not_due  | cooldown
-       | warning   | -      | holds    | -      | -      | -        | -        | cooldown
-       | critical  | -      | holds    | -      | -      | -        | -        | cooldown
-       | warning   | -      | broken   | -      | -      | -        | -        | cooldown
-       | critical  | -      | broken   | -      | -      | -        | -        | cooldown
-       | emergency | -      | broken   | -      | -      | -        | -        | cooldown
-       | -         | -      | -        | closed | -      | -        | -        | window
-       | -         | -      | -        | -      | -      | -        | not_due  | forecast
-       | -         | -      | -        | -      | spent  | -        | -        | budget
dry_run | emergency | -      | holds    | -      | -      | -        | -        | dry_run, breaks
propose | emergency | -      | holds    | -      | -      | -        | -        | propose, breaks
enforce | emergency | -      | holds    | -      | -      | -        | -        | enforce, breaks
dry_run | -         | -      | -        | -      | -      | -        | -        | dry_run
propose | -         | -      | -        | -      | -      | -        | -        | propose
enforce | -         | -      | -        | -      | -      | -        | -        | enforce
`

// oracle reads the answer from the table.
func oracle(t *testing.T, cells ...string) string {
	t.Helper()
	for _, row := range strings.Split(strings.TrimSpace(permitTable), "\n")[1:] {
		parts := strings.Split(row, "|")
		fits := true
		for i, want := range cells {
			if cell := strings.TrimSpace(parts[i]); cell != "-" && cell != want {
				fits = false
			}
		}
		if fits {
			return strings.TrimSpace(parts[len(parts)-1])
		}
	}
	t.Fatalf("no row for %q", cells)
	return ""
}

func (p permission) String() string {
	switch {
	case p.skip != "":
		return p.skip
	case p.breaks:
		return string(p.mode) + ", breaks"
	}
	return string(p.mode)
}

// everySituation calls f with each situation and its cells in the table.
func everySituation(f func(s situation, cells []string)) {
	pick := func(yes bool, word string) string {
		if yes {
			return word
		}
		return "no"
	}
	proposals := []string{proposalNone: "no", proposalOpen: "open", proposalDenied: "denied", proposalApproved: "approved"}
	forecasts := []string{forecastUnasked: "no", forecastDue: "due", forecastNotDue: "not_due"}
	for _, m := range []mode{dryRun, propose, enforce} {
		for _, level := range []series.Level{warning, critical, emergency} {
			for bits := range 3 << 7 {
				s := situation{
					forecast: forecast(bits >> 7),
					mode:     m, level: level, paused: bits&1 > 0, rests: bits&2 > 0, broken: bits&4 > 0, closed: bits&8 > 0, spent: bits&16 > 0,
					proposal: proposalState(bits >> 5 & 3),
				}
				cooldown := "no" // one that has ended cannot be broken
				switch {
				case s.rests && s.broken:
					cooldown = "broken"
				case s.rests:
					cooldown = "holds"
				}
				f(s, []string{string(m), level.String(), pick(s.paused, "paused"), cooldown, pick(s.closed, "closed"), pick(s.spent, "spent"), proposals[s.proposal], forecasts[s.forecast]})
			}
		}
	}
}

// TestPermit compares the decision with the table in every situation that there is.
func TestPermit(t *testing.T) {
	n, answers := 0, make(map[string]int)
	everySituation(func(s situation, cells []string) {
		n++
		got, want := permit(s).String(), oracle(t, cells...)
		answers[got]++
		if got != want {
			t.Errorf("%q: %s, want %s", cells, got, want)
		}
	})
	if n != 3456 || len(answers) != 13 {
		t.Errorf("%d situations with %d answers, want 3456 with 13: %v", n, len(answers), answers)
	}
}

// TestPermitIsAskedForAlerts: what is decided about an alert is what the table says, whatever else is known, unless
// what comes before it answers; and only what may run is accepted.
func TestPermitIsAskedForAlerts(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	dispositions := map[string]string{SkipPaused: alert.Paused, SkipCooldown: alert.Cooldown, SkipWindow: alert.Closed, SkipBudget: alert.NeedsHuman, SkipProposed: alert.Proposed, SkipDenied: alert.Denied}
	rng := rand.New(rand.NewPCG(1, 13))
	everySituation(func(s situation, cells []string) {
		if s.forecast != forecastUnasked {
			return
		}
		for range 20 {
			q := question{
				alert: &alert.Alert{Status: alert.StatusFiring, Labels: map[string]string{alert.LabelTarget: "svc", alert.LabelPlaybook: "p"}},
				id:    &identity{}, hasTarget: true, hasPlaybook: true, applies: true, now: now,
				mode: s.mode, level: s.level, broken: s.broken, spent: s.spent, proposal: s.proposal,
				open: rng.IntN(4) == 0, full: rng.IntN(4) == 0, draining: rng.IntN(4) == 0,
			}
			if s.paused {
				q.pause = &Pause{}
			}
			if s.rests {
				q.until = now.Add(time.Minute)
			}
			if s.closed {
				q.closed = "night"
			}
			v, p := decide(q), permit(s)
			what := fmt.Sprintf("%q, open %v, full %v, draining %v: %+v", cells, q.open, q.full, q.draining, v)
			switch {
			case p.skip == SkipPaused && v.disposition != alert.Paused,
				!q.open && p.skip != "" && (v.disposition != dispositions[p.skip] || v.skip != p.skip),
				v.disposition == alert.Accepted && !v.join && p.skip != "",
				v.disposition == alert.Accepted && v.breaks != p.breaks && !v.join,
				!q.open && !q.full && !q.draining && p.skip == "" && v.disposition != alert.Accepted,
				v.reason == "":
				t.Fatal(what)
			}
		}
	})
}
