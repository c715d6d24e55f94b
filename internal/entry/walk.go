package entry

import (
	"cmp"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// Kept is what an entry lacks when something in it is kept: all of it goes or nothing.
const Kept = "kept"

// Entry is one entry of a policy. Embedded is what it looks like as one file: the sums of the sizes, the
// newest of the times, and the owner of the directory or of the first file. It is valid during the visit.
type Entry struct {
	dirscan.Entry

	Files   int64 // regular files in it
	Dir     bool
	Group   []byte // what its files have in common; the name for other entries
	Members []Member

	UsedNs  int64  // when a file in it was last used, as Options.File has said; 0 = not known
	Lacks   string // why something in it was not seen, as dirscan.Folder has it, or Kept; "" = all was
	Refused string // the first reason that Options.File gave against it

	File *dirscan.Entry // that a walk found, of an entry that is one file by itself; else nil
}

// Options configure a Walker. Policy and Names are required.
type Options struct {
	Policy  *policy.Common
	Names   *policy.Names
	Members bool // entries of several files have their Members
	// File, when set, is asked about every file of an entry: when it was last used, in nanoseconds
	// since 1970 or 0, and why the entry may not go because of it, or "".
	File  func(*dirscan.Entry) (usedNs int64, refused string)
	Links *Links // notes the links of the walk; nil = they are not read
}

// Walker walks over the entries of one policy, one scan at a time.
type Walker struct {
	opts    Options
	group   func(name []byte) []byte
	depth   int // of the entries that are directories; 0 = they are files
	visit   func(*Entry) error
	age     func(*dirscan.Entry) int64
	entry   Entry
	passing bool     // through a directory at the depth of the entries whose name is not the policy's
	tables  []*table // of the folders on the way down, by their depth
	res     dirscan.Result
	outside int64
}

// NewWalker returns a Walker. The policy has been validated.
func NewWalker(o Options) (*Walker, error) {
	w := &Walker{opts: o}
	if o.Policy.EntriesAreDirs() {
		w.depth = max(o.Policy.Depth, 1)
	}
	var err error
	w.group, err = o.Policy.Grouper()
	return w, err
}

// Wrap returns the options of a scan over entries: visit is called for each, in place of o.Visit.
// o.Select is asked for the names that the policy's globs are about. Result completes the result.
func (w *Walker) Wrap(o dirscan.Options, visit func(*Entry) error) dirscan.Options {
	w.visit, w.age, w.res, w.outside = visit, o.Age, dirscan.Result{}, 0
	if w.age == nil {
		w.age = (*dirscan.Entry).NewestNs
	}
	w.tables = w.tables[:0]
	o.Workers = 1
	if w.opts.Links != nil {
		o.Link = w.opts.Links.Add
	}
	switch {
	case w.depth > 0:
		w.wrapDirs(&o)
	case w.group != nil:
		o.Visit, o.Leave = w.addToGroup, w.leaveGroups
	default:
		o.Visit = w.single
	}
	return o
}

// Outside returns how many files of the last scan lie above the depth of the entries.
func (w *Walker) Outside() int64 { return w.outside }

// Result returns the result of a scan with entries in place of files.
func (w *Walker) Result(res dirscan.Result) dirscan.Result {
	own := &w.res
	res.Files, res.EmptyFiles, res.SizeBytes, res.AllocatedBytes = own.Files, own.EmptyFiles, own.SizeBytes, own.AllocatedBytes
	res.OldestNs, res.NewestNs = own.OldestNs, own.NewestNs
	if w.depth > 0 { // they are parts of entries
		res.Skipped[dirscan.SkipSymlink], res.Skipped[dirscan.SkipNotRegular] = 0, 0
	}
	return res
}

// finish counts an entry and visits it.
func (w *Walker) finish(e *Entry) error {
	at, res := w.age(&e.Entry), &w.res
	if res.Files == 0 || at < res.OldestNs {
		res.OldestNs = at
	}
	if res.Files == 0 || at > res.NewestNs {
		res.NewestNs = at
	}
	res.Files++
	if e.SizeBytes == 0 {
		res.EmptyFiles++
	}
	res.SizeBytes += e.SizeBytes
	res.AllocatedBytes += e.AllocatedBytes
	if w.visit == nil {
		return nil
	}
	return w.visit(e)
}

// single visits a file that is an entry by itself.
func (w *Walker) single(f *dirscan.Entry) error {
	w.entry = Entry{Entry: *f, Files: 1, Group: f.Name, File: f}
	w.entry.UsedNs, w.entry.Refused = w.look(f)
	return w.finish(&w.entry)
}

func (w *Walker) look(f *dirscan.Entry) (usedNs int64, refused string) {
	if w.opts.File == nil {
		return 0, ""
	}
	return w.opts.File(f)
}

// wrapDirs makes a scan one over directories.
func (w *Walker) wrapDirs(o *dirscan.Options) {
	selects, skip, enter := o.Select, o.Skip, o.Enter
	o.Select = nil // all that is in an entry is a part of it
	o.Skip = func(in *dirscan.Folder, name []byte) bool {
		switch {
		case skip != nil && skip(in, name):
			if in.Depth() >= w.depth {
				w.entry.Lacks = cmp.Or(w.entry.Lacks, Kept)
			}
			return true
		case w.opts.Links == nil && in.Depth()+1 == w.depth:
			return selects != nil && !selects(name)
		}
		return false
	}
	if except := o.Except; except != nil {
		o.Except = func(in *dirscan.Folder, name []byte) bool {
			if !except(in, name) {
				return false
			}
			if in.Depth() >= w.depth {
				w.entry.Lacks = cmp.Or(w.entry.Lacks, Kept)
			}
			return true
		}
	}
	o.Enter = func(f *dirscan.Folder) {
		if f.Depth() <= w.depth { // for its links it is walked, whatever its name
			w.passing = f.Depth() == w.depth && w.opts.Links != nil && selects != nil && !selects(f.Name())
		}
		if w.passing {
			return
		}
		if enter != nil {
			enter(f)
		}
		w.enterDir(f)
	}
	o.Visit = func(f *dirscan.Entry) error {
		switch {
		case w.passing:
		case f.Parent.Depth() < w.depth:
			w.outside++
		default:
			w.addToDir(f)
		}
		return nil
	}
	o.Leave = func(f *dirscan.Folder) error {
		switch {
		case f.Depth() == w.depth && w.passing:
			w.passing = false
			return nil
		case f.Depth() != w.depth:
			return nil
		}
		e := &w.entry
		e.Parent, e.Name, e.Group = f.Parent(), f.Name(), f.Name()
		e.Lacks = cmp.Or(e.Lacks, f.LacksBelow())
		return w.finish(e)
	}
}

// enterDir begins an entry, or adds a directory to it: a name that came or went in it is a change of the
// whole.
func (w *Walker) enterDir(f *dirscan.Folder) {
	if f.Depth() < w.depth {
		return
	}
	e := &w.entry
	if f.Depth() == w.depth {
		*e = Entry{Dir: true, Entry: dirscan.Entry{Mode: unix.S_IFREG, Nlink: 1}}
	}
	look, err := f.Look()
	if err != nil {
		e.Lacks = cmp.Or(e.Lacks, errorReason(err))
		return
	}
	if f.Depth() == w.depth {
		e.DevMajor, e.DevMinor, e.Ino, e.UID, e.GID = look.DevMajor, look.DevMinor, look.Ino, look.UID, look.GID
		e.MtimeNs, e.CtimeNs = look.MtimeNs, look.CtimeNs
	}
	e.MtimeNs, e.CtimeNs = max(e.MtimeNs, look.MtimeNs), max(e.CtimeNs, look.CtimeNs)
}

func errorReason(err error) string {
	errno := unix.EIO
	errors.As(err, &errno)
	return dirscan.ErrorReason(errno)
}

// addToDir adds a file to the directory that is walked.
func (w *Walker) addToDir(f *dirscan.Entry) {
	e := &w.entry
	used, refused := w.look(f)
	if e.Refused == "" && refused != "" {
		e.Refused, e.UID = refused, f.UID
	}
	e.UsedNs = max(e.UsedNs, used)
	e.add(f)
}

// add adds a file to what the entry is as one. The times of the first file of all are set before.
func (e *Entry) add(f *dirscan.Entry) {
	if e.Files == 0 {
		e.AtimeNs = f.AtimeNs
	}
	e.Files++
	e.SizeBytes += f.SizeBytes
	e.AllocatedBytes += f.AllocatedBytes
	e.AtimeNs, e.MtimeNs, e.CtimeNs = max(e.AtimeNs, f.AtimeNs), max(e.MtimeNs, f.MtimeNs), max(e.CtimeNs, f.CtimeNs)
}
