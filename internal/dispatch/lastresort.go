package dispatch

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// isLast reports whether a step is the last resort. It keeps to its levels and its cooldown whoever asks.
func isLast(s *Step) bool {
	spec, _ := action.SpecOf(s.Do)
	return spec.Last
}

// restartMargin is the time that a step without a timeout has for evidence and the restart itself.
const restartMargin = time.Minute

// least is how long a step may take by its own settings; 0 when they do not say.
func (s *Step) least() time.Duration {
	if with, ok := s.With.(*action.RestartSettings); ok {
		return with.Least()
	}
	return 0
}

// validateLast reports what a step of last resort must not say.
func (s *Step) validateLast(report report.Func) {
	if !isLast(s) {
		return
	}
	if s.Run != RunIfUnrelieved {
		report("run", "%s is the last resort, and runs only while nothing before it has relieved: remove the key", s.Do)
	}
	if s.Timeout.Std() <= s.least() {
		report("timeout", "%s does not hold drain.deadline and ready: write more than %s, or remove the key", s.Timeout, units.Duration(s.least()))
	}
}

// holding returns what asks, directly before a step has its effect, whether it still may: what was so when the
// step began may have changed while it prepared. nil for a step that is not the last resort.
func (d *Dispatcher) holding(r *run, a *attempt) func() (reason, text string) {
	if !isLast(&a.step) {
		return nil
	}
	return func() (reason, text string) { return d.heldNow(r, a) }
}

func (d *Dispatcher) heldNow(r *run, a *attempt) (reason, text string) {
	d.mu.Lock()
	pause, now := d.pausedBy(r.target), d.modeNow(r)
	d.mu.Unlock()
	early := d.isEarly(r)
	reading := d.opts.Observer.Observe(r.target, r.subject)
	switch {
	case a.mode == enforce && now != enforce:
		return SkipMode, "its target is no longer in mode enforce"
	case pause != nil && automatic(r.trigger):
		return SkipPaused, fmt.Sprintf("a person has paused %s", pause)
	case !a.step.Hours.Open(d.opts.Now()):
		return SkipWindow, fmt.Sprintf("its window %q has closed", a.step.Hours)
	case early && !foreseen(d.outlookOf(r.target), d.opts.Now()):
		return SkipForecast, "the memory is no longer foreseen to reach its limit"
	case !early && reading.Known && !a.step.applies(reading.Level):
		return SkipLevel, fmt.Sprintf("%s is at level %s now", r.subject, reading.Level)
	}
	return "", ""
}

// checkLast reports steps of last resort that are not the last of their playbook, or for which no levels are written.
func (p Playbooks) checkLast(report report.Func) {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		for i := range p[name] {
			s, key := &p[name][i], fmt.Sprintf("%s[%d]", name, i)
			if isLast(s) && len(s.When) == 0 {
				report(key+".when", "is missing: write the levels at which %s may run, such as [emergency]", s.Do)
			}
			if i == len(p[name])-1 {
				continue
			}
			if isLast(s) || s.names() && slices.ContainsFunc(p.expand(s.Do), func(s Step) bool { return isLast(&s) }) {
				report(key+".do", "%s is the last resort: write it as the last step", s.Do)
			}
		}
	}
}
