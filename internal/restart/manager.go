package restart

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What restarts a service, as the key via of a step has it.
const (
	ViaSystemd    = "systemd"
	ViaDocker     = "docker"
	ViaPodman     = "podman"
	ViaKubernetes = "kubernetes"
	ViaCommand    = "command"
)

// Vias are all of them, in the order in which they are listed.
var Vias = []string{ViaSystemd, ViaDocker, ViaPodman, ViaKubernetes, ViaCommand}

// Phase is what a manager says of the present start of a service.
type Phase string

// The phases.
const (
	Running Phase = "running"
	Busy    Phase = "busy"    // it starts, stops or has a job that waits
	Stopped Phase = "stopped" // someone has stopped it
	Broken  Phase = "failed"  // the manager has given it up
	Closing Phase = "closing" // the host shuts down
)

// State is what a manager says of a service.
type State struct {
	Phase    Phase
	Instance string    // another one for each start; "" while nothing runs
	Began    time.Time // when the present start was up; zero when the manager does not say
	Left     time.Time // when the start before it began to go; zero when the manager does not say
	ID       string    // of the container; "" for other managers
	Text     string    // for people: "active (running)"

	// Shows says that a restart shows in Phase from the moment at which it is requested until it has ended. Where it does
	// not, as with Docker while the container stops, the old start that still runs proves nothing.
	Shows bool
}

// Manager restarts one service. It is used by one goroutine at a time.
type Manager interface {
	// State asks for the present state, without an effect.
	State(ctx context.Context) (State, error)
	// Restart asks once for a restart of the start that from describes, and returns when the manager reports its
	// end. Of an error that is neither ErrUnseen nor ErrEnded nothing has happened.
	Restart(ctx context.Context, from State) error
	// Check says without an effect what is missing for Restart. The error is ErrUnproven when all is well that can be
	// asked for.
	Check(ctx context.Context) error
}

// The errors of a Manager, to be tested with errors.Is.
var (
	// ErrUnreachable says that the manager does not answer.
	ErrUnreachable = errors.New("the manager does not answer")
	// ErrUnknown says that the manager has no such service.
	ErrUnknown = errors.New("the manager does not know it")
	// ErrNotAllowed says that the manager refuses this user.
	ErrNotAllowed = errors.New("the manager refuses")
	// ErrBudget says that a disruption budget does not allow an eviction at present.
	ErrBudget = errors.New("its disruption budget does not allow it now")
	// ErrBusy says that the manager does something else with it.
	ErrBusy = errors.New("the manager has another job for it")
	// ErrUnseen says that the restart was requested and its end was not seen.
	ErrUnseen = errors.New("its end was not seen")
	// ErrUnproven says that the manager cannot be asked whether it lets this user restart the service.
	ErrUnproven = errors.New("whether the manager lets this user restart it is not known")
	// ErrEnded says that the manager reports that the restart failed.
	ErrEnded = errors.New("the restart failed")
)

// Place is where the processes of a target are at present. What is not known is "".
type Place struct {
	Unit           string // of the system's systemd
	Engine         string // of the container: docker, podman
	Container      string // its ID
	Pod, Namespace string // of Kubernetes
	PodUID         string
	UserOwned      bool // below the slice of a user, who can name things there as he likes
	Owner          int  // that user
}

// Reading is the memory of a target as it was read.
type Reading struct {
	Known bool
	Ratio float64 // of its limit
	Level int     // as series.Level
	At    time.Time
	Text  string
}

// Service is what is known of a target. Each function is required and answers from memory.
type Service struct {
	Host    Budget // of all targets together
	Place   func() Place
	Reading func() Reading // the newest
	First   func() Reading // the one right after the last start, when that is still known
	// Ready reports whether the service has been well since a time, and how that is seen. It is nil where only the
	// manager can say.
	Ready   func(since time.Time) bool
	ReadyBy string // "its probe", "its processes"
	Refresh func() // requests a fresh reading, without waiting for it
	// Instance differs from one start to the next, for managers that do not say; "" while there is none.
	Instance func() string
}

// Spec says what is to be restarted.
type Spec struct {
	Via       string
	Unit      string // systemd
	Container string // docker, podman: a name or an ID
	Socket    string // docker, podman; "" = where the engine has it
	Owner     int    // docker, podman: the user whose own engine the container is known to be in; 0 = the system's
	Pod       string // kubernetes
	Namespace string
	PodUID    string
}

// String names the service for people.
func (s *Spec) String() string {
	switch s.Via {
	case ViaSystemd:
		return s.Unit
	case ViaDocker, ViaPodman:
		return "container " + short(s.Container)
	case ViaKubernetes:
		return "pod " + s.Namespace + "/" + s.Pod
	}
	return "the service"
}

// short abbreviates the ID of a container as its engine does.
func short(id string) string {
	if len(id) == 64 {
		return id[:12]
	}
	return id
}

// Open returns the manager of a service. Nothing is asked yet. There is none for ViaCommand.
func Open(s *Spec) (Manager, error) {
	switch s.Via {
	case ViaSystemd:
		return newSystemd(s.Unit, systemBus), nil
	case ViaDocker, ViaPodman:
		return newEngine(s), nil
	case ViaKubernetes:
		return newKubernetes(s, inCluster())
	}
	return nil, fmt.Errorf("%q restarts nothing by itself", s.Via)
}
