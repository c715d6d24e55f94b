package config

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// program is a command that the configuration names.
type program struct {
	key      string
	settings *action.CommandSettings
	enforce  bool // it would be run for real
}

// programs returns the commands of steps and watchers.
func (c *Config) programs() []program {
	var out []program
	for i := range c.Targets {
		t := &c.Targets[i]
		for _, name := range slices.Sorted(maps.Keys(t.Playbooks)) {
			for j, step := range t.Playbooks[name] {
				if s, key := commandOf(step.With); s != nil {
					out = append(out, program{fmt.Sprintf("targets[%d].playbooks.%s[%d].%s[0]", i, name, j, key), s, t.Changes()})
				}
			}
		}
	}
	for i := range c.Watchers {
		if s, ok := c.Watchers[i].Settings().(*action.CommandSettings); ok {
			out = append(out, program{fmt.Sprintf("watchers[%d].command[0]", i), s, c.watcherEnforces(i)})
		}
	}
	return out
}

// commandOf returns the command that a step runs and its key, nil when it runs none.
func commandOf(with action.Settings) (s *action.CommandSettings, key string) {
	switch s := with.(type) {
	case *action.CommandSettings:
		return s, "argv"
	case *action.RestartSettings:
		return s.Command(), "command"
	}
	return nil, ""
}

// watcherEnforces reports whether a watcher acts for a target in mode enforce, or for one that discovery may find.
func (c *Config) watcherEnforces(i int) bool {
	only := c.Watchers[i].Targets
	if len(only) == 0 && c.Discover != nil && c.Mode == Enforce {
		return true
	}
	return slices.ContainsFunc(c.Targets, func(t Target) bool {
		return t.Mode == Enforce && (len(only) == 0 || slices.Contains(only, t.Name))
	})
}

// checkPrograms refuses programs that other users can change, and only warns of those that no target would run for
// real.
func (c *Config) checkPrograms(report, warn report.Func, checks *Checks) {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	all := c.programs()
	asked := make([]question[error], len(all))
	for i, p := range all {
		if len(p.settings.Argv) == 0 {
			continue
		}
		asked[i] = ask(checks, p.settings.Argv[0], func() error {
			if action.CheckProgram(p.settings.Argv[0]) != nil {
				return nil // the step says so itself
			}
			return p.settings.CheckOwners()
		})
	}
	for i, p := range all {
		if len(p.settings.Argv) == 0 {
			continue
		}
		found, unanswered := asked[i].wait(ctx)
		switch {
		case unanswered != nil:
			warn(p.key, "%v", unanswered)
		case found != nil && p.enforce:
			report(p.key, "%v", found)
		case found != nil:
			warn(p.key, "mode enforce would refuse it: %v", found)
		}
	}
}
