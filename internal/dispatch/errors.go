package dispatch

import "errors"

var (
	// ErrQueueFull says that too many runs wait. The sender is to come again.
	ErrQueueFull = errors.New("too many runs wait: come again later")
	// ErrDraining says that the exporter is ending. The sender is to come again.
	ErrDraining = errors.New("the exporter is ending: come again later")
	// ErrJournal says that the intent could not be recorded, so that nothing is done. The sender
	// is to come again.
	ErrJournal = errors.New("the journal cannot be written, so nothing is done: come again later")

	// ErrResting says that a run that nobody asked for in person is held back by the cooldown of its
	// playbook.
	ErrResting = errors.New("the cooldown of the playbook holds")

	// ErrUnknown says that a manual request names a target, playbook or action that is not
	// configured.
	ErrUnknown = errors.New("not configured")
	// ErrBadRequest says that a manual request cannot be understood.
	ErrBadRequest = errors.New("bad request")
	// ErrNotEnforced says that a manual request asks to act for real on a target in mode dry_run.
	ErrNotEnforced = errors.New("the target is in mode dry_run")
)
