package action

import (
	"context"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// Outcome is how an action or a policy of it ended.
type Outcome string

// The outcomes, as they stand in the journal and in spillway_action_runs_total.
const (
	Done    Outcome = "done"    // everything that was to be done was done and seen to be done
	Partial Outcome = "partial" // a part failed; Skipped and Error say which
	Failed  Outcome = "failed"  // nothing was done
	DryRun  Outcome = "dry_run" // nothing was done because nothing was to be done for real
	Unknown Outcome = "unknown" // the end was not seen: it may or may not have happened
)

// Why a file is named in Request.OnFile that is not removed, or was never the service's.
const (
	whyRotated    = "rotated"
	whyCompressed = "compressed"
	whyLeftOver   = "left_over"
)

// Request says what is asked of an action. The zero value runs for real at level normal.
type Request struct {
	RunID   string
	Target  string
	Trigger string
	DryRun  bool
	Level   series.Level // of the target when the run was decided

	// EvictTo, when above 0, is the share of a cache's limits to evict down to, whether or not
	// the limit is exceeded; 0 leaves it to the policy: down to its evict_to, only when a limit
	// is exceeded unless Relief is set.
	EvictTo float64
	// Relief says that the run is to relieve pressure: a cache above its evict_to is trimmed to
	// it although it is below its limit.
	Relief bool
	// Only restricts the run to the policies with this name; "" means all of the target.
	Only string
	// Below is the level that the step is to bring its subject below.
	Below series.Level
	// Force overrides max_remove_fraction.
	Force bool

	// Playbook, Alert and Settings are for the actions that a step says what to do. Alert is that
	// which began the run, nil when none did.
	Playbook string
	Alert    *alert.Alert
	Settings Settings // nil for an action that takes none
	// Choice restricts an action on folders to the files that a person has approved, or in a dry run notes what
	// he is asked about; nil for neither.
	Choice *Choice
	// Removed is what earlier steps of the run have removed, for the actions that pass it on.
	Removed *Removed

	// Held, when set, says directly before the effect why it must not happen after all: the reason as it stands in
	// spillway_action_skips_total, and a sentence; "" when it may.
	Held func() (reason, text string)

	// Progress, when set, is called from the action's goroutine now and then with running
	// totals of the policy at work. It must return quickly.
	Progress func(PolicyResult)
	// OnFile, when set, is called for each file, or entry of several files, that is removed, or in a dry run would be, with
	// its path relative to the root and why: expired, empty, oversized, over_limit; or what else
	// is done with it: rotated, compressed.
	OnFile func(p PolicyResult, path []byte, why string)
}

// PolicyResult is what was done, or in a dry run would be done, for one directory policy.
type PolicyResult struct {
	Target     string `json:"target"`
	Policy     string `json:"policy"`
	Kind       string `json:"kind"`                 // cache, temp, upload
	Dir        string `json:"dir"`                  // as the configuration names it
	Place      string `json:"place,omitempty"`      // where it is at present, of a folder that the target has under a name of its own
	Waits      string `json:"waits,omitempty"`      // why such a folder is not there at present
	Quarantine string `json:"quarantine,omitempty"` // where files are moved to in place of being removed
	Files      int64  `json:"files"`                // removed or moved
	Folders    int64  `json:"folders,omitempty"`    // empty ones that were removed
	Entry      string `json:"entry,omitempty"`      // dir or group: what an entry is that may have several files
	Entries    int64  `json:"entries,omitempty"`    // such entries removed or moved, with their files
	Links      int64  `json:"links,omitempty"`      // symbolic links that were removed with what they pointed to
	Rotated    int64  `json:"rotated,omitempty"`    // logs that were rotated
	LostBytes  int64  `json:"lost_bytes,omitempty"` // written to a log in the moment of its cut, and in no file
	// MayHaveLost are logs that were cut to nothing while they were written, whose writers could not all be seen.
	MayHaveLost int64            `json:"may_have_lost,omitempty"`
	Bytes       int64            `json:"bytes"`       // their apparent size
	FreedBytes  int64            `json:"freed_bytes"` // allocated blocks given back: last links only
	Scanned     int64            `json:"scanned"`     // entries looked at: files, unless Entry says otherwise
	Skipped     map[string]int64 `json:"skipped"`     // not removed although due, by reason
	Outcome     Outcome          `json:"outcome"`
	Error       string           `json:"error,omitempty"`

	// KeptNames are the first few names that are kept although include matches them and keep does not:
	// they begin with a dot, or programs keep their books in files that are called so.
	KeptNames []string `json:"kept_names,omitempty"`

	// DueAt is the earliest time at which enough of what had to stay is older than min_age; zero when
	// age holds nothing back. InUse says that what had to stay may be free again at any time.
	DueAt time.Time `json:"due_at,omitzero"`
	InUse bool      `json:"-"`

	// How much more would have to go to reach the mark that a limit asks for; Over says that what is left
	// exceeds the limit itself.
	MissingEntries int64 `json:"missing_entries,omitempty"`
	MissingBytes   int64 `json:"missing_bytes,omitempty"`
	Over           bool  `json:"-"`

	// EntryFiles is how many files the entry has that Request.OnFile is called for; nil for a plain file.
	EntryFiles *int64 `json:"entry_files,omitempty"`

	// InUseIncomplete says that a dry run, which opens nothing, could not see the open files of all processes.
	InUseIncomplete bool `json:"in_use_incomplete,omitempty"`
}

// Result is what an action did.
type Result struct {
	Outcome    Outcome
	Files      int64
	Bytes      int64
	FreedBytes int64
	LostBytes  int64 // of the policies
	Skipped    map[string]int64
	Policies   []PolicyResult // one per directory policy, empty for other actions
	DueAt      time.Time      // the earliest of the policies'; zero when none has one
	InUse      bool           // of some policy
	Over       bool           // some policy is over its limit in the end
	Before     string         // what was read before, for people: "heap 211.4MiB of 256MiB"
	After      string         // what was read after; "" when it could not be read
	Detail     string         // one sentence for the journal
	Refused    string         // why the action did not want to act; "" when it did. Nothing was changed
	Output     string         // what a command printed or a server answered, at most 64 KiB
}

// Action is one thing that can be done. Run is called by one goroutine at a time per target; it
// must return soon after ctx is cancelled, with what was done until then and outcome partial or
// unknown. An error means that the action failed as a whole; Result still counts what was done.
type Action interface {
	Run(ctx context.Context, req Request) (Result, error)
}
