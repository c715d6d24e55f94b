package cli

import "github.com/spillway-exporter/spillway_exporter/internal/units"

// freedColumn is the column of a table that says how much was freed, or would be by a dry run.
type freedColumn struct{ dry, real bool }

// note takes a row into account. done is false for one that has freed nothing, and would not.
func (c *freedColumn) note(dry, done bool) {
	c.dry = c.dry || dry && done
	c.real = c.real || !dry && done
}

// heading is that of dry runs where there are no others.
func (c *freedColumn) heading() string {
	if c.dry && !c.real {
		return "WOULD FREE"
	}
	return "FREED"
}

// cell says of a dry run among others that it is one.
func (c *freedColumn) cell(n int64, dry bool) string {
	text := units.Bytes(n).String()
	if dry && c.real {
		return "would free " + text
	}
	return text
}

// progressFreed ends a line of progress.
func progressFreed(dry bool) string {
	if dry {
		return " to free"
	}
	return " freed"
}
