package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	longestFile = 1 << 20
	mostNames   = 1 << 16 // of a folder of links
)

// rootfs is the folder where the root of the host is mounted.
type rootfs string

// open opens a file or folder of the host. Links on the way lead where they lead on the host; the last
// part is none.
func (r rootfs) open(name string, flags int) (*os.File, error) {
	flags |= unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NOFOLLOW
	if flags&unix.O_PATH == 0 { // openat2 takes nothing that has no meaning
		flags |= unix.O_NONBLOCK | unix.O_NOCTTY
	}
	if r != "/" {
		root, err := unix.Open(string(r), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: string(r), Err: err}
		}
		defer unix.Close(root)
		fd, err := unix.Openat2(root, name, &unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM):
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
	full := filepath.Join(string(r), name)
	fd, err := unix.Open(full, flags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: full, Err: err}
	}
	return os.NewFile(uintptr(fd), full), nil
}

// openOwn opens a file below the home of a user through no link at all: a regular file of that user.
func (r rootfs) openOwn(home, name string, uid uint32) (*os.File, error) {
	dir, err := r.open(home, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	for part := range strings.SplitSeq(filepath.Dir(name), "/") {
		fd, err := unix.Openat(int(dir.Fd()), part, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		dir.Close()
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: filepath.Join(home, name), Err: err}
		}
		dir = os.NewFile(uintptr(fd), part)
	}
	defer dir.Close()
	fd, err := unix.Openat(int(dir.Fd()), filepath.Base(name), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: filepath.Join(home, name), Err: err}
	}
	f := os.NewFile(uintptr(fd), filepath.Join(home, name))
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Uid != uid {
		f.Close()
		return nil, fmt.Errorf("%s does not belong to user %d", f.Name(), uid)
	}
	return f, nil
}

// decode reads a small regular file as JSON and closes it.
func decode(f *os.File, into any) error {
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", f.Name())
	case info.Size() > longestFile:
		return fmt.Errorf("%s has %d bytes, more than the %d that are read", f.Name(), info.Size(), longestFile)
	}
	b, err := io.ReadAll(io.LimitReader(f, longestFile))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
}

// json reads a file of the host.
func (r rootfs) json(name string, into any) error {
	f, err := r.open(name, 0)
	if err != nil {
		return err
	}
	return decode(f, into)
}

// names lists a folder of the host.
func (r rootfs) names(dir string) ([]string, error) {
	f, err := r.open(dir, unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(mostNames)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return names, nil
}

// userJSON reads a file below the home of a user.
func (r rootfs) userJSON(uid uint32, name string, into any) error {
	home, err := r.home(uid)
	if err != nil {
		return err
	}
	f, err := r.openOwn(home, name, uid)
	if err != nil {
		return err
	}
	return decode(f, into)
}

// home returns the home of a user of the host, fs.ErrNotExist when it is not in its passwd file.
func (r rootfs) home(uid uint32) (string, error) {
	f, err := r.open("/etc/passwd", 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, longestFile))
	if err != nil {
		return "", err
	}
	want := strconv.FormatUint(uint64(uid), 10)
	for line := range strings.Lines(string(b)) {
		if fields := strings.Split(line, ":"); len(fields) >= 6 && fields[2] == want && filepath.IsAbs(fields[5]) {
			return fields[5], nil
		}
	}
	return "", fs.ErrNotExist
}
