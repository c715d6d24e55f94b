package dispatch

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The actions that a step can name.
const (
	ActionCleanTemp      = "clean_temp"
	ActionEvictCache     = "evict_cache"
	ActionCollectGarbage = "collect_garbage"
	ActionEnforceUploads = "enforce_uploads"
	ActionRotateLogs     = "rotate_logs"
	ActionReclaimCgroup  = action.NameReclaim
	ActionHTTP           = action.NameHTTP
	ActionCommand        = action.NameCommand
	ActionSignal         = action.NameSignal
)

// PlaybookOnExit is the playbook that runs when the last process of a target has ended.
const PlaybookOnExit = "on_exit"

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

var (
	ownActions       = []string{ActionHTTP, ActionCommand, ActionSignal, ActionReclaimCgroup}
	actionNames      = []string{ActionCleanTemp, ActionEvictCache, ActionCollectGarbage, ActionEnforceUploads, ActionRotateLogs, ActionReclaimCgroup, ActionHTTP, ActionCommand, ActionSignal}
	stepKeys         = append([]string{"do", "to", "when", "cooldown", "timeout", "verify"}, action.SettingKeys()...)
	verifyKeys       = []string{"after", "below", "settle"}
	playbookForm     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)
	defaultPlaybooks = map[string][]string{
		"relieve_memory":  {ActionCleanTemp, ActionEvictCache, ActionCollectGarbage},
		"relieve_heap":    {ActionCollectGarbage},
		"trim_cache":      {ActionEvictCache},
		"clean_temp":      {ActionCleanTemp},
		"enforce_uploads": {ActionEnforceUploads},
		"rotate_logs":     {ActionRotateLogs},
		PlaybookOnExit:    {ActionCleanTemp},
	}
	defaultSubjects = map[string]Subject{
		"relieve_memory":  SubjectMemory,
		"relieve_heap":    SubjectHeap,
		"trim_cache":      SubjectCache,
		"clean_temp":      SubjectTemp,
		"enforce_uploads": SubjectUpload,
		"rotate_logs":     SubjectLog,
		PlaybookOnExit:    SubjectTemp,
	}
	// The others do what their step says: what that relieves is unknown.
	actionSubjects = map[string]Subject{
		ActionCleanTemp:      SubjectTemp,
		ActionEvictCache:     SubjectCache,
		ActionCollectGarbage: SubjectHeap,
		ActionEnforceUploads: SubjectUpload,
		ActionRotateLogs:     SubjectLog,
		ActionReclaimCgroup:  SubjectMemory,
	}
)

// DefaultNames returns the names of the default playbooks, sorted.
func DefaultNames() []string { return slices.Sorted(maps.Keys(defaultPlaybooks)) }

// Step is one action of a playbook. In YAML it is the action's name, or a table of these keys.
type Step struct {
	Do       string         `yaml:"do"`       // the action, or, as the only key, the name of another playbook
	To       *units.Ratio   `yaml:"to"`       // evict_cache: down to this share of the limits; else the policy's evict_to
	When     []series.Level `yaml:"when"`     // only at these levels; else always
	Cooldown units.Duration `yaml:"cooldown"` // the shortest time between two runs of this step; else 5m for the whole playbook
	Timeout  units.Duration `yaml:"timeout"`  // the longest that the step may take
	Verify   Verify         `yaml:"verify"`   // what is waited for after the step

	// Settings are for the actions that have none in the target.
	action.Settings `yaml:",inline"`
}

// Verify says how it is seen that a step has helped.
type Verify struct {
	After int          `yaml:"after"` // fresh samples to wait for
	Below series.Level `yaml:"below"` // relieved when the level is below this one

	// How long a value that still falls is followed; else 15s after collect_garbage, and not at all after
	// other actions.
	Settle *units.Duration `yaml:"settle"`

	Written bool `yaml:"-"` // the step says it: even an action that relieves nothing known is verified
}

// Playbooks is the yaml key `playbooks` of a target: overrides of the defaults, and more. An
// empty list switches a default playbook off.
type Playbooks map[string][]Step

// UnmarshalYAML reads a step. All its mistakes are joined.
func (s *Step) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		s.Do = n.Value
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return errors.New("is not a step: write the name of an action, or {do: evict_cache, to: 50%}")
	}
	var errs []error
	eachKey(n, stepKeys, &errs, func(key string, v *yaml.Node) error {
		switch key {
		case "do":
			return scalar(v, func(text string) error { s.Do = text; return nil })
		case "to":
			s.To = new(units.Ratio)
			return scalar(v, func(text string) error { return s.To.UnmarshalText([]byte(text)) })
		case "cooldown":
			return scalar(v, func(text string) error { return s.Cooldown.UnmarshalText([]byte(text)) })
		case "timeout":
			return scalar(v, func(text string) error { return s.Timeout.UnmarshalText([]byte(text)) })
		case "when":
			return s.unmarshalWhen(v)
		case "verify":
			s.Verify.Written = true
			return s.Verify.unmarshal(v)
		default:
			return s.unmarshalSetting(key, v)
		}
	})
	return errors.Join(errs...)
}

