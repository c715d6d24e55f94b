package action

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

const (
	// reasonNotProposed is why a file stays that was not part of what a person has approved.
	reasonNotProposed safefs.Reason = "not_proposed"

	maxChosen = 1 << 16 // files of one proposal
	keyBytes  = 8
)

var errNoChoice = errors.New("is not the files of a proposal")

// Choice is the files that a person is asked about. A dry run with an open choice adds to it what it would touch, up
// to 65,536 files; beyond that it touches nothing. A run with a fixed choice touches nothing else. A file is known by its
// policy, path, inode, size and times: one that has changed is another one. A nil *Choice holds nothing back. It
// is safe for concurrent use.
type Choice struct {
	mu    sync.Mutex
	fixed bool
	keys  map[uint64]struct{}
}

// NewChoice returns an open choice.
func NewChoice() *Choice { return &Choice{keys: make(map[uint64]struct{})} }

// ParseChoice returns a fixed choice from what Bytes returned.
func ParseChoice(raw []byte) (*Choice, error) {
	if len(raw)%keyBytes != 0 {
		return nil, errNoChoice
	}
	c := &Choice{fixed: true, keys: make(map[uint64]struct{}, len(raw)/keyBytes)}
	for ; len(raw) > 0; raw = raw[keyBytes:] {
		c.keys[binary.BigEndian.Uint64(raw)] = struct{}{}
	}
	return c, nil
}

// Bytes returns a choice in a form that can be kept.
func (c *Choice) Bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := make([]uint64, 0, len(c.keys))
	for k := range c.keys {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := make([]byte, 0, keyBytes*len(keys))
	for _, k := range keys {
		out = binary.BigEndian.AppendUint64(out, k)
	}
	return out
}

// holds reports whether a file stays: it is not chosen, or an open choice has no room for it.
func (c *Choice) holds(key uint64) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, chosen := c.keys[key]; chosen {
		return false
	}
	return c.fixed || len(c.keys) >= maxChosen
}

// note takes a file into an open choice.
func (c *Choice) note(key uint64) {
	if c == nil || c.fixed {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[key] = struct{}{}
}

// chosen makes a change to a file, if the run may touch it, and notes what a dry run would change. Without a choice it
// costs nothing.
func (r *dirRun) chosen(keyOf func() uint64, change func() safefs.Reason) safefs.Reason {
	c := r.req.Choice
	if c == nil {
		return change()
	}
	key := keyOf()
	if c.holds(key) {
		return reasonNotProposed
	}
	why := change()
	if why == safefs.Removed {
		c.note(key)
	}
	return why
}

// fileKey is what a choice knows a file by. A log goes on growing: of one, only path and inode count.
func fileKey(policy, path string, id safefs.Identity) uint64 {
	h := sha256.New()
	h.Write([]byte(policy))
	h.Write([]byte{0})
	h.Write([]byte(path))
	h.Write([]byte{0})
	var raw []byte
	for _, n := range []uint64{id.Ino, uint64(id.SizeBytes), uint64(id.MtimeNs), uint64(id.CtimeNs)} {
		raw = binary.BigEndian.AppendUint64(raw, n)
	}
	h.Write(raw)
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// keyOf is the key of an entry as a scan sees it. Of files that belong together there is no one inode.
func (r *dirRun) keyOf(e *dirscan.Entry, path string) uint64 {
	id := safefs.IdentityOf(e)
	if x := r.remover.by; x != nil && x.at != nil && x.at.File == nil && !x.at.Dir {
		id.Ino = 0
	}
	return fileKey(r.common.Name, path, id)
}

// logKey is the key of a log that is rotated or compressed.
func (r *dirRun) logKey(path string, ino uint64) uint64 {
	return fileKey(r.common.Name, path, safefs.Identity{Ino: ino})
}

// foundKey is the key of a file that was found by the last scan.
func (r *dirRun) foundKey(f *safefs.Found) uint64 {
	id := f.Identity
	if x := r.remover.by; x != nil {
		n, ok := x.noted[f.Path]
		if !ok {
			return 0 // it goes as changed
		}
		id = safefs.IdentityOf(&n.Entry.Entry)
		if n.file.Path == "" && !n.Dir {
			id.Ino = 0
		}
	}
	return fileKey(r.common.Name, f.Path, id)
}
