package action

import (
	"context"
	"slices"
	"sync"

	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// Left remembers how many files each clean-up had to leave although they were due: in use, linked,
// changed. They count as due for the observer, which cannot know; the reading after a run must not
// call a clean-up ineffective for them.
type Left struct {
	mu   sync.Mutex
	left map[[3]string]int64 // by target, kind and policy
}

// NewLeft returns a Left that remembers nothing yet.
func NewLeft() *Left { return &Left{left: make(map[[3]string]int64)} }

// Noting returns an action whose results are remembered, those of dry runs aside.
func (l *Left) Noting(a Action) Action { return notingAction{a, l} }

// Of returns how many files the last clean-up of a policy had to leave.
func (l *Left) Of(target, kind, policy string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left[[3]string{target, kind, policy}]
}

func (l *Left) note(results []PolicyResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range results {
		r := &results[i]
		var n int64
		for reason, count := range r.Skipped {
			if !slices.Contains(stay, safefs.Reason(reason)) {
				n += count
			}
		}
		l.left[[3]string{r.Target, r.Kind, r.Policy}] = n
	}
}

type notingAction struct {
	Action
	left *Left
}

// Run implements Action.
func (n notingAction) Run(ctx context.Context, req Request) (Result, error) {
	res, err := n.Action.Run(ctx, req)
	if !req.DryRun {
		n.left.note(res.Policies)
	}
	return res, err
}
