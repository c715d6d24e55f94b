package dispatch

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
	"github.com/spillway-exporter/spillway_exporter/internal/window"
)

const (
	defaultCooldown    = 5 * time.Minute
	maxCooldown        = time.Hour // to which an ineffective playbook's cooldown doubles
	defaultStepTimeout = 5 * time.Minute
	maxStepTimeout     = 24 * time.Hour
	defaultAfter       = 2
	maxAfter           = 100
	defaultSettle      = units.Duration(15 * time.Second) // V8 and glibc give memory back for some seconds after a collection
	maxSettle          = 10 * time.Minute
	maxSteps           = 20
	maxPlaybooks       = 50
)

var playbookForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// Step is one action of a playbook. In YAML it is the action's name, or a table of these keys.
type Step struct {
	Do       string         `yaml:"do"`       // the action, or, as the only key, the name of another playbook
	To       *units.Ratio   `yaml:"to"`       // evict_cache: down to this share of the limits; else the policy's evict_to
	When     []series.Level `yaml:"when"`     // only at these levels; else always
	Cooldown units.Duration `yaml:"cooldown"` // the shortest time between two runs of this step; else 5m for the whole playbook
	Timeout  units.Duration `yaml:"timeout"`  // the longest that the step may take
	Verify   Verify         `yaml:"verify"`   // what is waited for after the step

	// When the step runs: as long as nothing before it has relieved the pressure, or, whatever was reached, if a
	// step before it has removed something, or always.
	Run string `yaml:"run"`

	// Only while this window is open; `not night` is while the window night is closed.
	WhenOpen window.Ref `yaml:"when_open"`

	// What the step runs before by itself, at any level, in the last window before that: limit is the limit of the memory. It
	// needs when_open.
	ActBefore string `yaml:"act_before"`

	// What the step may do at most, if that is less than its target may: propose or dry_run.
	Mode string `yaml:"mode"`

	Hours window.Hours `yaml:"-"` // that WhenOpen names
	Early bool         `yaml:"-"` // it acts before the limit, as ActBefore or its playbook says

	With action.Settings `yaml:"-"` // the settings of the action; nil for one that takes nothing
}

// The values of Step.Run.
const (
	RunIfUnrelieved = "if_unrelieved" // unless a step before it has relieved
	RunIfRemoved    = "if_removed"    // if a step before it has removed something
	RunAlways       = "always"
)

// Verify says how it is seen that a step has helped.
type Verify struct {
	After Samples      `yaml:"after"` // fresh samples to wait for
	Below series.Level `yaml:"below"` // relieved when the level is below this one

	// How long a value that still falls is followed; else 15s after collect_garbage, and not at all after
	// other actions.
	Settle *units.Duration `yaml:"settle"`

	Written bool `yaml:"-"` // the step says it: even an action that relieves nothing known is verified
}

// Playbooks is the yaml key `playbooks` of a target: overrides of the defaults, and more. An
// empty list switches a default playbook off.
type Playbooks map[string][]Step

// Validate applies the defaults and reports every mistake.
func (p Playbooks) Validate(report report.Func) {
	if len(p) > maxPlaybooks {
		report("", "%d playbooks are too many: write at most %d", len(p), maxPlaybooks)
	}
	known := p.known()
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if !playbookForm.MatchString(name) {
			report(name, "%q is not a name: write 1 to 63 letters, digits, '_', '.' or '-', beginning with a letter or digit", name)
		}
		steps := p[name]
		_, isDefault := defaultOf(name)
		switch {
		case len(steps) == 0 && !isDefault:
			report(name, "has no steps: write at least one, such as [clean_temp]")
		case len(steps) > maxSteps:
			report(name, "%d steps are too many: write at most %d", len(steps), maxSteps)
		}
		for i := range steps {
			key := fmt.Sprintf("%s[%d]", name, i)
			steps[i].validate(known, report.Under(key))
		}
	}
	p.checkIncludes(report)
	p.checkRuns(report)
	p.checkLast(report)
}

func (s *Step) validate(known []string, report report.Func) {
	if s.names() {
		s.checkName(known, report)
	}
	if s.Do == "" {
		report("do", "is missing: write an action, one of %s", strings.Join(action.Names(), ", "))
	}
	s.applyDefaults()
	s.validateLast(report)
	if !slices.Contains([]string{RunIfUnrelieved, RunIfRemoved, RunAlways}, s.Run) {
		report("run", "%q is not known: write %s or %s or %s", s.Run, RunIfUnrelieved, RunIfRemoved, RunAlways)
	}
	if s.Mode != "" && s.Mode != ModeDryRun && s.Mode != ModePropose {
		report("mode", "%q is not a mode of a step, which cannot do more than its target: write propose or dry_run, or remove the key", s.Mode)
	}
	if s.With != nil {
		s.With.Validate(report)
	}
	if s.To != nil && s.Do != action.NameEvictCache {
		report("to", "is for %s: remove the key", action.NameEvictCache)
	}
	if s.To != nil && *s.To <= 0 {
		report("to", "%s would empty the cache: write a share above 0%%, such as 50%%", *s.To)
	}
	if s.Timeout.Std() < time.Second || s.Timeout.Std() > maxStepTimeout {
		report("timeout", "%s is out of range: write 1s to %s", s.Timeout, units.Duration(maxStepTimeout))
	}
	if settle := s.Verify.Settle.Std(); settle < 0 || settle > maxSettle {
		report("verify.settle", "%s is out of range: write 0s to %s", units.Duration(settle), units.Duration(maxSettle))
	}
	if s.Cooldown < 0 || s.Cooldown.Std() > 7*24*time.Hour {
		report("cooldown", "%s is out of range: write up to 7d", s.Cooldown)
	}
}

