package control

import (
	"errors"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
)

// protocol is the version of what is said here. One binary speaks one.
const protocol = 1

const (
	socketName  = "control.sock"
	cleanupPath = "/cleanup"
	pausePath   = "/pause"
	outsidePath = "/evidence"
	decidePath  = "/decide"
	maxRequest  = 64 << 10
	maxLine     = 1 << 20 // of an answer
)

// Cleanup asks for the clean-up that the command of this name does.
type Cleanup struct {
	Protocol int      `json:"protocol"`
	Targets  []string `json:"targets,omitempty"` // empty means all
	Policy   string   `json:"policy,omitempty"`  // only those with this name
	Enforce  bool     `json:"enforce,omitempty"` // whatever the mode of a target is
	Force    bool     `json:"force,omitempty"`   // overrides max_remove_fraction
	Files    bool     `json:"files,omitempty"`   // name each file
	Written  string   `json:"written,omitempty"` // setup.WrittenOf the targets in the configuration of the command; not of a capture
	Capture  bool     `json:"capture,omitempty"` // capture evidence of the targets in place of cleaning up
}

// Pause asks for a pause of what begins by itself, or for its end.
type Pause struct {
	Protocol int           `json:"protocol"`
	Target   string        `json:"target,omitempty"` // "" is all
	For      time.Duration `json:"for,omitempty"`    // 0: until someone resumes
	Reason   string        `json:"reason,omitempty"`
	Resume   bool          `json:"resume,omitempty"` // end it
}

// Paused is the answer to it.
type Paused struct {
	Changed []string `json:"changed"`           // pauses that began or ended
	Warning string   `json:"warning,omitempty"` // what is wrong although it is in effect
}

// Outside asks what grew of a target outside of its captures, which the exporter has in memory only.
type Outside struct {
	Protocol int    `json:"protocol"`
	Target   string `json:"target"`
}

// Decide asks for the decision of a person about a proposal, or without one for a list of those that wait.
type Decide struct {
	Protocol int    `json:"protocol"`
	ID       string `json:"id,omitempty"` // "" lists them
	Deny     bool   `json:"deny,omitempty"`
	By       string `json:"by,omitempty"` // the name of who decides
}

// Decided is the answer to it.
type Decided struct {
	Run   string     `json:"run,omitempty"` // that carries the proposal out
	Waits []Proposed `json:"waits"`         // for a list
}

// Proposed is a proposal that waits.
type Proposed struct {
	ID       string    `json:"id"`
	Target   string    `json:"target"`
	Playbook string    `json:"playbook"`
	Level    string    `json:"level"`
	What     string    `json:"what"`
	Until    time.Time `json:"until"`
}

// Event is one line of an answer. One of its fields is set.
type Event struct {
	Progress *action.PolicyResult  `json:"progress,omitempty"`
	File     *File                 `json:"file,omitempty"`
	Policies []action.PolicyResult `json:"policies,omitempty"`
	Error    string                `json:"error,omitempty"`  // what failed as a whole; the rest goes on
	Detail   string                `json:"detail,omitempty"` // how a capture ended
	End      bool                  `json:"end,omitempty"`
}

// File is a file that was removed, or would be.
type File struct {
	Policy action.PolicyResult `json:"policy"`
	Path   []byte              `json:"path"` // relative to the root of the policy
	Why    string              `json:"why"`
}

var (
	// ErrNone says that no exporter is there to be asked.
	ErrNone = errors.New("no exporter listens at this journal")
	// ErrRefused is the error of a request that the exporter does not accept.
	ErrRefused = errors.New("refused")
	// ErrLost says that the connection ended before the request did.
	ErrLost = errors.New("the exporter no longer answers: what became of the clean-up is unknown, and the journal has what it did until then")
)
