package safefs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Trigger is an empty file that was made for another process to find, and that goes again.
type Trigger struct {
	dirfd int
	name  string
	dev   uint64
	ino   uint64
}

// PlaceTrigger makes an empty file of mode 0600 in an open folder, of a user: this process' own, or
// another where it may give files away. It fails when anything of that name is there. The folder
// must stay open until Remove.
func PlaceTrigger(dirfd int, name string, uid int) (*Trigger, error) {
	fd, err := unix.Openat(dirfd, name, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_RDONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	defer unix.Close(fd)
	t := &Trigger{dirfd: dirfd, name: name}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("look at %s, which was made and stays: %w", name, err)
	}
	t.dev, t.ino = st.Dev, st.Ino
	if int(st.Uid) != uid {
		if err := unix.Fchown(fd, uid, -1); err != nil {
			return nil, errors.Join(fmt.Errorf("give %s to user %d: %w: run as that user or as root", name, uid, err), t.Remove())
		}
	}
	return t, nil
}

// Remove removes the file if it is still the one that was made.
func (t *Trigger) Remove() error {
	var st unix.Stat_t
	err := unix.Fstatat(t.dirfd, t.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return fmt.Errorf("look at %s: %w", t.name, err)
	case st.Dev != t.dev || st.Ino != t.ino || st.Size != 0:
		return fmt.Errorf("%s is not the file that was made: it stays", t.name)
	}
	if err := unix.Unlinkat(t.dirfd, t.name, 0); err != nil {
		return fmt.Errorf("remove %s: %w", t.name, err)
	}
	return nil
}
