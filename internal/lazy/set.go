package lazy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Set is the providers of one owner, by name.
type Set struct {
	mu      sync.Mutex
	members map[string]member
}

type member interface {
	Unload()
	Close() error
	Stat() Stat
	needs() []string
}

// NewSet returns an empty Set.
func NewSet() *Set { return &Set{members: make(map[string]member)} }

func (p *Provider[T]) needs() []string { return p.opts.Needs }

// Add makes a Provider and puts it into s, where it stays until it is closed. A second provider of
// the same name is an error, and so is one that closes a cycle of needs.
func Add[T any](s *Set, o Options[T]) (*Provider[T], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.members[o.Name]; twice {
		return nil, fmt.Errorf("provider %q is there already: use another name", o.Name)
	}
	graph := s.graph()
	graph[o.Name] = o.Needs
	if err := CheckCycles(graph); err != nil {
		return nil, err
	}
	p := New(o)
	p.gone = func() { s.forget(o.Name, p) }
	s.members[o.Name] = p
	return p, nil
}

func (s *Set) forget(name string, m member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members[name] == m {
		delete(s.members, name)
	}
}

func (s *Set) graph() map[string][]string {
	out := make(map[string][]string, len(s.members)+1)
	for name, m := range s.members {
		out[name] = m.needs()
	}
	return out
}

func (s *Set) sorted() []member {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]member, 0, len(s.members))
	for _, name := range slices.Sorted(maps.Keys(s.members)) {
		out = append(out, s.members[name])
	}
	return out
}

// UnloadAll closes what is open and not in use; the next need opens it again.
func (s *Set) UnloadAll() {
	for _, m := range s.sorted() {
		m.Unload()
	}
}

// CloseAll closes all providers for good and empties the Set.
func (s *Set) CloseAll() error {
	for _, m := range s.sorted() {
		if err := m.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Stats returns the state of all providers, sorted by name.
func (s *Set) Stats() []Stat {
	members := s.sorted()
	out := make([]Stat, len(members))
	for i, m := range members {
		out[i] = m.Stat()
	}
	return out
}

// CheckCycles returns an error that names the first cycle ("a -> b -> a") among needs, which maps
// the name of a provider to the names that it needs, or nil. A name that is not a key needs
// nothing.
func CheckCycles(needs map[string][]string) error {
	const (
		unseen = iota
		onPath
		cleared
	)
	state := make(map[string]int, len(needs))
	var path []string
	var visit func(name string) error
	visit = func(name string) error {
		switch state[name] {
		case cleared:
			return nil
		case onPath:
			cycle := append(slices.Clone(path[slices.Index(path, name):]), name)
			return fmt.Errorf("providers need each other: %s: remove one of these needs", strings.Join(cycle, " -> "))
		}
		state[name] = onPath
		path = append(path, name)
		for _, need := range needs[name] {
			if err := visit(need); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		state[name] = cleared
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		if err := visit(name); err != nil {
			return err
		}
	}
	return nil
}
