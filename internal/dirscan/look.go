//go:build linux && !portable

package dirscan

import "golang.org/x/sys/unix"

// look looks at one name of a listing, whose kind the folder has noted: DT_UNKNOWN where it has not.
func (w *walker) look(f *frame, listed byte, name []byte) error {
	switch listed {
	case unix.DT_DIR:
		w.folder(f, name)
		return nil
	case unix.DT_LNK:
		w.link(f, name)
		return nil
	case unix.DT_REG, unix.DT_UNKNOWN:
	default:
		if w.selected(name) {
			w.res.Skipped[SkipNotRegular]++
		}
		return nil
	}
	if listed == unix.DT_REG {
		if !w.counts(f, name) {
			return nil
		}
		if w.o.CountOnly {
			w.res.Files++
			return nil
		}
	}
	if err := w.stat(f.fd, name); err != 0 {
		if err == unix.ENOENT {
			w.res.Skipped[SkipVanished]++
		} else {
			f.miss(ErrorReason(w.fail(err)))
		}
		return nil
	}
	kind := w.st.Mode & unix.S_IFMT
	switch {
	case kind == unix.S_IFDIR:
		w.folder(f, name)
	case kind == unix.S_IFLNK:
		w.link(f, name)
	case listed == unix.DT_UNKNOWN && !w.selected(name): // was not asked above
	case kind != unix.S_IFREG:
		w.res.Skipped[SkipNotRegular]++
	case listed == unix.DT_UNKNOWN && w.o.Except != nil && w.o.Except(&f.Folder, name):
	case w.mounted(f, name):
		w.res.Skipped[SkipMount]++
		f.miss(SkipMount.String())
	case w.o.CountOnly:
		w.res.Files++
	default:
		return w.file(f, name)
	}
	return nil
}

// link counts a symbolic link.
func (w *walker) link(f *frame, name []byte) {
	if w.o.Link != nil {
		w.o.Link(&f.Folder, name)
	}
	if w.selected(name) {
		w.res.Skipped[SkipSymlink]++
	}
}

// stat is Statx of an entry.
func (w *walker) stat(dirfd int, name []byte) unix.Errno {
	if w.noStatx {
		return Statx(dirfd, name, statFlags, statMask, &w.st)
	}
	return statxRaw(dirfd, name, statFlags, statMask, &w.st)
}

func (w *walker) selected(name []byte) bool { return w.o.Select == nil || w.o.Select(name) }

// counts reports whether a file is selected, by its name and its folder.
func (w *walker) counts(f *frame, name []byte) bool {
	return w.selected(name) && (w.o.Except == nil || !w.o.Except(&f.Folder, name))
}

func (w *walker) folder(f *frame, name []byte) {
	if !w.o.Recursive || w.o.Skip != nil && w.o.Skip(&f.Folder, name) {
		return
	}
	f.pending = append(append(f.pending, name...), 0)
}

// file counts the file that was just looked at.
func (w *walker) file(f *frame, name []byte) error {
	st := &w.st
	size, allocated := int64(st.Size), int64(st.Blocks)*512
	newest := max(Nanoseconds(&st.Mtime), Nanoseconds(&st.Ctime))
	if !w.entries {
		w.res.add(newest, size, allocated, w.o)
		return nil
	}
	e := &w.entry
	e.Parent, e.Name = &f.Folder, name // field by field: a literal would be made elsewhere first
	e.Ino, e.DevMajor, e.DevMinor = st.Ino, st.Dev_major, st.Dev_minor
	e.Mode, e.Nlink, e.UID, e.GID = st.Mode, st.Nlink, st.Uid, st.Gid
	e.SizeBytes, e.AllocatedBytes = size, allocated
	e.AtimeNs, e.MtimeNs, e.CtimeNs = Nanoseconds(&st.Atime), Nanoseconds(&st.Mtime), Nanoseconds(&st.Ctime)
	e.Fixed = st.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0
	w.res.addEntry(e, w.o)
	switch {
	case w.o.Visit == nil:
		return nil
	case w.share != nil:
		return w.share.visited(w.o.Visit, e)
	}
	return w.o.Visit(e)
}

// The farthest times that fit in nanoseconds with room for a difference: the years 1824 and 2116.
const farthest = 1 << 62

// Nanoseconds returns a time of statx(2) in nanoseconds since 1970. Times beyond the years 1824
// and 2116 count as those: a file of the year 2400 must not become one of 1816.
func Nanoseconds(t *unix.StatxTimestamp) int64 {
	switch sec := t.Sec; {
	case sec >= farthest/1_000_000_000:
		return farthest
	case sec <= -farthest/1_000_000_000:
		return -farthest
	}
	return t.Sec*1e9 + int64(t.Nsec)
}
