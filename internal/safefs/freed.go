package safefs

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxGone bounds how many removed files are kept in memory until it is asked which of them are held.
const maxGone = 1 << 17

// gone are the files that a run has removed. Their blocks are given back with the last descriptor that
// means them; one that was opened with O_PATH does not stand in the way of a lease.
type gone struct {
	files []goneFile
	held  int64 // bytes of those that are forgotten
}

type goneFile struct {
	id    fileID
	freed int64
}

// gives notes a file that was removed, and returns what that is thought to have freed.
func (r *Remover) gives(id Identity, freed int64) int64 {
	if freed == 0 || r.opts.DryRun {
		return freed
	}
	if len(r.gone.files) >= maxGone {
		r.gone.held = r.Held()
		r.gone.files = r.gone.files[:0]
	}
	r.gone.files = append(r.gone.files, goneFile{fileID{id.DevMajor, id.DevMinor, id.Ino}, freed})
	return freed
}

// Held returns how much of what the run has removed is not free, because a process, as far as this
// user may see them, still holds the file.
func (r *Remover) Held() int64 {
	held := r.gone.held
	if len(r.gone.files) == 0 {
		return held
	}
	open := scanDeleted(r.look.procRoot)
	if len(open) == 0 {
		return held
	}
	for _, f := range r.gone.files {
		if open[f.id] {
			held += f.freed
		}
	}
	return held
}

// scanDeleted returns the regular files without a name that processes have open, in whatever way.
func scanDeleted(procRoot string) map[fileID]bool {
	out := make(map[fileID]bool)
	pids, err := os.ReadDir(procRoot)
	if err != nil {
		return out
	}
	var st unix.Statx_t
	for _, p := range pids {
		if strings.Trim(p.Name(), "0123456789") != "" {
			continue
		}
		dir := filepath.Join(procRoot, p.Name(), "fd")
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // gone, or not ours to look into
		}
		for _, fd := range fds {
			err := statPath(unix.AT_FDCWD, filepath.Join(dir, fd.Name()), unix.AT_STATX_DONT_SYNC, unix.STATX_INO|unix.STATX_TYPE|unix.STATX_NLINK, &st)
			if err == nil && st.Nlink == 0 && st.Mode&unix.S_IFMT == unix.S_IFREG {
				out[fileID{st.Dev_major, st.Dev_minor, st.Ino}] = true
			}
		}
	}
	return out
}
