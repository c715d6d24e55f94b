package evidence

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The defaults and bounds of Config.
const (
	defaultKeep     = 50
	defaultPerHour  = 4
	defaultMaxPause = 500 * time.Millisecond
	defaultHeadroom = units.Ratio(0.2)
	fewestKept      = 6 // a culprit is named by five
	mostKept        = 500
	mostPerHour     = 60
)

// off is the value that captures nothing.
const off = "off"

// Config is the yaml key `evidence` of a target.
type Config struct {
	Keep     int            `yaml:"keep"`      // captures that are kept; above this number the oldest are removed
	PerHour  int            `yaml:"per_hour"`  // captures within an hour; those that a person requests are not counted
	MaxPause units.Duration `yaml:"max_pause"` // a capture that may pause the service for longer is skipped
	Headroom units.Ratio    `yaml:"headroom"`  // the share that a capture may take of the memory that is left up to the limit
	Redact   []string       `yaml:"redact"`    // regular expressions: what they match in names of functions, classes and files is hidden

	Text string `yaml:"-"` // what is written in place of a table: off
}

// UnmarshalShorthand implements strictyaml.Shorthand: evidence: off.
func (c *Config) UnmarshalShorthand(text string) { c.Text = text }

// Enabled reports whether evidence is captured.
func (c *Config) Enabled() bool { return c.Text == "" }

// Validate applies the defaults and reports every mistake.
func (c *Config) Validate(report report.Func) {
	if c.Text != "" && c.Text != off {
		report("", "%q is unknown: write off, or a table such as {per_hour: %d}", c.Text, defaultPerHour)
	}
	if c.Keep == 0 {
		c.Keep = defaultKeep
	}
	if c.Keep < fewestKept || c.Keep > mostKept {
		report("keep", "%d is out of range: write %d to %d", c.Keep, fewestKept, mostKept)
	}
	if c.PerHour == 0 {
		c.PerHour = defaultPerHour
	}
	if c.PerHour < 1 || c.PerHour > mostPerHour {
		report("per_hour", "%d is out of range: write 1 to %d, or evidence: off", c.PerHour, mostPerHour)
	}
	if c.MaxPause == 0 {
		c.MaxPause = units.Duration(defaultMaxPause)
	}
	if c.MaxPause.Std() < 10*time.Millisecond || c.MaxPause.Std() > 10*time.Second {
		report("max_pause", "%s is out of range: write 10ms to 10s", c.MaxPause)
	}
	if c.Headroom == 0 {
		c.Headroom = defaultHeadroom
	}
	if c.Headroom < 0.01 || c.Headroom > 0.9 {
		report("headroom", "%s is out of range: write 1%% to 90%%", c.Headroom)
	}
	if _, err := NewRedactor(c.Redact); err != nil {
		report("redact", "%v", err)
	}
}
