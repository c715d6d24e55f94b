package action

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"
)

// maxRemovedNames bounds, in bytes of JSON, the names that a run passes on, so that a body stays below 64 KiB.
const maxRemovedNames = 48 << 10

// Removed collects the names of what the actions of one run have removed or moved away, or in a dry run would
// have, for the steps that pass them on. It is safe for concurrent use, since an action that was left behind
// may still name files. A nil *Removed collects nothing.
type Removed struct {
	mu       sync.Mutex
	names    int64
	files    int64
	used     int
	policies []removedFrom
}

// removedFrom is what one policy has removed, as a receiver reads it.
type removedFrom struct {
	Kind        string   `json:"kind"`
	Policy      string   `json:"policy"`
	Dir         string   `json:"dir"`
	Entries     int64    `json:"entries,omitempty"`      // that may have several files each
	Files       int64    `json:"files"`                  // all of them, those of entries included
	Names       []string `json:"names"`                  // of files and entries, relative to the folder
	NamesBase64 []string `json:"names_base64,omitempty"` // those that are not UTF-8
	More        int64    `json:"more,omitempty"`         // that are not named
}

// removedMessage is the part of a message that names files.
type removedMessage struct {
	Files    int64         `json:"files"`
	Policies []removedFrom `json:"policies"`
}

// Note takes in a file, or an entry of several, as Request.OnFile has it. What stays in place under another name, such as a log that
// was rotated, is not removed.
func (r *Removed) Note(p *PolicyResult, path []byte, why string) {
	if r == nil || why == whyRotated || why == whyCompressed || why == whyLeftOver {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	files := int64(1)
	if p.EntryFiles != nil {
		files = *p.EntryFiles
	}
	r.names++
	r.files += files
	i := slices.IndexFunc(r.policies, func(f removedFrom) bool { return f.Kind == p.Kind && f.Policy == p.Policy })
	if i < 0 {
		i, r.policies = len(r.policies), append(r.policies, removedFrom{Kind: p.Kind, Policy: p.Policy, Dir: p.Dir, Names: []string{}})
	}
	from := &r.policies[i]
	from.Files += files
	if p.EntryFiles != nil {
		from.Entries++
	}
	name, plain := string(path), utf8.Valid(path)
	if !plain {
		name = base64.StdEncoding.EncodeToString(path)
	}
	size := maxRemovedNames
	if len(name) < maxRemovedNames-r.used {
		if raw, err := json.Marshal(name); err == nil {
			size = len(raw) + 1
		}
	}
	switch {
	case from.More > 0 || r.used+size > maxRemovedNames: // what is named is the beginning, without gaps
		from.More++
		return
	case plain:
		from.Names = append(from.Names, name)
	default:
		from.NamesBase64 = append(from.NamesBase64, name)
	}
	r.used += size
}

// Noted returns how many files and entries were noted. An entry without a file counts too.
func (r *Removed) Noted() int64 {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names
}

// message returns what a receiver is sent, nil when nothing was removed.
func (r *Removed) message() *removedMessage {
	if r.Noted() == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &removedMessage{Files: r.files, Policies: slices.Clone(r.policies)}
	for i := range m.Policies { // only appended to from here on
		m.Policies[i].Names, m.Policies[i].NamesBase64 = slices.Clip(m.Policies[i].Names), slices.Clip(m.Policies[i].NamesBase64)
	}
	return m
}

// text says in a dry run what would be passed on.
func (r *Removed) text() string {
	if n := r.Noted(); n > 0 {
		return fmt.Sprintf(", with the names of what was removed (%d)", n)
	}
	return ""
}

// shown returns what would be sent, as far as a record has room for it.
func shown(body []byte) string {
	var out capped
	out.Write(body) //nolint:errcheck // it takes everything
	return out.text()
}
