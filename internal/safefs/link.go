package safefs

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// Noted returns what a run notes of an entry that is not one file: it is not for RemoveFound.
func Noted(path string, sizeBytes int64, why Reason) Found {
	return Found{Path: path, Identity: Identity{SizeBytes: sizeBytes}, why: why}
}

// RemoveLink removes a symbolic link that was found earlier in the run, with this text, and that leads
// nowhere by now. It is moved into the holding folder and looked at again there, so that what has taken
// its name meanwhile stays. A dry run takes it for one that will lead nowhere.
func (r *Remover) RemoveLink(path, text string) Reason {
	root, err := r.root()
	if err != nil {
		return errorReason(err)
	}
	dir, name := root, path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		name = path[i+1:]
		if dir, err = dirscan.OpenBeneath(root, path[:i]); err != nil {
			return pathReason(err)
		}
		defer unix.Close(dir)
	}
	var st unix.Statx_t
	if why := r.sameLink(dir, name, text, &st); why != Removed {
		return why
	}
	ino := st.Ino
	if r.opts.DryRun {
		r.st = st
		return r.foreseeUnlink(dir)
	}
	var to unix.Stat_t
	if err := unix.Fstatat(dir, name, &to, 0); !errors.Is(err, unix.ENOENT) {
		return Changed // it leads somewhere again
	}
	if err := r.needHolding(); err != nil {
		return errorReason(err)
	}
	as := "link-" + r.serialName()
	if err := moveTo(dir, name, r.holding, as); err != nil {
		return moveReason(err)
	}
	why := r.sameLink(r.holding, as, text, &st)
	if why == Removed && st.Ino != ino {
		why = Changed
	}
	if why == Removed {
		return unlink(r.holding, append([]byte(as), 0))
	}
	if err := moveBack(r.holding, as, dir, name); err != nil {
		return errorReason(err)
	}
	return why
}

// sameLink reports whether a name means a link with this text, whose owner's files may go.
func (r *Remover) sameLink(dir int, name, text string, st *unix.Statx_t) Reason {
	switch err := statAt(dir, append([]byte(name), 0), st); err {
	case 0:
	case unix.ENOENT:
		return Changed
	default:
		return errorReason(err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFLNK:
		return Changed
	case r.foreign(st.Uid):
		return Foreign
	case r.isOthers(st.Uid):
		return Owner
	}
	buf := make([]byte, len(text)+1)
	if n, err := unix.Readlinkat(dir, name, buf); err != nil || string(buf[:n]) != text {
		return Changed
	}
	return Removed
}
