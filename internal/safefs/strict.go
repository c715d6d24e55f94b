package safefs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// removeStrictly moves the file into the private folder, where nobody else can exchange it, looks
// again, and removes it there. What turns out to be another file is moved back; where its name is
// taken meanwhile it stays in the private folder and is reported by Leftovers.
func (r *Remover) removeStrictly(dirfd int, name string, id Identity) Reason {
	if r.quarantine < 0 {
		fd, err := openQuarantine(r.opts.Dir)
		if err != nil {
			return errorReason(err)
		}
		r.quarantine = fd
	}
	r.serial++
	held := strconv.Itoa(os.Getpid()) + "-" + strconv.FormatUint(id.Ino, 10) + "-" + strconv.Itoa(r.serial)
	err := unix.Renameat2(dirfd, name, r.quarantine, held, unix.RENAME_NOREPLACE)
	switch err {
	case nil:
	case unix.ENOENT:
		return Changed
	default:
		return errorReason(err)
	}
	why := Changed
	if err := unix.Statx(r.quarantine, held, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statMask, &r.st); err == nil {
		why = r.compare(id, false) // the move itself has changed ctime
	}
	if why == Removed {
		return unlink(r.quarantine, held)
	}
	if err := unix.Renameat2(r.quarantine, held, dirfd, name, unix.RENAME_NOREPLACE); err != nil {
		return errorReason(err)
	}
	return why
}

// openQuarantine opens the private folder of a root and makes it where it does not exist. One
// that others own or may enter is refused.
func openQuarantine(dir string) (int, error) {
	root, err := dirscan.OpenRoot(dir)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	if err := unix.Mkdirat(root, policy.QuarantineName, 0o700); err != nil && err != unix.EEXIST {
		return -1, err
	}
	fd, err := dirscan.OpenBeneath(root, policy.QuarantineName)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if st.Mode&0o077 != 0 || int(st.Uid) != os.Geteuid() {
		unix.Close(fd)
		return -1, unix.EPERM
	}
	return fd, nil
}

// Leftovers counts the files that a killed strict run has left in the private folder of a root.
// They are never removed by themselves: which of them were due is not known any more.
func Leftovers(dir string) (n int, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, policy.QuarantineName))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the quarantine of %q: %w", dir, err)
	}
	return len(entries), nil
}
