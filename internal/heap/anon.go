package heap

import (
	"context"
	"fmt"
)

// anon stands in for the heap of a runtime that reports nothing: the anonymous resident memory of
// the target's processes, which holds the heap, stacks and everything else that was allocated. It
// is labelled as what it is and opens nothing.
type anon struct {
	target *target
	limit  Amount
}

func newAnon(_ *Pool, cfg Config, of *target) (backend, error) {
	a := &anon{target: of}
	if cfg.Limit > 0 {
		a.limit = Some(cfg.Limit)
	}
	return a, nil
}

// Read implements Reader.
func (a *anon) Read(context.Context) (Usage, error) {
	n, ok := a.target.anon()
	if !ok {
		if len(a.target.members()) == 0 {
			return Usage{}, ErrNoProcess
		}
		return Usage{}, fmt.Errorf("%w: the memory of its processes cannot be read", ErrUnreachable)
	}
	return Usage{Used: Some(n), Limit: a.limit}, nil
}

// collect implements backend: there is no one to ask.
func (a *anon) collect(ctx context.Context, _ string) (before, after Usage, err error) {
	before, _ = a.Read(ctx)
	return before, Usage{}, fmt.Errorf("%w: %s is memory, not a runtime", ErrCannotCollect, ProviderAnon)
}

func (a *anon) close() error { return nil }
