package ledger

import (
	"fmt"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// runKey is what the runs of a target are added up by.
type runKey struct{ playbook, mode string }

// runSum is what the runs of one playbook in one mode come to.
type runSum struct {
	playbook, mode string
	runs           int
	relieved       int
	failed         int // to relieve: ineffective
	freed          int64
	largest        int64 // of one run
}

// mostParts bounds the playbooks in a summary.
const mostParts = 10

// sum takes in a run as a whole, unless nothing of it ran.
func (t *target) sum(r *journal.Record) {
	switch r.Outcome {
	case "", "skipped", "needs_human", "voided", "falling":
		return
	}
	key := runKey{r.Playbook, r.Mode}
	s := t.runs[key]
	if s == nil {
		s = &runSum{playbook: r.Playbook, mode: r.Mode}
		t.runs[key] = s
	}
	s.runs++
	s.freed += max(r.FreedBytes, 0)
	s.largest = max(s.largest, r.FreedBytes)
	switch r.Outcome {
	case relieved:
		s.relieved++
	case ineffective:
		s.failed++
	}
}

// Summary is the sentence of a week: "relieve_memory ran 14 times: 9 relieved the pressure, 5 did not, 3.1GiB
// freed, the level was back after 5 h; temp_cleanup: 7 dry runs, which would have freed up to 1.2GiB each". It is "" where nothing ran.
func (a *Account) Summary() string {
	var parts []string
	for i := range a.runs {
		s := &a.runs[i]
		if i == mostParts {
			parts = append(parts, fmt.Sprintf("and %d more", len(a.runs)-i))
			break
		}
		if s.mode == modePropose {
			parts = append(parts, fmt.Sprintf("%s was proposed %s", s.playbook, count(s.runs, "time", "times")))
			continue
		}
		if s.mode == modeDryRun {
			text := fmt.Sprintf("%s: %s", s.playbook, count(s.runs, "dry run", "dry runs"))
			if s.largest > 0 {
				text += ", which would have freed up to " + units.Bytes(s.largest).String() + " each"
			}
			parts = append(parts, text)
			continue
		}
		text := fmt.Sprintf("%s ran %s", s.playbook, count(s.runs, "time", "times"))
		var more []string
		if s.relieved+s.failed > 0 {
			more = append(more, fmt.Sprintf("%d relieved the pressure", s.relieved))
		}
		if s.failed > 0 {
			more = append(more, fmt.Sprintf("%d did not", s.failed))
		}
		if s.freed > 0 {
			more = append(more, units.Bytes(s.freed).String()+" freed")
		}
		if back, ok := a.back(s.playbook); ok {
			more = append(more, "the level was back after "+span(time.Duration(back*float64(time.Second))))
		}
		if len(more) > 0 {
			text += ": " + strings.Join(more, ", ")
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// back is the median time until the level was back after any step of a playbook.
func (a *Account) back(playbook string) (float64, bool) {
	var all []float64
	for i := range a.Steps {
		if s := &a.Steps[i]; s.Playbook == playbook {
			all = append(all, s.back...)
		}
	}
	return median(all)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
