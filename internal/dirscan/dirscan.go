package dirscan

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrStop ends the scan early, without an error, when Options.Visit returns it.
var ErrStop = errors.New("stop the scan")

// ErrSymlink says that the root, or a part of its path, is a symbolic link.
var ErrSymlink = errors.New("is reached through a symbolic link: write the path it points to")

const defaultMaxDepth = 32 << 10

// Options configure a scan. Dir is required.
type Options struct {
	Dir       string                 // root, an absolute path; with Open only what it is called
	Open      func() (Opened, error) // opens the root in place of Dir; nil = by its path
	Foreign   bool                   // the root may be of another mount namespace, whose mounts this process cannot list; set with Open
	Recursive bool                   // sub-folders too
	Select    func(name []byte) bool // which regular files count; nil = all. name is valid during the call only
	// Except says which selected files do not count after all, because of the folder that they lie in; nil = none.
	// It is asked after Select, and neither for links nor for what is not a file.
	Except func(in *Folder, name []byte) bool
	// ExceptOf makes an Except for each worker, in place of one for all, and is called before the scan begins. What
	// it makes is called by one worker only, and needs no lock for what it keeps.
	ExceptOf func() func(in *Folder, name []byte) bool
	// Skip says which sub-folders of a folder, by name, are not entered; nil = none.
	Skip      func(in *Folder, name []byte) bool
	MaxDepth  int                // levels below the root; default 32768. Deeper ones are counted in Skipped
	Age       func(*Entry) int64 // nanoseconds since 1970 that the age statistics use; default the newer of mtime and ctime
	Ages      *Histogram         // filled when not nil
	Shapes    *Shapes            // filled when not nil
	Now       time.Time          // what ages are measured against; required with Ages
	CountOnly bool               // names only: no sizes, times, Ages, Shapes or Visit, a fifth of the cost
	// Visit is called for every selected regular file, for one at a time. It may remove the entry
	// through Parent.FD(). ErrStop ends the scan, any other error aborts it.
	Visit func(*Entry) error
	// Enter is called once for every folder, the root first, before its files; nil = not. The
	// folder is valid during the call, with its descriptor. With several workers it is called on
	// all of them, also at the same time.
	Enter func(*Folder)
	// Leave is called for every folder after all that is in it, the root last; nil = not. The folder is
	// closed then, and has no descriptor. One worker walks. ErrStop ends the scan, any other error
	// aborts it.
	Leave func(*Folder) error
	// Link is called for every symbolic link, whatever its name; nil = not. Both arguments are valid
	// during the call, and name is followed by a NUL. One worker walks.
	Link func(in *Folder, name []byte)
	// Workers walk sub-folders alongside each other; default 1, on the goroutine of Scan. Two take
	// about half the time for a tree of 100,000 files and more, and the same processor time. With
	// several, Select, Except, Skip and Age are called on all of them, also at the same time.
	Workers int
}

// fileID distinguishes two directories.
type fileID struct {
	dev, ino uint64
}

// Folder is an open directory of a walk.
type Folder struct {
	fd     int
	parent *Folder
	name   []byte // followed by a NUL; without a parent the path from the root, with a slash at its end
	depth  int
	serial uint64
	self   fileID // once it was asked for, or the descriptor was given up
	lacks  string // see Lacks
	below  string
}

// FD returns the directory's descriptor, valid during Visit.
func (f *Folder) FD() int { return f.fd }

// Serial distinguishes folders that a walk has at the same address, one after the other.
func (f *Folder) Serial() uint64 { return f.serial }

// Depth returns how many levels below the root the folder is; the root itself is 0.
func (f *Folder) Depth() int { return f.depth }

// Lacks returns why a file in the folder was not seen by Options.Visit, by the name that counters use:
// a mount, an error. "" when all were seen. It is complete when the folder is left.
func (f *Folder) Lacks() string { return f.lacks }

// LacksBelow is Lacks for the folder with all that is below it.
func (f *Folder) LacksBelow() string { return cmp.Or(f.lacks, f.below) }

// miss notes why a file was not seen. The first reason stays.
func (f *Folder) miss(why string) { f.lacks = cmp.Or(f.lacks, why) }

// missBelow notes why a sub-folder, or something in it, was not seen.
func (f *Folder) missBelow(why string) { f.below = cmp.Or(f.below, why) }

// left notes in the folder above what a folder that is left lacks.
func (f *Folder) left() {
	if f.parent != nil {
		f.parent.missBelow(f.LacksBelow())
	}
}

// Parent returns the folder above; nil for the root.
func (f *Folder) Parent() *Folder { return f.parent }

