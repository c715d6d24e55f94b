package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// choose makes a flag one that takes one of some words.
func choose(f *kingpin.FlagClause, into *string, of ...string) {
	f.HintOptions(of...).SetValue(choice{flag: f.Model().Name, into: into, of: of})
}

// choice is a flag that takes one of some words. Like the other types of flags here its errors name
// the flag and what to write instead.
type choice struct {
	flag string
	into *string
	of   []string
}

// Set reads a value.
func (c choice) Set(value string) error {
	if !slices.Contains(c.of, value) {
		return fmt.Errorf("--%s: unknown value %q: use %s", c.flag, value, strings.Join(c.of, " or "))
	}
	*c.into = value
	return nil
}

// String returns the value.
func (c choice) String() string { return *c.into }

// span is a flag that takes a length of time above 0.
type span struct {
	flag string
	into *time.Duration
}

// Set reads a value.
func (s span) Set(value string) error {
	d, err := units.ParseDuration(value)
	switch {
	case err != nil:
		return fmt.Errorf("--%s: %w", s.flag, err)
	case d == 0:
		return fmt.Errorf("--%s: %q must be greater than zero, for example 60s", s.flag, value)
	}
	*s.into = d.Std()
	return nil
}

// String returns the value.
func (s span) String() string { return units.Duration(*s.into).String() }

// number is a flag, or an argument, that takes a whole number above 0.
type number struct {
	name string // with its dashes
	into *int
	hint string // what to write instead
}

// Set reads a value.
func (n number) Set(value string) error {
	v, err := strconv.ParseInt(value, 10, 32)
	if err != nil || v < 1 {
		return fmt.Errorf("%s: %q is not a number above 0: write %s", n.name, value, n.hint)
	}
	*n.into = int(v)
	return nil
}

// String returns the value.
func (n number) String() string { return strconv.Itoa(*n.into) }
