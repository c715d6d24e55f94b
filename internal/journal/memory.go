package journal

import (
	"context"
	"slices"
	"strings"
	"sync"
)

const (
	memoryRecords = 2000
	memoryStates  = 1000
)

// tx is what a change or a reading sees of the store. Values must not be kept or changed.
type tx interface {
	get(id string) []byte
	last() (id string, ok bool)
	down(before string, f func(id string, v []byte) bool) // newest first, older than before; "" = all
	up(f func(id string, v []byte) bool)                  // oldest first
	put(id string, v []byte)
	del(id string)
	states(prefix string, f func(key string, v []byte))
	putState(key string, v []byte) // nil deletes
}

// memory is a store that ends with the process and holds at most memoryRecords.
type memory struct {
	j *Journal

	mu     sync.RWMutex
	ids    []string // sorted
	values map[string][]byte
	state  map[string][]byte
	closed bool
}

func newMemory(j *Journal) *memory {
	return &memory{j: j, values: make(map[string][]byte), state: make(map[string][]byte)}
}

func (m *memory) update(ctx context.Context, change func(tx) error, undo func()) error {
	err := m.change(ctx, change)
	if err != nil && undo != nil {
		undo()
	}
	return err
}

func (m *memory) change(ctx context.Context, change func(tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	if err := change(m); err != nil {
		return err
	}
	m.bound()
	return nil
}

func (m *memory) finish(ctx context.Context, change func(tx) error) error {
	return m.change(ctx, change)
}

func (m *memory) later(change func(tx) error, done func(error)) {
	done(m.change(context.Background(), change))
}

// bound forgets the oldest records that have a result.
func (m *memory) bound() {
	for i := 0; len(m.ids) > memoryRecords && i < len(m.ids); {
		if isOpen(m.values[m.ids[i]]) {
			i++
			continue
		}
		delete(m.values, m.ids[i])
		m.ids = slices.Delete(m.ids, i, i+1)
	}
}

func (m *memory) view(read func(tx) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return read(m)
}

func (m *memory) custody() *custody { return nil }

func (m *memory) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *memory) get(id string) []byte { return m.values[id] }

func (m *memory) last() (string, bool) {
	if len(m.ids) == 0 {
		return "", false
	}
	return m.ids[len(m.ids)-1], true
}

func (m *memory) down(before string, f func(string, []byte) bool) {
	end := len(m.ids)
	if before != "" {
		end, _ = slices.BinarySearch(m.ids, before)
	}
	for i := end - 1; i >= 0; i-- {
		if !f(m.ids[i], m.values[m.ids[i]]) {
			return
		}
	}
}

func (m *memory) up(f func(string, []byte) bool) {
	for _, id := range m.ids {
		if !f(id, m.values[id]) {
			return
		}
	}
}

func (m *memory) put(id string, v []byte) {
	if _, ok := m.values[id]; !ok {
		i, _ := slices.BinarySearch(m.ids, id)
		m.ids = slices.Insert(m.ids, i, id)
	}
	m.values[id] = v
}

func (m *memory) del(id string) {
	if i, ok := slices.BinarySearch(m.ids, id); ok {
		m.ids = slices.Delete(m.ids, i, i+1)
		delete(m.values, id)
	}
}

func (m *memory) states(prefix string, f func(string, []byte)) {
	for key, v := range m.state {
		if strings.HasPrefix(key, prefix) {
			f(key, v)
		}
	}
}

func (m *memory) putState(key string, v []byte) {
	if v == nil {
		delete(m.state, key)
		return
	}
	if _, known := m.state[key]; !known && len(m.state) >= memoryStates {
		for other := range m.state {
			delete(m.state, other)
			break
		}
	}
	m.state[key] = v
}