// Name returns the name of a folder below the root; it is valid as long as the folder.
func (f *Folder) Name() []byte { return f.name }

// AppendPath appends the path relative to the root, with a slash at its end; nothing for the
// root itself.
func (f *Folder) AppendPath(dst []byte) []byte {
	size, top := 0, f
	for ; top.parent != nil; top = top.parent {
		size += len(top.name) + 1
	}
	dst = append(dst, top.name...)
	dst = slices.Grow(dst, size)
	end := len(dst) + size
	dst = dst[:end]
	for up := f; up.parent != nil; up = up.parent { // from the end: a recursion would be as deep as the tree
		end--
		dst[end] = '/'
		end -= len(up.name)
		copy(dst[end:], up.name)
	}
	return dst
}

// Entry is one regular file. It and its Name are valid during Visit only.
type Entry struct {
	Parent         *Folder
	Name           []byte
	Ino            uint64
	DevMajor       uint32
	DevMinor       uint32
	Mode           uint16
	Nlink          uint32
	UID, GID       uint32
	SizeBytes      int64
	AllocatedBytes int64
	AtimeNs        int64
	MtimeNs        int64
	CtimeNs        int64
	Fixed          bool // immutable or append only (chattr(1)): the kernel would not remove it
}

// NewestNs returns the newer of mtime and ctime: a file that was just moved in is young.
func (e *Entry) NewestNs() int64 { return max(e.MtimeNs, e.CtimeNs) }

// AppendPath appends the path of the entry relative to the root.
func (e *Entry) AppendPath(dst []byte) []byte {
	return append(e.Parent.AppendPath(dst), e.Name...)
}

// Reason says why something was passed over.
type Reason uint8

// The reasons of a scan.
const (
	SkipSymlink    Reason = iota // a symbolic link
	SkipMount                    // a mount below the root
	SkipNotRegular               // a fifo, socket or device
	SkipDepth                    // a directory deeper than MaxDepth
	SkipVanished                 // gone between the listing and the look at it
	SkipError                    // anything else; Errnos says what
	reasons
)

var reasonNames = [reasons]string{"symlink", "mount", "not_regular", "too_deep", "vanished", "error"}

// String returns the name used in counters.
func (r Reason) String() string { return reasonNames[r] }

// Result is what a scan saw.
type Result struct {
	Files          int64 // selected regular files
	EmptyFiles     int64
	SizeBytes      int64 // apparent
	AllocatedBytes int64
	OldestNs       int64 // by Options.Age; 0 when there are no files
	NewestNs       int64
	Folders        int64 // directories read, the root included
	Entries        int64 // directory entries seen
	Skipped        [reasons]int64
	Errnos         map[unix.Errno]int64 // what SkipError was
}

// SkippedByReason returns the counts that are not 0 by the names that counters use.
func (r *Result) SkippedByReason() map[string]int64 {
	out := make(map[string]int64)
	for i, n := range r.Skipped {
		if n > 0 && Reason(i) != SkipError && Reason(i) != SkipVanished {
			out[Reason(i).String()] = n
		}
	}
	for errno, n := range r.Errnos {
		out[ErrorReason(errno)] += n
	}
	return out
}

// ErrorReason returns the counter name of an errno: error_EACCES.
func ErrorReason(errno unix.Errno) string {
	if name := unix.ErrnoName(errno); name != "" {
		return "error_" + name
	}
	return "error_" + strconv.Itoa(int(errno))
}

// addEntry counts a file.
func (r *Result) addEntry(e *Entry, o *Options) {
	at := e.NewestNs()
	if o.Age != nil {
		at = o.Age(e)
	}
	r.add(at, e.SizeBytes, e.AllocatedBytes, o)
	if o.Shapes != nil {
		o.Shapes.Add(e)
	}
}

// add counts a file by its sizes and the time that its age is measured from.
func (r *Result) add(at, size, allocated int64, o *Options) {
	if r.Files == 0 || at < r.OldestNs {
		r.OldestNs = at
	}
	r.NewestNs = max(r.NewestNs, at)
	r.Files++
	if size == 0 {
		r.EmptyFiles++
	}
	r.SizeBytes += size
	r.AllocatedBytes += allocated
	if o.Ages != nil {
		o.Ages.Add(o.Now.UnixNano()-at, size, allocated)
	}
}

// fail counts something that could not be read.
func (r *Result) fail(errno unix.Errno) {
	r.Skipped[SkipError]++
	if r.Errnos == nil {
		r.Errnos = make(map[unix.Errno]int64)
	}
	r.Errnos[errno]++
}
