package journal

import (
	"os"
	"path/filepath"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// What is done about a corrupt journal, alongside moving it aside.
const (
	OnCorruptRefuse   = "refuse"   // Open fails with a CorruptError until a person confirms
	OnCorruptRecreate = "recreate" // a new journal is begun at once
)

// DefaultDir is where the journal is unless the config says otherwise.
const DefaultDir = "/var/lib/spillway"

const (
	defaultKeep = 90 * 24 * time.Hour
	minKeep     = time.Hour
)

// Config is the yaml key `journal`.
type Config struct {
	Dir       string         `yaml:"dir"`        // absolute path of the journal's folder; else `/var/lib/spillway`, or where that cannot be written the user's state directory
	Keep      units.Duration `yaml:"keep"`       // how long records are kept
	OnCorrupt string         `yaml:"on_corrupt"` // a corrupt journal is moved aside; refuse then refuses actions until a person confirms, recreate starts a new one

	PublicOutput bool `yaml:"public_output"` // `/api/v1/journal` shows what commands printed and servers answered to callers who do not prove who they are, too
}

// SameStore reports whether another configuration keeps the journal in the same way: all but who may read it.
func (c Config) SameStore(other Config) bool {
	c.PublicOutput = other.PublicOutput
	return c == other
}

// Validate applies the defaults, but for Dir, and reports every mistake. An empty Dir is left to
// the caller, who may fall back to the user's state directory only when none was written.
func (c *Config) Validate(report report.Func) {
	if c.Dir != "" && !filepath.IsAbs(c.Dir) {
		report("dir", "%q is not absolute: write the whole path, such as %s", c.Dir, DefaultDir)
	}
	if filepath.Clean(c.Dir) == "/" {
		report("dir", `"/" is no folder for a journal: write one of its own, such as %s`, DefaultDir)
	}
	if c.Keep == 0 {
		c.Keep = units.Duration(defaultKeep)
	}
	if c.Keep.Std() < minKeep {
		report("keep", "%s is too short: write at least %s, such as 90d", c.Keep, units.Duration(minKeep))
	}
	switch c.OnCorrupt {
	case "":
		c.OnCorrupt = OnCorruptRefuse
	case OnCorruptRefuse, OnCorruptRecreate:
	default:
		report("on_corrupt", "%q is not a way to go on: write %s or %s", c.OnCorrupt, OnCorruptRefuse, OnCorruptRecreate)
	}
}

// Dirs returns where the journal may be, in the order in which the folders are tried: the configured
// one alone, or else DefaultDir and then the user's state directory. No clean-up may touch any of
// them.
func (c *Config) Dirs() []string {
	if c.Dir != "" {
		return []string{filepath.Clean(c.Dir)}
	}
	dirs := []string{DefaultDir}
	state := os.Getenv("XDG_STATE_HOME")
	if home, err := os.UserHomeDir(); state == "" && err == nil {
		state = filepath.Join(home, ".local", "state")
	}
	if filepath.IsAbs(state) {
		dirs = append(dirs, filepath.Join(state, "spillway"))
	}
	return dirs
}
