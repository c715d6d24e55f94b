package simulate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/schedule"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// settings are what a configuration says.
type settings struct {
	interval time.Duration // of the evaluator
	targets  map[string]dispatch.Target
	policies []schedule.Policy
	longest  time.Duration   // cooldown
	guarded  map[string]bool // targets that have budgets or windows
}

var actionNames = []string{action.NameCleanTemp, action.NameEvictCache, action.NameCollectGarbage, action.NameHTTP}

// newSettings is a configuration by chance.
func (w *world) newSettings() *settings {
	s := &settings{interval: pick(w, intervals...), targets: make(map[string]dispatch.Target), longest: time.Hour, guarded: make(map[string]bool)}
	for _, name := range serviceNames {
		mode := dispatch.ModeEnforce
		if w.happens(20) {
			mode = dispatch.ModeDryRun
		}
		playbooks := w.playbooks().Build(func(a string) bool { return slices.Contains(actionNames, a) }, nil)
		if w.happens(8) {
			continue
		}
		if w.guard(playbooks) {
			s.guarded[name] = true
		}
		s.targets[name] = dispatch.Target{Name: name, Mode: mode, Playbooks: playbooks}
		for _, p := range playbooks {
			s.longest = max(s.longest, p.Cooldown)
		}
		if w.happens(50) {
			s.policies = append(s.policies, schedule.Policy{
				Target: name, Action: action.NameCleanTemp, Name: tempName, Every: pick(w, 5*time.Minute, 20*time.Minute, time.Hour),
			})
		}
		if w.happens(20) {
			s.policies = append(s.policies, schedule.Policy{Target: name, Action: action.NameEvictCache, Name: cacheName, Every: 30 * time.Minute})
		}
	}
	return s
}

// playbooks are overrides of the default playbooks, and one of the operator's own.
func (w *world) playbooks() dispatch.Playbooks {
	out := make(dispatch.Playbooks)
	minutes := func(n ...int) units.Duration { return units.Duration(time.Duration(pick(w, n...)) * time.Minute) }
	timeout := units.Duration(pick(w, 30*time.Second, 2*time.Minute, 5*time.Minute))
	if w.happens(60) {
		half := units.Ratio(.5)
		out[relieveMemory] = []dispatch.Step{
			{Do: action.NameCleanTemp, Cooldown: minutes(1, 5), Timeout: timeout},
			{Do: action.NameEvictCache, To: &half, When: []series.Level{series.LevelCritical, series.LevelEmergency}, Cooldown: minutes(5, 30)},
			{Do: action.NameCollectGarbage, Cooldown: minutes(10, 60), Timeout: timeout},
			{Do: action.NameHTTP, Run: dispatch.RunIfRemoved},
		}
	}
	if w.happens(30) {
		out["clean_temp"] = []dispatch.Step{{Do: action.NameCleanTemp, Cooldown: units.Duration(pick(w, 10*time.Second, time.Minute, 20*time.Minute))}}
	}
	if w.happens(10) {
		out["trim_cache"] = []dispatch.Step{}
	}
	if w.happens(50) {
		out[ownPlaybook] = []dispatch.Step{{Do: action.NameHTTP, Cooldown: minutes(2, 60), Timeout: timeout}, {Do: action.NameCollectGarbage, Cooldown: minutes(1, 10)}}
	}
	return out
}

const (
	relieveMemory = "relieve_memory"
	ownPlaybook   = "tell_service"
)

// of returns the targets with the actions of a process.
func (s *settings) of(p *process) map[string]dispatch.Target {
	out := make(map[string]dispatch.Target, len(s.targets))
	for name, t := range s.targets {
		t.Actions = make(map[string]action.Action, len(actionNames))
		for _, a := range actionNames {
			t.Actions[a] = &hand{w: p.w, p: p, target: name, name: a}
		}
		out[name] = t
	}
	return out
}

// String is for the trace.
func (s *settings) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.targets)) {
		t := s.targets[name]
		fmt.Fprintf(&b, " %s: %s", name, t.Mode)
		for _, p := range slices.Sorted(maps.Keys(t.Playbooks)) {
			fmt.Fprintf(&b, " %s %s", p, t.Playbooks[p].Cooldown)
		}
	}
	return b.String()
}

var intervals = []time.Duration{15 * time.Second, 30 * time.Second, time.Minute}
