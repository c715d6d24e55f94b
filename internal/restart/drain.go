package restart

import (
	"context"
	"slices"
)

// Draining writes, synced and before the first request, that the service is drained from now on. name is what the drain
// is found by again. It stands for every drain before it.
func (l *Ledger) Draining(ctx context.Context, target, key, name string) error {
	err := l.change(ctx, target, key, func(list []Attempt, i int) []Attempt {
		for j := range list {
			list[j].Drain = ""
		}
		list[i].Drain = name
		return list
	})
	if err == nil {
		l.Stuck(target, false)
	}
	return err
}

// Undrained writes that the service of a target takes work again.
func (l *Ledger) Undrained(ctx context.Context, target, key string) error {
	err := l.change(ctx, target, key, func(list []Attempt, i int) []Attempt {
		list[i].Drain = ""
		return list
	})
	if err == nil {
		l.Stuck(target, false)
	}
	return err
}

// Drained returns the attempt that a target may still be drained for; ok is false when there is none.
func (l *Ledger) Drained(target string) (a Attempt, ok bool, err error) {
	all, err := l.all()
	if err != nil {
		return Attempt{}, false, err
	}
	list := all[target]
	if i := slices.IndexFunc(list, func(a Attempt) bool { return a.Drain != "" }); i >= 0 {
		return list[i], true, nil
	}
	return Attempt{}, false, nil
}

// LeftDrained returns the targets that may still be drained.
func (l *Ledger) LeftDrained() ([]string, error) {
	all, err := l.all()
	if err != nil {
		return nil, err
	}
	var out []string
	for target, list := range all {
		if slices.ContainsFunc(list, func(a Attempt) bool { return a.Drain != "" }) {
			out = append(out, target)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Leave notes that a service was left drained, for whoever waits on Left.
func (l *Ledger) Leave() {
	select {
	case l.left <- struct{}{}:
	default:
	}
}

// Left receives after a service was left drained.
func (l *Ledger) Left() <-chan struct{} { return l.left }

// Stuck notes that a target needs a person because it may still be drained, or no longer does.
func (l *Ledger) Stuck(target string, stuck bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.drained, target)
	if stuck {
		l.drained[target] = true
	}
}

// Claim waits until no one else is at the service of a target: a restart of it, or what takes back its drain. release
// lets the next one begin.
func (l *Ledger) Claim(ctx context.Context, target string) (release func(), err error) {
	l.mu.Lock()
	c := l.claims[target]
	if c == nil {
		c = make(chan struct{}, 1)
		l.claims[target] = c
	}
	l.mu.Unlock()
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
