package heap

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// checkAgentFolder makes sure that the folder of a script's socket is its user's and closed to others: whoever can
// write there can take the socket away, or exchange it.
func checkAgentFolder(root int, name string, uid uint32) error {
	fd, err := openBelow(root, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch {
	case st.Uid != uid:
		return fmt.Errorf("/%s belongs to %s and not to %s, the user of the process: remove it and restart the service", name, userName(st.Uid), userName(uid))
	case st.Mode&0o022 != 0:
		return fmt.Errorf("/%s can be written by others than %s (mode %04o): chmod 0700 it", name, userName(uid), st.Mode&0o7777)
	}
	return nil
}
