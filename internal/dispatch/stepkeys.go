package dispatch

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/strictyaml"
)

// Texts reads the levels of a step.
func Texts() strictyaml.Texts {
	return strictyaml.Texts{reflect.TypeFor[series.Level](): func(text string) (any, error) { return parseLevel(text) }}
}

func parseLevel(s string) (series.Level, error) {
	level, ok := series.ParseLevel(s)
	if !ok || level == series.LevelNormal {
		return 0, fmt.Errorf("%q is not a level: write warning, critical or emergency", s)
	}
	return level, nil
}

// Samples is a number of samples.
type Samples int

// UnmarshalText reads a number from 1 to 100.
func (s *Samples) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > maxAfter {
		return fmt.Errorf("%q is not a number of samples: write 1 to %d", text, maxAfter)
	}
	*s = Samples(n)
	return nil
}

// UnmarshalShorthand reads a step that is the name of an action or of another playbook.
func (s *Step) UnmarshalShorthand(text string) { s.Do = text }

// Chooses implements strictyaml.Chooser: the action says which settings a step has.
func (s *Step) Chooses() string { return "do" }

// Choose returns the settings of an action.
func (s *Step) Choose(do string) any {
	s.With = action.NewSettings(do)
	if s.With == nil {
		return nil
	}
	return s.With
}

// Misplaced says what is wrong with a setting of another action.
func (s *Step) Misplaced(key string) string { return action.Misplaced(key) }

// NoteWritten notes that the step says how it is verified.
func (v *Verify) NoteWritten() { v.Written = true }

// passesAlertOn reports whether a step passes the alert on. Only then a run keeps it.
func passesAlertOn(steps []Step) bool {
	return slices.ContainsFunc(steps, func(s Step) bool {
		spec, _ := action.SpecOf(s.Do)
		return spec.PassesAlert
	})
}

// passesOn reports whether some step passes on what others have removed, or runs only if they have.
func passesOn(steps []Step) bool {
	return passesAlertOn(steps) || slices.ContainsFunc(steps, func(s Step) bool { return s.Run == RunIfRemoved })
}
