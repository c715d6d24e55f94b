//go:build (unix && !linux) || portable

package dirscan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// This walker is for systems that have no openat2 and statx, and for the tests that hold it against
// the other one. It opens each directory as an os.Root of its own below the one above it and
// compares what it opened with what it had looked at, so that a link that is put there meanwhile is
// not followed; another device is a mount and is not entered. It knows one time of a file, its
// mtime, and no blocks: they count as the size. A Folder has no descriptor (FD is -1), one worker
// walks, and every level of a tree holds a descriptor.

const listAtOnce = 256

type portableWalker struct {
	ctx    context.Context
	o      *Options
	res    Result
	device uint64
	ticks  int
}

// Scan walks the tree once. The error is that of the root, of the context or of Visit; what could
// not be read below the root is counted in the Result instead.
func Scan(ctx context.Context, o Options) (Result, error) {
	if o.MaxDepth <= 0 {
		o.MaxDepth = defaultMaxDepth
	}
	if o.Open != nil {
		return Result{}, errors.ErrUnsupported
	}
	if o.ExceptOf != nil {
		o.Except = o.ExceptOf()
	}
	real, err := filepath.EvalSymlinks(o.Dir)
	if err != nil {
		return Result{}, err
	}
	if real != filepath.Clean(o.Dir) {
		return Result{}, fmt.Errorf("%s: %w", o.Dir, ErrSymlink)
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return Result{}, err
	}
	defer root.Close()
	w := portableWalker{ctx: ctx, o: &o}
	info, err := root.Stat(".")
	if err != nil {
		return Result{}, err
	}
	w.device, _ = device(info)
	err = w.walk(root, &Folder{fd: -1})
	if errors.Is(err, ErrStop) {
		err = nil
	}
	return w.res, err
}

func device(info fs.FileInfo) (dev, ino uint64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev), uint64(st.Ino) //nolint:unconvert // other systems have other types
	}
	return 0, 0
}

func (w *portableWalker) walk(dir *os.Root, f *Folder) error {
	w.res.Folders++
	if w.o.Enter != nil {
		w.o.Enter(f)
	}
	if err := w.list(dir, f); err != nil {
		return err
	}
	f.left()
	if w.o.Leave == nil {
		return nil
	}
	return w.o.Leave(f)
}

// list looks at all that is in a folder.
func (w *portableWalker) list(dir *os.Root, f *Folder) error {
	list, err := dir.Open(".")
	if err != nil {
		f.miss(w.fail(err))
		return nil
	}
	defer list.Close()
	for {
		entries, err := list.ReadDir(listAtOnce)
		for _, e := range entries {
			if w.ticks++; w.ticks%listAtOnce == 0 && w.ctx.Err() != nil {
				return w.ctx.Err()
			}
			w.res.Entries++
			if err := w.look(dir, f, e); err != nil {
				return err
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				f.miss(w.fail(err))
			}
			return nil
		}
	}
}

func (w *portableWalker) look(dir *os.Root, f *Folder, e fs.DirEntry) error {
	name := []byte(e.Name())
	kind := e.Type()
	if kind.IsDir() {
		return w.folder(dir, f, name)
	}
	if kind&fs.ModeSymlink != 0 && w.o.Link != nil {
		w.o.Link(f, append(name, 0)[:len(name)])
	}
	if w.o.Select != nil && !w.o.Select(name) {
		return nil
	}
	switch {
	case kind&fs.ModeSymlink != 0:
		w.res.Skipped[SkipSymlink]++
		return nil
	case !kind.IsRegular():
		w.res.Skipped[SkipNotRegular]++
		return nil
	case w.o.Except != nil && w.o.Except(f, name):
		return nil
	case w.o.CountOnly:
		w.res.Files++
		return nil
	}
	info, err := dir.Lstat(e.Name())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		w.res.Skipped[SkipVanished]++
		return nil
	case err != nil:
		f.miss(w.fail(err))
		return nil
	case !info.Mode().IsRegular():
		w.res.Skipped[SkipNotRegular]++
		return nil
	}
	return w.file(f, name, info)
}

func (w *portableWalker) folder(dir *os.Root, f *Folder, name []byte) error {
	switch {
	case !w.o.Recursive || w.o.Skip != nil && w.o.Skip(f, name):
		return nil
	case f.depth >= w.o.MaxDepth:
		w.res.Skipped[SkipDepth]++
		f.missBelow(SkipDepth.String())
		return nil
	}
	looked, err := dir.Lstat(string(name))
	if err != nil || looked.Mode()&fs.ModeSymlink != 0 {
		w.gone(f, err)
		return nil
	}
	if dev, _ := device(looked); dev != w.device {
		w.res.Skipped[SkipMount]++
		f.missBelow(SkipMount.String())
		return nil
	}
	sub, err := dir.OpenRoot(string(name))
	if err != nil {
		w.gone(f, err)
		return nil
	}
	defer sub.Close()
	opened, err := sub.Stat(".")
	if err != nil || !os.SameFile(looked, opened) { // exchanged meanwhile
		w.gone(f, err)
		return nil
	}
	return w.walk(sub, &Folder{fd: -1, parent: f, name: name, depth: f.depth + 1})
}

// gone counts a directory that is not what it was listed as.
func (w *portableWalker) gone(f *Folder, err error) {
	switch {
	case err == nil:
		w.res.Skipped[SkipSymlink]++
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		w.res.Skipped[SkipVanished]++
	default:
		f.missBelow(w.fail(err))
	}
}

func (w *portableWalker) file(f *Folder, name []byte, info fs.FileInfo) error {
	_, ino := device(info)
	mtime := info.ModTime().UnixNano()
	e := Entry{
		Parent: f, Name: name, Ino: ino, Nlink: 1, SizeBytes: info.Size(), AllocatedBytes: info.Size(),
		AtimeNs: mtime, MtimeNs: mtime, CtimeNs: mtime,
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		e.Mode, e.Nlink, e.UID, e.GID = uint16(st.Mode), uint32(st.Nlink), st.Uid, st.Gid
	}
	w.res.addEntry(&e, w.o)
	if w.o.Visit != nil {
		return w.o.Visit(&e)
	}
	return nil
}

// fail counts something that could not be read and returns why, as counters name it.
func (w *portableWalker) fail(err error) string {
	errno := unix.EIO
	errors.As(err, &errno)
	w.res.fail(errno)
	return ErrorReason(errno)
}

// Look is what a folder itself is: its identity, its owner, and when names in it changed.
type Look struct {
	DevMajor, DevMinor uint32
	Ino                uint64
	UID, GID           uint32
	MtimeNs, CtimeNs   int64
}

// Look is not to be had here: a Folder has no descriptor.
func (f *Folder) Look() (l Look, err error) { return l, errors.ErrUnsupported }