func (s *Step) applyDefaults() {
	s.Run = cmp.Or(s.Run, RunIfUnrelieved)
	if s.With == nil {
		s.With = action.NewSettings(s.Do)
	}
	if s.Timeout == 0 {
		s.Timeout = units.Duration(max(defaultStepTimeout, s.least()+restartMargin))
	}
	if s.Verify.After == 0 {
		s.Verify.After = defaultAfter
	}
	if s.Verify.Below == series.LevelNormal {
		s.Verify.Below = series.LevelWarning
	}
	if s.Verify.Settle == nil {
		s.Verify.Settle = new(units.Duration)
		if s.Do == action.NameCollectGarbage {
			*s.Verify.Settle = defaultSettle
		}
	}
}

// CheckActions reports the steps, written by the operator, whose action the target has no means
// for. has says which it has.
func (p Playbooks) CheckActions(has func(action string) bool, report report.Func) {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		for i, s := range p[name] {
			if spec, ok := action.SpecOf(s.Do); ok && !has(s.Do) {
				report(fmt.Sprintf("%s[%d].do", name, i), "%q has nothing to work on: write %s for this target, or remove the step", s.Do, spec.Needs)
			}
		}
	}
}

// Build returns the playbooks of a target: the defaults, without the steps that it has no means
// for, overridden by p. A playbook without steps is omitted. prepare, when set, fills in what a step
// takes from its target.
func (p Playbooks) Build(has func(action string) bool, prepare func(*Step)) map[string]Playbook {
	out := make(map[string]Playbook)
	add := func(name string, steps []Step) {
		steps = slices.DeleteFunc(steps, func(s Step) bool { return !has(s.Do) })
		if len(steps) == 0 || p[name] == nil && onlyObserve(steps) { // a default that would relieve nothing
			return
		}
		for i := range steps {
			if prepare != nil {
				prepare(&steps[i])
			}
			steps[i].applyDefaults()
		}
		out[name] = Playbook{Name: name, Steps: steps, Subject: subjectOf(name, steps), Cooldown: cooldownOf(steps)}
	}
	for _, name := range p.known() {
		add(name, p.expand(name))
	}
	return out
}

// subjectOf is that of the default playbook of the name, else what all steps work on, else
// memory. A playbook whose steps all do something of their own relieves nothing that is known,
// unless one of them is to be verified.
func subjectOf(name string, steps []Step) Subject {
	if d, ok := defaultOf(name); ok {
		return d.subject
	}
	var s Subject
	for _, step := range steps {
		spec, _ := action.SpecOf(step.Do)
		own := spec.Subject
		switch {
		case own == "" && step.Verify.Written:
			own = subject.Memory
		case own == "":
			continue
		}
		if s != "" && own != s {
			return subject.Memory
		}
		s = own
	}
	return s
}

// cooldownOf is the shortest of the steps', so that no step is held longer than it says.
func cooldownOf(steps []Step) time.Duration {
	shortest := time.Duration(0)
	for _, s := range steps {
		c := s.Cooldown.Std()
		if c == 0 {
			c = defaultCooldown
		}
		if shortest == 0 || c < shortest {
			shortest = c
		}
	}
	return shortest
}

// String returns the step for the journal: "evict_cache to 50%".
func (s Step) String() string {
	text := s.Do
	switch {
	case s.To != nil:
		text += " to " + s.To.String()
	case s.With != nil:
		text = s.With.String()
	}
	if s.Run != "" && s.Run != RunIfUnrelieved {
		text += " (run: " + s.Run + ")"
	}
	if s.WhenOpen != "" {
		text += " (when open: " + string(s.WhenOpen) + ")"
	}
	if s.ActBefore != "" {
		text += " (act before: " + s.ActBefore + ")"
	}
	if s.Mode != "" {
		text += " (mode: " + s.Mode + ")"
	}
	return text
}

// rest is the key under which a step's own cooldown is stored. Two steps that run different commands
// have a cooldown each.
func (s *Step) rest() string {
	if s.With != nil {
		return s.With.String()
	}
	return s.Do
}
