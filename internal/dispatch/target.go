package dispatch

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/window"
)

// The modes of a target.
const (
	ModeDryRun  = "dry_run"
	ModePropose = "propose" // what relieves is proposed to a person first
	ModeEnforce = "enforce"
)

// Subject is what a playbook relieves, and what is read to see whether it helped.
type Subject = subject.Name

// isFolder reports whether what is read says directly what the actions have left.
func isFolder(s Subject) bool {
	_, ok := policy.KindOf(string(s))
	return ok
}

// Target is one service and what can be done for it.
type Target struct {
	Name      string
	Mode      string                   // one of the modes; anything else counts as dry_run
	Playbooks map[string]Playbook      // by name, as Playbooks.Build returns them
	Actions   map[string]action.Action // by name: clean_temp, evict_cache, collect_garbage
	Starts    []Start                  // what may start them, for the counters that are born at 0

	// Digest changes with everything in the configuration that decides what is done for the target. A proposal is bound to it.
	Digest string
	// Process names the process that the target is about, "" while there is none; nil where none is watched. A proposal is bound
	// to it.
	Process func() string
}

// Playbook is a remedy: ordered steps, the next one only if the last did not help enough.
type Playbook struct {
	Name     string
	Steps    []Step
	Subject  Subject
	Cooldown time.Duration // after a run; default 5m, doubled up to 1h while it is ineffective
	Budget   Budget        // how often it may act by itself; the zero value is without a bound
	Hours    window.Hours  // in which it may begin by itself
}

// Reading is the present value of a subject of a target.
type Reading struct {
	Known   bool         // false: nothing could be read, all else is zero
	Ratio   float64      // of the limit
	Peak    float64      // the highest Ratio of the recent past, some minutes
	Rising  bool         // at the growth of the last seconds the limit is near, whatever the peak was
	Level   series.Level // of Ratio alone, without hysteresis; a folder over a limit of its policy is at warning
	Samples uint64       // how many samples of this subject were taken so far
	Text    string       // for the journal: "rss 512MiB of 1GiB (50%)"
}

// Observer reads memory, never the target: Observe must return at once. Refresh requests a
// fresh sample and does not wait for it. Both are called from several goroutines.
type Observer interface {
	Observe(target string, s Subject) Reading
	Refresh(target string, s Subject)
}
