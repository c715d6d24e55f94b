//go:build linux && !portable

package dirscan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	direntBuffer = 16 << 10 // some 400 names: what the kernel has read for the listing is still in the processor's cache when each is looked at
	heldLevels   = 64       // directories held open, alongside the root; those further up are reopened
	deepBuffer   = 4 << 10  // of the listings of levels further down, so that a deep tree costs no more memory
	checkEvery   = 256      // entries between two looks at the context
)

// OpenRoot opens a root for a walk: a directory whose path holds no symbolic link. The error
// wraps fs.ErrNotExist when it does not exist, and is ErrSymlink for a link.
func OpenRoot(dir string) (fd int, err error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOATIME,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	name, err := unix.ByteSliceFromString(dir)
	if err == nil {
		fd, err = open(unix.AT_FDCWD, name, how)
	}
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, unix.ELOOP):
		return -1, fmt.Errorf("%s: %w", dir, ErrSymlink)
	default:
		return -1, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
}

// openat2 opens a name that ends with a NUL. It retries without O_NOATIME where that is not
// permitted (another user's directory) and after EINTR and EAGAIN (a rename went on elsewhere).
// Unlike the wrapper of x/sys it copies nothing to the heap.
func openat2(dirfd int, name []byte, how unix.OpenHow) (int, error) {
	for range 16 {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT2, uintptr(dirfd), uintptr(unsafe.Pointer(unsafe.SliceData(name))),
			uintptr(unsafe.Pointer(&how)), unix.SizeofOpenHow, 0, 0)
		switch {
		case errno == 0:
			return int(fd), nil
		case errno == unix.EPERM && how.Flags&unix.O_NOATIME != 0:
			how.Flags &^= unix.O_NOATIME
		case errno == unix.EINTR || errno == unix.EAGAIN:
		default:
			return -1, errno
		}
	}
	return -1, unix.EAGAIN
}

var childHow = unix.OpenHow{
	Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOATIME,
	Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
}

// Scan walks the tree once. The error is that of the root, of the context or of Visit; what could
// not be read below the root is counted in the Result instead.
func Scan(ctx context.Context, o Options) (Result, error) {
	if o.Open != nil {
		root, err := o.Open()
		if err != nil {
			return Result{}, err
		}
		o.Foreign = true
		return ScanFD(ctx, root.FD, o)
	}
	fd, err := OpenRoot(o.Dir)
	if err != nil {
		return Result{}, err
	}
	return ScanFD(ctx, fd, o)
}

// longestPath is how much of a path is resolved at once; the kernel takes 4096 bytes.
const longestPath = 3 << 10

// OpenBeneath opens a directory below an open root by its relative path, as the walk does: no
// link, no mount, nothing outside.
func OpenBeneath(root int, path string) (int, error) {
	name, err := unix.ByteSliceFromString(path)
	if err != nil {
		return -1, err
	}
	return openBeneath(root, name, childHow)
}

// lookHow opens a directory like childHow, only to see which one it is.
var lookHow = unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: childHow.Resolve}

// LiesBeneath reports whether a folder of a walk still lies where the walk found it: whether its path
// from the root leads to it, through no link and over no mount. A folder that was moved out stays
// open, and what is removed in it is removed at its new place. path is overwritten, and returned to be
// used again.
func (f *Folder) LiesBeneath(root int, path []byte) (bool, []byte) {
	if f.depth == 0 {
		return true, path
	}
	if f.self == (fileID{}) { // what is open stays what it is, wherever it is moved
		var err error
		if f.self, err = identify(f.fd); err != nil {
			return false, path
		}
	}
	path = f.AppendPath(path[:0])
	path[len(path)-1] = 0 // the last slash
	if f.depth == 1 {
		if is, ok := isAt(root, path, f.self); ok {
			return is, path
		}
	}
	fd, err := openBeneath(root, path, lookHow)
	if err != nil {
		return false, path
	}
	defer unix.Close(fd)
	there, err := identify(fd)
	return err == nil && there == f.self, path
}

// isAt reports whether a name in a folder, with its NUL, means this folder, by one call in place of three: with one
// name there is no way on which a link could lie. A link in its place is another file, and a mount on it is said
// to be one. ok is false where the kernel does not say that.
func isAt(dirfd int, name []byte, id fileID) (is, ok bool) {
	if statxRefused() {
		return false, false
	}
	var st unix.Statx_t
	if errno := statxRaw(dirfd, name, statFlags, unix.STATX_TYPE|unix.STATX_INO, &st); errno != 0 {
		return false, errno == unix.ENOENT
	}
	if st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return false, false
	}
	there := fileID{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino}
	return there == id && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0, true
}

// openBeneath is OpenBeneath for a path that ends with a NUL; it overwrites path.
func openBeneath(root int, path []byte, how unix.OpenHow) (int, error) {
	dir := root
	for {
		rest := []byte(nil)
		if len(path) > longestPath {
			if cut := bytes.LastIndexByte(path[:longestPath], '/'); cut > 0 { // else the kernel refuses the name
				path[cut], rest = 0, path[cut+1:]
			}
		}
		next, err := open(dir, path, how)
		if dir != root {
			unix.Close(dir)
		}
		if err != nil || rest == nil {
			return next, err
		}
		dir, path = next, rest
	}
}
