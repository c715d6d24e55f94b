package policy

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// HoldingName is the name of the holding folder of strict removals in a root, and HoldingMarker that of
// the empty file in it which says that this program has made it. The name alone says nothing: whoever may
// write to the root can give it to a folder, or to a link, of his own.
const (
	HoldingName   = ".spillway-quarantine"
	HoldingMarker = ".made-by-spillway_exporter"
)

// SkipFolder reports whether a folder of a walk is the holding folder of its root, which is neither
// counted nor cleaned: right below the root, private, ours, and with our marker. One that only root may
// enter is skipped by everybody else, who could not count what is in it.
func SkipFolder(in *dirscan.Folder, name []byte) bool {
	if in.Depth() > 0 || string(name) != HoldingName {
		return false
	}
	fd, err := unix.Openat(in.FD(), HoldingName, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err == unix.EACCES && ownerAt(in.FD(), HoldingName) == 0
	}
	defer unix.Close(fd)
	return IsPrivate(fd) && IsMarked(fd)
}

// IsPrivate reports whether a folder belongs to this user and no one else may enter it.
func IsPrivate(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&0o077 == 0 && int(st.Uid) == os.Geteuid()
}

// IsMarked reports whether a folder holds the marker of this user.
func IsMarked(fd int) bool {
	var st unix.Stat_t
	err := unix.Fstatat(fd, HoldingMarker, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && int(st.Uid) == os.Geteuid()
}

// ownerAt returns whose a folder is, or -1.
func ownerAt(dirfd int, name string) int64 {
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return -1
	}
	return int64(st.Uid)
}
