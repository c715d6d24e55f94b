package safefs

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// privateDirs are system directories that a target may have of its own, as PrivateTmp= of systemd and a
// container give it. Guard refuses those that are this host's.
var privateDirs = []string{"/tmp", "/var/tmp", "/dev/shm"}

const folderHint = "write a folder that holds nothing but the service's own files"

// CheckInside refuses a folder, as a target sees it, by its name: relative or unclean paths, the root,
// system directories and homes. What such a folder really is, a Guard says once it is open.
func CheckInside(dir string) error {
	switch {
	case !filepath.IsAbs(dir):
		return fmt.Errorf("%q is not absolute: write the whole path from /, as the service sees it", dir)
	case filepath.Clean(dir) != dir:
		return fmt.Errorf("%q is not clean: write %q", dir, filepath.Clean(dir))
	case slices.Contains(privateDirs, dir):
		return nil
	}
	for sys, deep := range systemDirs {
		if dir == sys || deep && inside(sys, dir) && !excepted(dir) {
			return fmt.Errorf("%q is a system directory: %s", dir, folderHint)
		}
	}
	if filepath.Dir(dir) == "/home" {
		return fmt.Errorf("%q is a home directory: %s", dir, folderHint)
	}
	return nil
}

// Guard knows the folders of this host that no clean-up may touch by what they are, so that it refuses
// them under whatever name a target has them.
type Guard struct {
	rootfs string
	known  map[fileID]guarded
	homes  map[string][]string // by the number of the user
}

type guarded struct {
	path string
	deep bool   // nothing below it either
	why  string // "a system directory"
}

// NewGuard looks at the system directories below rootfs, where the host's root is mounted, and at the
// exporter's own folders, which no root may be, hold or lie in.
func NewGuard(rootfs string, reserved ...string) *Guard {
	g := &Guard{rootfs: rootfs, known: make(map[fileID]guarded, len(systemDirs)), homes: homesIn(rootfs)}
	for dir, deep := range systemDirs {
		if dir == "/dev" || dir == "/usr" { // with exceptions below
			deep = false
		}
		g.add(filepath.Join(rootfs, dir), guarded{dir, deep, "a system directory of this host"})
	}
	for _, dir := range []string{"bin", "lib", "lib32", "lib64", "libexec", "sbin", "share"} {
		g.add(filepath.Join(rootfs, "usr", dir), guarded{"/usr/" + dir, true, "a system directory of this host"})
	}
	for _, dir := range reserved {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
			if at == filepath.Clean(dir) {
				g.add(at, guarded{dir, true, "the exporter's own folder"})
			} else {
				g.add(at, guarded{at, false, "a folder that holds the exporter's own"})
			}
			if at == "/" {
				break
			}
		}
	}
	return g
}

// add looks at a folder. The first reason stays, unless another one goes deeper.
func (g *Guard) add(path string, why guarded) {
	id, _, err := lookAtFolder(unix.AT_FDCWD, path)
	if _, ok := g.known[id]; err == nil && (!ok || why.deep && !g.known[id].deep) {
		g.known[id] = why
	}
}

// lookAtFolder returns what a folder is, and whose. It wakes neither an automount nor a file server.
func lookAtFolder(fd int, path string) (id fileID, uid uint32, err error) {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var st unix.Statx_t
	if err := statPath(fd, path, flags, unix.STATX_TYPE|unix.STATX_INO|unix.STATX_UID, &st); err != nil {
		return id, 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return id, 0, unix.ENOTDIR
	}
	return fileID{st.Dev_major, st.Dev_minor, st.Ino}, st.Uid, nil
}

// Through refuses a folder on the way to a root. The error has no name of the folder.
func (g *Guard) Through(fd int) error {
	id, _, err := lookAtFolder(fd, "")
	if err != nil {
		return &fs.PathError{Op: "stat", Path: "a folder on the way", Err: err}
	}
	if why, ok := g.known[id]; ok && why.deep {
		return why.refuse()
	}
	return nil
}

// Root refuses a folder as a root. The error has no name of the folder.
func (g *Guard) Root(fd int) error {
	id, uid, err := lookAtFolder(fd, "")
	if err != nil {
		return &fs.PathError{Op: "stat", Path: "the folder", Err: err}
	}
	if why, ok := g.known[id]; ok {
		return why.refuse()
	}
	for _, home := range g.homes[strconv.FormatUint(uint64(uid), 10)] { // looked at now: a home may be mounted when it is used
		if is, _, err := lookAtFolder(unix.AT_FDCWD, filepath.Join(g.rootfs, home)); err == nil && is == id {
			return (&guarded{path: home, why: "a home directory of this host"}).refuse()
		}
	}
	return nil
}

func (w *guarded) refuse() error {
	if slices.Contains(privateDirs, w.path) {
		return fmt.Errorf("is this host's own %s, which other services use too: give the service one of its own, with systemd by PrivateTmp=yes", w.path)
	}
	return errors.New("is " + w.why + ", " + w.path + ": " + folderHint)
}
