package app

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Choice is a flag that takes one of some words. Like the other types of flags here its errors name
// the flag and what to write instead.
type Choice struct {
	Flag string
	Into *string
	Of   []string
}

// Set reads a value.
func (c Choice) Set(value string) error {
	if !slices.Contains(c.Of, value) {
		return fmt.Errorf("--%s: %q is not known: write %s", c.Flag, value, strings.Join(c.Of, " or "))
	}
	*c.Into = value
	return nil
}

// String returns the value.
func (c Choice) String() string { return *c.Into }

// Span is a flag that takes a length of time above 0.
type Span struct {
	Flag string
	Into *time.Duration
}

// Set reads a value.
func (s Span) Set(value string) error {
	d, err := units.ParseDuration(value)
	switch {
	case err != nil:
		return fmt.Errorf("--%s: %w", s.Flag, err)
	case d == 0:
		return fmt.Errorf("--%s: %q is no time at all: write one such as 60s", s.Flag, value)
	}
	*s.Into = d.Std()
	return nil
}

// String returns the value.
func (s Span) String() string { return units.Duration(*s.Into).String() }

// Number is a flag, or an argument, that takes a whole number above 0.
type Number struct {
	Name string // with its dashes
	Into *int
	Hint string // what to write instead
}

// Set reads a value.
func (n Number) Set(value string) error {
	v, err := strconv.ParseInt(value, 10, 32)
	if err != nil || v < 1 {
		return fmt.Errorf("%s: %q is no number above 0: write %s", n.Name, value, n.Hint)
	}
	*n.Into = int(v)
	return nil
}

// String returns the value.
func (n Number) String() string { return strconv.Itoa(*n.Into) }
