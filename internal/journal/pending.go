package journal

import (
	"bytes"
	"errors"
	"maps"
)

// pending is what happened and could not be written yet.
type pending struct {
	results map[string][]byte
	states  map[string][]byte // by key; nil forgets the key
	doubt   string            // no intent before this id is in doubt; "" when none is
	open    func(id string) bool
}

func (p *pending) empty() bool { return len(p.results) == 0 && len(p.states) == 0 && p.doubt == "" }

// write writes all of it, and closes intents that were refused, and are in the file all the same:
// because the disk took longer than the caller waited, or failed after it had written.
func (p *pending) write(b *boltTx) {
	for id, v := range p.results {
		b.put(id, v)
	}
	for key, v := range p.states {
		b.putState(key, v)
	}
	if p.doubt == "" {
		return
	}
	var refused []Record
	b.down("", func(id string, v []byte) bool {
		if id < p.doubt {
			return false
		}
		if isOpen(v) && !p.open(id) {
			if r, err := decode(id, v); err == nil {
				refused = append(refused, r)
			}
		}
		return true
	})
	for i := range refused {
		r := &refused[i]
		r.Outcome, r.Error = OutcomeInterrupted, "nothing was done: the journal did not confirm this in time"
		b.put(r.ID, seal(r.ID, encode(*r)))
	}
}

// takePending hands what waits for a write to the writer.
func (j *Journal) takePending() pending {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := pending{doubt: j.doubt, open: j.isOpen}
	if len(j.pending) > 0 {
		p.results = maps.Clone(j.pending)
	}
	if len(j.states) > 0 {
		p.states = maps.Clone(j.states)
	}
	return p
}

// isOpen reports whether an intent of this process has no result in the file yet.
func (j *Journal) isOpen(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, open := j.open[id]
	_, closing := j.closing[id]
	return open || closing
}

// written forgets what is written now. mu is held.
func (j *Journal) written(p pending) {
	for id := range p.results {
		delete(j.pending, id)
	}
	for key, v := range p.states {
		if now, ok := j.states[key]; ok && bytes.Equal(now, v) {
			delete(j.states, key)
		}
	}
	if j.doubt == p.doubt {
		j.doubt = ""
	}
}

// keepPending keeps a result, and the state that belongs to it, until they can be written.
func (j *Journal) keepPending(id string, value []byte, key string, state []byte, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.closing, id)
	if !errors.Is(err, ErrUnwritable) && !errors.Is(err, ErrClosed) {
		return
	}
	j.pending[id] = value
	if key != "" {
		j.states[key] = state
	}
}

func (j *Journal) hasPending() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.pending) > 0 || len(j.states) > 0 || j.doubt != ""
}

// refuse takes intents back that the journal has not confirmed: they may be in the file.
func (j *Journal) refuse(ids []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range ids {
		if id == "" {
			continue
		}
		delete(j.open, id)
		if j.doubt == "" || id < j.doubt {
			j.doubt = id
		}
	}
}
