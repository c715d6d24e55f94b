package evidence

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

const (
	statePrefix   = "evidence/"
	maxPacked     = 900 << 10 // of the captures of one target, as the journal takes them
	maxStateBytes = 64 << 20  // unpacked
	maxPerTarget  = mostKept
)

// State is what a Store needs of a journal.
type State interface {
	State(key string) ([]byte, error)
	PutState(ctx context.Context, key string, value []byte) error
}

// Store keeps captures in the journal's database, by target. It is safe for concurrent use.
type Store struct {
	state func() State // nil where there is none: then captures live as long as the process

	turn sync.Mutex // of one Add, with its write

	mu     sync.Mutex
	loaded map[string][]Profile
}

// NewStore returns a Store that opens nothing. state may answer nil before the journal is open.
func NewStore(state func() State) *Store {
	return &Store{state: state, loaded: make(map[string][]Profile)}
}

// All returns the captures of a target, the oldest first. They must not be changed.
func (s *Store) All(target string) ([]Profile, error) {
	s.mu.Lock()
	all, ok := s.loaded[target]
	s.mu.Unlock()
	state := s.state()
	if ok || state == nil {
		return slices.Clip(all), nil
	}
	raw, err := state.State(statePrefix + target)
	if err == nil {
		all, err = unpack(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("captures of %s: %w", target, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if newer, ok := s.loaded[target]; ok { // one was added meanwhile
		return slices.Clip(newer), nil
	}
	s.loaded[target] = all
	return slices.Clip(all), nil
}

// Add keeps a capture and gives it its ID. Above keep, and above what the journal takes, the oldest are removed, but for the first
// of the present start, which later ones are compared with. The error says that it could not be written; it is kept in
// memory all the same.
func (s *Store) Add(ctx context.Context, p *Profile, keep int) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	all, readErr := s.All(p.Target) // what cannot be read is begun anew
	p.ID = newID(p.Time, all)
	all = append(slices.Clone(all), *p)
	for len(all) > min(max(keep, 2), maxPerTarget) {
		all = withoutOldest(all)
	}
	raw, err := pack(all)
	for err == nil && len(raw) > maxPacked && len(all) > 2 {
		all = withoutOldest(all)
		raw, err = pack(all)
	}
	s.mu.Lock()
	s.loaded[p.Target] = all
	s.mu.Unlock()
	if state := s.state(); err == nil && state != nil {
		err = state.PutState(ctx, statePrefix+p.Target, raw)
	}
	if err != nil {
		return fmt.Errorf("keep a capture of %s: %w", p.Target, err)
	}
	return readErr
}

// withoutOldest removes the oldest capture that is not the first of the start of the newest.
func withoutOldest(all []Profile) []Profile {
	if alike(&all[0], &all[len(all)-1]) == nil {
		return slices.Delete(all, 1, 2)
	}
	return slices.Delete(all, 0, 1)
}

// newID names a capture by its time, and differs from those that are there.
func newID(at time.Time, all []Profile) string {
	id := at.UTC().Format("20060102T150405.000Z")
	for n := 2; slices.ContainsFunc(all, func(p Profile) bool { return p.ID == id }); n++ {
		id = fmt.Sprintf("%s-%d", at.UTC().Format("20060102T150405.000Z"), n)
	}
	return id
}

func pack(all []Profile) ([]byte, error) {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	if err := json.NewEncoder(zip).Encode(all); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func unpack(raw []byte) ([]Profile, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	unzip, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	var all []Profile
	if err := json.NewDecoder(io.LimitReader(unzip, maxStateBytes)).Decode(&all); err != nil {
		return nil, err
	}
	return all, nil
}
