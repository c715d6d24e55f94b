package entry

import (
	"cmp"
	"errors"
	"hash/maphash"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// maxLinked bounds how many entries are remembered that links point to.
const maxLinked = 1 << 18

// ErrTooManyLinks says that more entries have links than are remembered, so that it is not known which.
var ErrTooManyLinks = errors.New("more than 262144 entries have symbolic links that point to them: write links_into: remove, or policies of smaller folders")

// Links are the entries of a policy that symbolic links in its folder point to, from outside of the entry.
// A link is followed by its text alone. The entries are remembered by a hash: one that is taken for
// another, once in many billions, stays.
type Links struct {
	root  string
	depth int
	group func(name []byte) []byte
	seed  maphash.Seed
	into  map[uint64]struct{} // as of the last turn
	next  map[uint64]struct{}
	path  []byte
	full  bool // not all of next could be remembered
	text  [4097]byte
	// Each, when set, is called for each link that points to an entry, in place of remembering the
	// entry, with the path of the link from the root and its text.
	Each func(entry uint64, path []byte, text string)
}

// NewLinks returns Links that know of no link yet. Absolute links into a folder that has no path are not
// recognised.
func NewLinks(c *policy.Common) (*Links, error) {
	l := &Links{root: cmp.Or(c.LinkRoot, c.Dir), seed: maphash.MakeSeed(), into: make(map[uint64]struct{}), next: make(map[uint64]struct{})}
	if c.EntriesAreDirs() {
		l.depth = max(c.Depth, 1)
	}
	var err error
	l.group, err = c.Grouper()
	return l, err
}

// Turn makes the links that were added since the last turn those that To answers for. The error is
// ErrTooManyLinks when not all could be remembered.
func (l *Links) Turn() error {
	l.into, l.next = l.next, l.into
	clear(l.next)
	if l.full {
		l.full = false
		return ErrTooManyLinks
	}
	return nil
}

// Add reads a link. It is dirscan.Options.Link.
func (l *Links) Add(in *dirscan.Folder, name []byte) {
	n, err := unix.Readlinkat(in.FD(), string(name), l.text[:])
	if err != nil || n <= 0 || n >= len(l.text) {
		return // it went away, or points nowhere
	}
	text := string(l.text[:n])
	l.path = in.AppendPath(l.path[:0])
	folder := string(l.path)
	key, ok := l.resolve(folder, text)
	if !ok {
		return
	}
	h := maphash.String(l.seed, key)
	if l.Each != nil {
		l.path = append(l.path, name...)
		l.Each(h, l.path, text)
		return
	}
	if len(l.next) >= maxLinked {
		l.full = true
		return
	}
	l.next[h] = struct{}{}
}

// resolve returns which entry a link in a folder points to, or into.
func (l *Links) resolve(folder, text string) (key string, ok bool) {
	to := path.Join(folder, text)
	if path.IsAbs(text) {
		if to, ok = strings.CutPrefix(path.Clean(text), l.root+"/"); !ok || l.root == "" {
			return "", false
		}
	}
	if to == "" || to == "." || to == ".." || strings.HasPrefix(to, "../") {
		return "", false
	}
	if l.depth == 0 {
		dir, name := path.Split(to)
		if l.group != nil {
			name = string(l.group([]byte(name)))
		}
		return dir + name, true
	}
	if key, ok = ancestor(to, l.depth); !ok {
		return "", false
	}
	own, inside := ancestor(folder, l.depth)
	return key, !inside || own != key
}

// ancestor returns the first names of a path; ok is false when it has fewer.
func ancestor(path string, names int) (string, bool) {
	at := 0
	for i := range names {
		if at >= len(path) {
			return "", false
		}
		end := strings.IndexByte(path[at:], '/')
		if end < 0 {
			return path, i == names-1
		}
		at += end + 1
	}
	return path[:at-1], true
}

// Key returns what a link to an entry is remembered by.
func (l *Links) Key(e *Entry) uint64 {
	l.path = append(e.Parent.AppendPath(l.path[:0]), e.Group...)
	return maphash.Bytes(l.seed, l.path)
}

// To reports whether a link points to an entry.
func (l *Links) To(e *Entry) bool {
	if len(l.into) == 0 {
		return false
	}
	_, ok := l.into[l.Key(e)]
	return ok
}
