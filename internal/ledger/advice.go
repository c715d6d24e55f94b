package ledger

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	leastRuns   = 10              // of a step, before something is said of it
	leastHelps  = 3               // runs that another step relieved, before it is named
	halfOfRuns  = 0.5             // of its runs under pressure: a step that relieves so many helps
	mostAdvice  = 10              // sentences of a target
	shortNotice = 5 * time.Minute // between critical and the end of a service, at the fastest growth seen
)

// Advice returns what a person could change, a sentence each. critical is the share of the limit at which memory is
// critical; 0: nothing is said of it.
func (a *Account) Advice(critical float64) []string {
	var out []string
	for _, steps := range a.playbooks() {
		out = append(out, stepAdvice(steps)...)
	}
	if text := a.endAdvice(critical); text != "" {
		out = append(out, text)
	}
	return out[:min(len(out), mostAdvice)]
}

// playbooks returns the steps of each playbook.
func (a *Account) playbooks() [][]Step {
	var out [][]Step
	for rest := a.Steps; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Playbook == rest[0].Playbook {
			n++
		}
		out, rest = append(out, rest[:n]), rest[n:]
	}
	return out
}

// stepAdvice: "evict_cache relieved 0 of 14 runs: move it behind collect_garbage".
func stepAdvice(steps []Step) []string {
	var out []string
	helped := slices.ContainsFunc(steps, func(s Step) bool { return s.Relieved > 0 })
	for i := range steps {
		s := &steps[i]
		if !s.current || s.Relieved > 0 || s.Pressure < leastRuns {
			continue
		}
		better := slices.IndexFunc(steps, func(o Step) bool {
			return o.current && o.Number > s.Number && o.Relieved >= leastHelps && float64(o.Relieved) >= halfOfRuns*float64(o.Pressure)
		})
		switch {
		case better >= 0:
			out = append(out, fmt.Sprintf("%s of %s relieved 0 of %d runs: move it behind %s, which relieved %d of %d",
				s.Action, s.Playbook, s.Pressure, steps[better].Action, steps[better].Relieved, steps[better].Pressure))
		case !helped:
			return []string{fmt.Sprintf("%s relieved 0 of %d runs: look for what holds the memory or fills the folder, or write another step", s.Playbook, s.Pressure)}
		}
	}
	return out
}

// endAdvice: "it ended or was restarted at 91% to 94% of its limit (4 times): critical, 85%, left 3 min at the fastest
// growth seen".
func (a *Account) endAdvice(critical float64) string {
	low, high, fastest, n := math.Inf(1), 0.0, 0.0, 0
	for i := range a.Ends {
		if e := &a.Ends[i]; critical > 0 && e.Ratio >= critical {
			low, high, fastest, n = min(low, e.Ratio), max(high, e.Ratio), max(fastest, e.Growth), n+1
		}
	}
	if n == 0 || fastest <= 0 {
		return ""
	}
	left := time.Duration((low - critical) / fastest * float64(time.Second))
	if left >= shortNotice {
		return ""
	}
	at := fmt.Sprintf("%.0f%%", 100*low)
	if to := fmt.Sprintf("%.0f%%", 100*high); to != at {
		at += " to " + to
	}
	times := fmt.Sprintf("%d times", n)
	if n == 1 {
		times = "once"
	}
	return fmt.Sprintf("the service ended or was restarted at %s of its limit (%s): critical, %s, left %s at the fastest growth seen; lower thresholds.memory.critical, or act at warning",
		at, times, units.Ratio(critical), span(left))
}

// span writes a time as people say it.
func span(d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 90*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f d", d.Hours()/24)
}
