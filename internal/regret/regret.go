package regret

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// sample bounds the victims of one policy: 48 KiB of state. Where there are more, those whose hash ends
	// with zeros are kept: a share of 1 % is then known to within 0.2 points.
	sample = 4096

	// keep is how long a victim is remembered.
	keep = 32 * 24 * time.Hour

	// maxPolicies bounds the state of all policies: 10 MiB.
	maxPolicies = 200

	prefix      = "regret/"
	version     = 1
	headerBytes = 8
	entryBytes  = 12
)

var errEncoding = errors.New("the recorded victims of a policy cannot be read")

// Source is where victims are read from; *journal.Journal is one.
type Source interface {
	States(prefix string) (map[string][]byte, error)
}

// Store is where a Recorder keeps victims; *journal.Journal is one. A nil value removes the key.
type Store interface {
	Source
	PutState(ctx context.Context, key string, value []byte) error
}

// Of names a policy.
type Of struct{ Target, Kind, Policy string }

// key is that of the policy's state. Names have any length and the keys of the store have not.
func (of Of) key() string {
	return fmt.Sprintf("%s%016x", prefix, hash([]byte(of.Target+"\x00"+of.Kind+"\x00"+of.Policy)))
}

// Recorder remembers what dry runs would have removed. It is safe for concurrent use and keeps nothing in memory.
type Recorder struct {
	store Store
	now   func() time.Time
}

// New returns a Recorder. It reads nothing before a dry run names a file.
func New(store Store, now func() time.Time) *Recorder { return &Recorder{store: store, now: now} }

// Run is one dry run of an action.
type Run struct {
	r       *Recorder
	target  string
	seconds uint32

	mu      sync.Mutex
	touched map[Of]*victims
	err     error
	ended   bool
}

// Begin returns a run that has no victim yet. A use of a file counts from now on.
func (r *Recorder) Begin(target string) *Run {
	return &Run{r: r, target: target, seconds: uint32(r.now().Add(time.Second - 1).Unix()), touched: make(map[Of]*victims)}
}

// Note remembers a file that would be removed, by its path relative to the folder of its policy. One that is
// remembered already keeps its first time. After End nothing is remembered.
func (u *Run) Note(kind, policy string, path []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil || u.ended {
		return
	}
	of := Of{u.target, kind, policy}
	v := u.touched[of]
	if v == nil {
		if v, u.err = load(u.r.store, of); u.err != nil {
			return
		}
		u.touched[of] = v
	}
	v.add(hash(path), u.seconds)
}

// End writes what is new. What cannot be written is forgotten: the next dry run names the same files.
func (u *Run) End(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	errs := []error{u.err}
	for of, v := range u.touched {
		if v.expire(u.seconds); !v.dirty {
			continue
		}
		err := v.hasRoom(ctx, u.r.store, u.seconds)
		if err == nil {
			err = u.r.store.PutState(ctx, of.key(), v.encode())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", of.Kind, of.Policy, err))
		}
	}
	u.touched = nil
	return errors.Join(errs...)
}

// hasRoom makes room for a policy that is not stored yet: those of which everything is too old go. The error
// is that there are too many.
func (v *victims) hasRoom(ctx context.Context, s Store, now uint32) error {
	if v.stored {
		return nil
	}
	all, err := s.States(prefix)
	if err != nil {
		return err
	}
	for key, value := range all {
		old, err := decode(value)
		if err == nil {
			old.expire(now)
		}
		if err != nil || len(old.at) == 0 {
			if err := s.PutState(ctx, key, nil); err != nil {
				return err
			}
			delete(all, key)
		}
	}
	if len(all) >= maxPolicies {
		return fmt.Errorf("the victims of %d policies are remembered, and there is no room for more", len(all))
	}
	return nil
}

// load returns the victims of a policy. What cannot be decoded begins anew.
func load(s Source, of Of) (*victims, error) {
	v, err := read(s, of)
	if errors.Is(err, errEncoding) {
		return newVictims(), nil
	}
	return v, err
}

// read returns the victims of a policy as they are stored; an empty set where there are none.
func read(s Source, of Of) (*victims, error) {
	states, err := s.States(of.key())
	if err != nil {
		return nil, err
	}
	value, found := states[of.key()]
	if !found {
		return newVictims(), nil
	}
	v, err := decode(value)
	if err == nil {
		v.stored = true
	}
	return v, err
}

// victims are those of one policy: the time in seconds since 1970 at which each became one, by the hash of
// its path. Of the hashes only those are kept that are a multiple of 1<<level.
type victims struct {
	level uint8
	at    map[uint64]uint32
	dirty bool

	stored bool // there is a state of the policy
}

func newVictims() *victims { return &victims{at: make(map[uint64]uint32)} }

func (v *victims) holds(h uint64) bool { return h&(1<<v.level-1) == 0 }

func (v *victims) add(h uint64, seconds uint32) {
	if !v.holds(h) {
		return
	}
	if _, known := v.at[h]; known {
		return
	}
	v.at[h], v.dirty = seconds, true
	for len(v.at) > sample {
		v.level++
		maps.DeleteFunc(v.at, func(h uint64, _ uint32) bool { return !v.holds(h) })
	}
}

// expire forgets victims that are too old.
func (v *victims) expire(now uint32) {
	before := len(v.at)
	maps.DeleteFunc(v.at, func(_ uint64, at uint32) bool { return int64(now)-int64(at) > int64(keep/time.Second) })
	v.dirty = v.dirty || len(v.at) != before
	if len(v.at) == 0 {
		v.level = 0
	}
}

// encode returns a header of the version and the level, and the entries sorted by hash.
func (v *victims) encode() []byte {
	out := make([]byte, headerBytes, headerBytes+entryBytes*len(v.at))
	out[0], out[1] = version, v.level
	for _, h := range slices.Sorted(maps.Keys(v.at)) {
		out = binary.LittleEndian.AppendUint64(out, h)
		out = binary.LittleEndian.AppendUint32(out, v.at[h])
	}
	return out
}

func decode(b []byte) (*victims, error) {
	if len(b) < headerBytes || b[0] != version || b[1] > 63 || (len(b)-headerBytes)%entryBytes != 0 || len(b) > headerBytes+entryBytes*sample {
		return nil, errEncoding
	}
	v := newVictims()
	v.level = b[1]
	for b = b[headerBytes:]; len(b) > 0; b = b[entryBytes:] {
		h := binary.LittleEndian.Uint64(b)
		if !v.holds(h) {
			return nil, errEncoding
		}
		v.at[h] = binary.LittleEndian.Uint32(b[8:])
	}
	return v, nil
}

// hash is FNV-1a with the finalizer of MurmurHash3: its low bits choose the sample.
func hash(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
