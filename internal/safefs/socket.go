package safefs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// RemoveSocket removes the unix socket with this name from an open folder: one that an exporter before
// this one has left there. What is not a socket, or another user's, stays, with an error. That it is
// missing is none.
func RemoveSocket(dir *os.File, name string) error {
	var st unix.Stat_t
	fd := int(dir.Fd())
	switch err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return fmt.Errorf("look at %s/%s: %w", dir.Name(), name, err)
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return fmt.Errorf("%s/%s is not a socket: move it away", dir.Name(), name)
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s/%s is a socket of the user with uid %d: move it away", dir.Name(), name, st.Uid)
	}
	if err := unix.Unlinkat(fd, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove %s/%s: %w", dir.Name(), name, err)
	}
	return nil
}
