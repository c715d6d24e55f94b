package safefs

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// madeAnew reports whether a folder that is not the one that was remembered is the same in another life: it
// has the same owner and lies on the same device, and only root, or this program, can have put it
// there. systemd makes RuntimeDirectory= anew like this each time a service starts.
func madeAnew(dir string, was, is RootID) bool {
	return is.UID == was.UID && is.Dev == was.Dev && onlyRootChanges(filepath.Dir(dir), is.UID)
}

// onlyRootChanges looks at a folder and at all above it as ssh does at those of a key: each belongs to
// root, or to this user where that is not the service itself, and neither its group nor others may write
// to it. An access list shows in the bits of the group. The sticky bit does not help: it keeps no one from
// taking a name that is free at the moment.
func onlyRootChanges(dir string, service uint32) bool {
	me := uint32(unix.Geteuid())
	for up := dir; ; up = filepath.Dir(up) {
		var st unix.Stat_t
		switch err := unix.Lstat(up, &st); {
		case err != nil, st.Mode&unix.S_IFMT != unix.S_IFDIR, st.Mode&0o022 != 0:
			return false
		case st.Uid != 0 && (st.Uid != me || me == service):
			return false
		case up == "/":
			return true
		}
	}
}
