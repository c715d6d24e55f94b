package dirscan

import "errors"

// ErrAway says that a root cannot be opened at present, because the process or the pod whose folder it
// is is not there.
var ErrAway = errors.New("is not there at present")

// Opened is a root that this host has under another name, or under none, and that was opened by
// other means than its path.
type Opened struct {
	FD    int    // a descriptor for reading, to be closed by who asked for it
	Name  string // what the root is called among all others
	Of    string // which process or pod it is of: with another one it may be another folder
	Place string // where it is at present, for people
	// Owns reports whether a user is one of those whose files may be removed there; nil where all are.
	Owns func(uid uint32) bool
}
