package app

import (
	"context"
	"sync"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
)

// leftFiles remembers how many files each clean-up had to leave although they were due: in use,
// linked, changed. They count as due for the observer, which cannot know; the reading after a run
// must not call a clean-up ineffective for them.
type leftFiles struct {
	mu   sync.Mutex
	left map[[3]string]int64 // by target, kind and policy
}

func newLeftFiles() *leftFiles { return &leftFiles{left: make(map[[3]string]int64)} }

func (h *leftFiles) note(results []action.PolicyResult) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range results {
		r := &results[i]
		var n int64
		for _, count := range r.Skipped {
			n += count
		}
		h.left[[3]string{r.Target, r.Kind, r.Policy}] = n
	}
}

func (h *leftFiles) of(target, kind, policy string) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.left[[3]string{target, kind, policy}]
}

// notingAction is an action whose results are noted.
type notingAction struct {
	action.Action
	left *leftFiles
}

// Run implements action.Action.
func (n notingAction) Run(ctx context.Context, req action.Request) (action.Result, error) {
	res, err := n.Action.Run(ctx, req)
	if !req.DryRun {
		n.left.note(res.Policies)
	}
	return res, err
}