func (s *Step) unmarshalWhen(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return errors.New("is not a list: write levels, such as [critical, emergency]")
	}
	for _, v := range n.Content {
		err := scalar(v, func(text string) error {
			level, err := parseLevel(text)
			s.When = append(s.When, level)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *Verify) unmarshal(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return errors.New("is not a table: write {after: 2, below: warning}")
	}
	var errs []error
	eachKey(n, verifyKeys, &errs, func(key string, value *yaml.Node) error {
		return scalar(value, func(text string) (err error) {
			switch key {
			case "below":
				v.Below, err = parseLevel(text)
				return err
			case "settle":
				v.Settle = new(units.Duration)
				return v.Settle.UnmarshalText([]byte(text))
			}
			if v.After, err = strconv.Atoi(text); err != nil || v.After < 1 || v.After > maxAfter {
				return fmt.Errorf("%q is not a number of samples: write 1 to %d", text, maxAfter)
			}
			return nil
		})
	})
	return errors.Join(errs...)
}

// eachKey calls f for every key of a table and collects what is wrong, each with its key.
func eachKey(n *yaml.Node, known []string, errs *[]error, f func(key string, v *yaml.Node) error) {
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		var err error
		switch {
		case seen[key]:
			err = errors.New("stands twice: remove one")
		case !slices.Contains(known, key):
			err = fmt.Errorf("unknown key: write one of %s", strings.Join(known, ", "))
		default:
			v := n.Content[i+1]
			for v.Kind == yaml.AliasNode && v.Alias != v {
				v = v.Alias
			}
			err = f(key, v)
		}
		seen[key] = true
		for _, e := range apart(err) {
			*errs = append(*errs, fmt.Errorf("%s: %w", key, e))
		}
	}
}

// apart returns the errors that one joins.
func apart(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

func scalar(n *yaml.Node, set func(string) error) error {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return errors.New("is not a single value: write one")
	}
	return set(n.Value)
}

func parseLevel(s string) (series.Level, error) {
	level, ok := series.ParseLevel(s)
	if !ok || level == series.LevelNormal {
		return 0, fmt.Errorf("%q is not a level: write warning, critical or emergency", s)
	}
	return level, nil
}

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
		_, isDefault := defaultPlaybooks[name]
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
}

func (s *Step) validate(known []string, report report.Func) {
	if s.names() {
		s.checkName(known, report)
	}
	if s.Do == "" {
		report("do", "is missing: write an action, one of %s", strings.Join(actionNames, ", "))
	}
	s.applyDefaults()
	s.CheckSettings(s.Do, report)
	if s.To != nil && s.Do != ActionEvictCache {
		report("to", "is for %s: remove the key", ActionEvictCache)
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
	if s.Timeout == 0 {
		s.Timeout = units.Duration(defaultStepTimeout)
	}
	if s.Verify.After == 0 {
		s.Verify.After = defaultAfter
	}
	if s.Verify.Below == series.LevelNormal {
		s.Verify.Below = series.LevelWarning
	}
	if s.Verify.Settle == nil {
		s.Verify.Settle = new(units.Duration)
		if s.Do == ActionCollectGarbage {
			*s.Verify.Settle = defaultSettle
		}
	}
}

// CheckActions reports the steps, written by the operator, whose action the target has no means
// for. has says which it has.
func (p Playbooks) CheckActions(has func(action string) bool, report report.Func) {
	means := map[string]string{
		ActionCleanTemp:      "temp_dirs",
		ActionEvictCache:     "caches",
		ActionCollectGarbage: "a heap that can be collected, such as heap: {provider: node_inspector, address: 127.0.0.1:9229}",
		ActionEnforceUploads: "uploads",
		ActionRotateLogs:     "logs",
		ActionReclaimCgroup:  "processes",
		ActionSignal:         "processes",
	}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		for i, s := range p[name] {
			if slices.Contains(actionNames, s.Do) && !has(s.Do) {
				report(fmt.Sprintf("%s[%d].do", name, i), "%q has nothing to work on: write %s for this target, or remove the step", s.Do, means[s.Do])
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
		if len(steps) == 0 {
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
	if s, ok := defaultSubjects[name]; ok {
		return s
	}
	var s Subject
	for _, step := range steps {
		own, ok := actionSubjects[step.Do]
		switch {
		case !ok && step.Verify.Written:
			own = SubjectMemory
		case !ok:
			continue
		}
		if s != "" && own != s {
			return SubjectMemory
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
	if s.To != nil {
		return s.Do + " to " + s.To.String()
	}
	return s.Describe(s.Do)
}

// rest is the key under which a step's own cooldown is stored. Two steps that run different commands
// have a cooldown each.
func (s *Step) rest() string {
	if slices.Contains(ownActions, s.Do) {
		return s.Describe(s.Do)
	}
	return s.Do
}
