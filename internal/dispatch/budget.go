package dispatch

import (
	"context"
	"maps"
	"slices"
	"time"
)

// remaining returns how often a playbook may still act by itself.
func (s *playbookState) remaining(b Budget, now time.Time) int {
	n := b.AtMost
	if s != nil {
		for _, at := range s.used {
			if now.Sub(at) < b.Per.Std() {
				n--
			}
		}
	}
	return max(n, 0)
}

// spent reports whether the budget of a playbook is used up.
func (s *playbookState) spent(p *Playbook, now time.Time) bool {
	return p.Budget.set() && s.remaining(p.Budget, now) == 0
}

// spend notes that a run that enforces is to begin by itself. The use is written before the intent of the run,
// so that no crash gives it back. It is called with the lock held.
func (d *Dispatcher) spend(r *run, b Budget) {
	if !b.set() || r.mode != enforce {
		return
	}
	now := d.opts.Now()
	r.state.used = slices.DeleteFunc(r.state.used, func(at time.Time) bool { return now.Sub(at) >= maxBudgetPer })
	if n := len(r.state.used); n >= maxBudget {
		r.state.used = slices.Delete(r.state.used, 0, n-maxBudget+1)
	}
	r.state.used, r.state.pleaded = append(r.state.used, now), false
	r.spent = now
}

// refund gives back what a run did not need.
func (s *playbookState) refund(r *run) {
	if i := slices.Index(s.used, r.spent); !r.spent.IsZero() && i >= 0 {
		s.used = slices.Delete(s.used, i, i+1)
	}
}

// clampUsed lets no use lie in the future, where it would count for longer than its budget says.
func (s *playbookState) clampUsed(now time.Time) {
	for i, at := range s.used {
		s.used[i] = soonerOf(at, now)
	}
}

// keepSpent writes what the runs of a batch are about to use of their budgets.
func (d *Dispatcher) keepSpent(ctx context.Context, fresh []*run) error {
	if !slices.ContainsFunc(fresh, func(r *run) bool { return !r.spent.IsZero() }) {
		return nil
	}
	states := make(map[string][]byte)
	d.mu.Lock()
	for _, r := range fresh {
		if !r.spent.IsZero() {
			if name, raw := d.encode(r.key, r.state.saved()); name != "" {
				states[name] = raw
			}
		}
	}
	d.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(states)) {
		if err := d.opts.Journal.PutState(ctx, name, states[name]); err != nil {
			return err
		}
	}
	return nil
}
