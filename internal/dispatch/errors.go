package dispatch

import "errors"

var (
	// ErrQueueFull says that too many runs are waiting. The sender should retry.
	ErrQueueFull = errors.New("the run queue is full: retry later")
	// ErrDraining says that the exporter is shutting down. The sender should retry.
	ErrDraining = errors.New("shutting down: retry later")
	// ErrJournal says that the intent could not be recorded, so that nothing runs. The sender
	// should retry.
	ErrJournal = errors.New("the journal cannot be written, so nothing runs: retry later")

	// ErrInstance says that the exporter cannot say at present whether an alert is its own. The sender
	// should retry.
	ErrInstance = errors.New("whether the alert is for this exporter is not known: retry later")

	// ErrResting says that a run that no person requested is held back by the cooldown of its
	// playbook.
	ErrResting = errors.New("the cooldown of the playbook holds")

	// ErrPaused says that a run that no person requested does not begin, because a person has paused its
	// target.
	ErrPaused = errors.New("paused")
	// ErrHeld says that a run that no person requested is held back by the window or the budget of its
	// playbook.
	ErrHeld = errors.New("the playbook may not run now")

	// ErrNoProposal says that a proposal does not wait: it never did, or it has ended.
	ErrNoProposal = errors.New("no proposal waits")
	// ErrVoided says that a proposal is void: the situation is not the one that it was made for.
	ErrVoided = errors.New("the proposal is void")
	// ErrUnsure says that it cannot be checked at present whether a proposal still holds. It waits on.
	ErrUnsure = errors.New("whether the proposal still holds cannot be checked now: retry later")

	// ErrUnknown says that a manual request names a target, playbook or action that is not
	// configured.
	ErrUnknown = errors.New("not configured")
	// ErrBadRequest says that a manual request cannot be understood.
	ErrBadRequest = errors.New("bad request")
	// ErrNotEnforced says that a manual request wants to act on a target in mode dry_run.
	ErrNotEnforced = errors.New("the target is in mode dry_run")
)
