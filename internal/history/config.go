package history

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The defaults and bounds of Config.
const (
	defaultKeep     = units.Duration(14 * 24 * time.Hour)
	minKeep         = units.Duration(24 * time.Hour)
	maxKeep         = units.Duration(400 * 24 * time.Hour)
	defaultMaxBytes = 64 * units.Bytes(1<<20)
	minMaxBytes     = 8 * units.Bytes(1<<20)
	maxMaxBytes     = 4 * units.Bytes(1<<30)
)

// off is the value that records nothing.
const off = "off"

// Config is the yaml key `history`.
type Config struct {
	Keep     units.Duration `yaml:"keep"`      // how long values are kept
	MaxBytes units.Bytes    `yaml:"max_bytes"` // size that the file never exceeds; the oldest values are dropped first

	Text string `yaml:"-"` // what is written in place of a table: off
}

// UnmarshalShorthand implements strictyaml.Shorthand: history: off.
func (c *Config) UnmarshalShorthand(text string) { c.Text = text }

// Enabled reports whether values are recorded.
func (c *Config) Enabled() bool { return c.Text == "" }

// Validate applies the defaults and reports every mistake.
func (c *Config) Validate(report report.Func) {
	if c.Text != "" && c.Text != off {
		report("", "%q is unknown: write off, or a table such as {keep: %s}", c.Text, defaultKeep)
	}
	if c.Keep == 0 {
		c.Keep = defaultKeep
	}
	if c.Keep < minKeep || c.Keep > maxKeep {
		report("keep", "%s is out of range: write %s to %s, or history: off", c.Keep, minKeep, maxKeep)
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.MaxBytes < minMaxBytes || c.MaxBytes > maxMaxBytes {
		report("max_bytes", "%s is out of range: write %s to %s, or history: off", c.MaxBytes, minMaxBytes, maxMaxBytes)
	}
}
