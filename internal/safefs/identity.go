package safefs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// RootID is what a root must still be for a clean-up: whoever owns the folder above it can rename
// another one to its name, and owner, device and inode distinguish them.
type RootID struct {
	UID      uint32
	Dev, Ino uint64
}

// String names the parts as stat(1) does.
func (id RootID) String() string {
	return fmt.Sprintf("owner %d, device %d:%d, inode %d", id.UID, unix.Major(id.Dev), unix.Minor(id.Dev), id.Ino)
}

// Roots remembers which folders the roots of one configuration are: those that were there when it
// was loaded, and of each other one that which was seen first. What is remembered changes only where
// madeAnew says that the folder was made anew; else a reload makes new Roots. The nil value knows no root and accepts each. It is safe for concurrent
// use.
type Roots struct {
	appeared func(dir string, id RootID)

	mu     sync.Mutex
	loaded bool // what is seen from now on was not there at first
	known  map[string]knownRoot
}

type knownRoot struct {
	RootID
	of    string // the process or pod whose folder it is; "" for one that has a path on this host
	later bool   // it was not there when the configuration was loaded
}

// NewRoots looks at the roots as they are now. appeared, when it is not nil, is called when one that
// does not exist yet, or cannot be opened, is seen for the first time.
func NewRoots(dirs []string, appeared func(dir string, id RootID)) *Roots {
	return LookAtRoots(func(look func(dir string)) {
		for _, dir := range dirs {
			look(dir)
		}
	}, appeared)
}

// LookAtRoots is NewRoots where a root may not answer, as one whose file server is gone: each calls
// look for all roots and may return before a look has. A root that has not answered by then counts
// as one that does not exist yet.
func LookAtRoots(each func(look func(dir string)), appeared func(dir string, id RootID)) *Roots {
	r := &Roots{appeared: appeared, known: make(map[string]knownRoot)}
	each(func(dir string) {
		_ = r.Check(dir) // nothing is known yet, so that it can be missing at most: it is seen later
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loaded = true
	return r
}

// Check compares the folder that a root is now with the one that is remembered, and remembers it
// when there is none. The error is an ExchangedError for another folder, and wraps fs.ErrNotExist for none.
func (r *Roots) Check(dir string) error {
	o, err := r.open(pathOpener(dir))
	if err != nil {
		return err
	}
	unix.Close(o.FD)
	return nil
}

// pathOpener opens a root by its path.
func pathOpener(dir string) func() (dirscan.Opened, error) {
	return func() (dirscan.Opened, error) {
		fd, err := dirscan.OpenRoot(dir)
		return dirscan.Opened{FD: fd, Name: dir}, err
	}
}

// Changed returns the roots that are another folder here than they were in before, of the same process or
// pod.
func (r *Roots) Changed(before *Roots) []string {
	var out []string
	now := r.snapshot()
	for dir, was := range before.snapshot() {
		if is, ok := now[dir]; ok && is.of == was.of && is.RootID != was.RootID {
			out = append(out, dir)
		}
	}
	slices.Sort(out)
	return out
}

func (r *Roots) snapshot() map[string]knownRoot {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.known)
}

// open opens a root and compares what was opened: whatever its name means a moment later, the
// descriptor stays the folder that was remembered.
func (r *Roots) open(open func() (dirscan.Opened, error)) (dirscan.Opened, error) {
	o, err := open()
	if err != nil || r == nil {
		return o, err
	}
	if err := r.Compare(&o); err != nil {
		unix.Close(o.FD)
		return dirscan.Opened{}, err
	}
	return o, nil
}

// Compare is Check for a root that is open. As soon as it is the folder of another process or pod, the one
// that was remembered is forgotten.
func (r *Roots) Compare(o *dirscan.Opened) error {
	var st unix.Stat_t
	if err := unix.Fstat(o.FD, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: o.Name, Err: err}
	}
	is := RootID{st.Uid, uint64(st.Dev), st.Ino} //nolint:unconvert // other architectures have another type
	r.mu.Lock()
	was, ok := r.known[o.Name]
	ok = ok && was.of == o.Of
	later := r.loaded
	if !ok {
		r.known[o.Name] = knownRoot{is, o.Of, later}
	}
	r.mu.Unlock()
	switch {
	case !ok && later && r.appeared != nil && o.Of == "":
		r.appeared(o.Name, is)
		return nil
	case !ok || is == was.RootID:
		return nil
	case o.Of == "" && madeAnew(o.Name, was.RootID, is):
		r.mu.Lock()
		r.known[o.Name] = knownRoot{is, o.Of, true}
		r.mu.Unlock()
		if r.appeared != nil {
			r.appeared(o.Name, is)
		}
		return nil
	}
	return &ExchangedError{o.Name, was, is}
}

// ExchangedError says that a root is not the folder that is remembered.
type ExchangedError struct {
	Dir string
	was knownRoot
	is  RootID
}

// Error says what differs, and what to do.
func (e *ExchangedError) Error() string {
	was, is := e.was, e.is
	var what []string
	if is.UID != was.UID {
		what = append(what, fmt.Sprintf("owner %d instead of %d", is.UID, was.UID))
	}
	if is.Dev != was.Dev {
		what = append(what, fmt.Sprintf("device %d:%d instead of %d:%d", unix.Major(is.Dev), unix.Minor(is.Dev), unix.Major(was.Dev), unix.Minor(was.Dev)))
	}
	if is.Ino != was.Ino {
		what = append(what, fmt.Sprintf("inode %d instead of %d", is.Ino, was.Ino))
	}
	when := "that was there when the configuration was loaded"
	switch {
	case was.of != "":
		when = "that was first seen of " + was.of
	case was.later:
		when = "that was first seen after the configuration was loaded"
	}
	return fmt.Sprintf("the folder %q is not the one %s: %s; if this is meant, reload the configuration", e.Dir, when, strings.Join(what, ", "))
}

// Open opens the root, and the quarantine, and compares them with Options.Roots: nothing else is
// opened by its path in this run. The error wraps fs.ErrNotExist for a root that does not exist, and
// is an ExchangedError for one, or a quarantine, that is another folder. A quarantine that cannot be
// opened is reported file by file.
func (r *Remover) Open() error {
	if _, err := r.root(); err != nil {
		return err
	}
	if r.opts.Quarantine == "" {
		return nil
	}
	_, err := r.openInto()
	if exchanged := (*ExchangedError)(nil); errors.As(err, &exchanged) {
		return err
	}
	return nil
}

// root returns the descriptor of the root, which is opened once per run.
func (r *Remover) root() (int, error) {
	if r.rootFD >= 0 {
		return r.rootFD, nil
	}
	open := r.opts.OpenRoot
	if open == nil {
		open = pathOpener(r.opts.Dir)
	}
	o, err := r.opts.Roots.open(open)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(o.FD, &st); err != nil {
		unix.Close(o.FD)
		return -1, &fs.PathError{Op: "stat", Path: r.opts.Dir, Err: err}
	}
	r.rootFD, r.rootUID, r.owns, r.place = o.FD, st.Uid, o.Owns, o.Place
	r.careful = mayNotClean(o.FD, st.Uid)
	return o.FD, nil
}

// Place returns where the root is that Open has opened by other means than its path, for people; else "".
func (r *Remover) Place() string { return r.place }
