package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	firstRead = 4096      // room for every file that the tick reads
	longest   = 128 << 10 // of a command line; what is beyond is not looked at

	longestTable = 16 << 20 // of the host's sockets
)

// reader reads files below a procfs mount into one buffer of its own, without allocating. It
// belongs to one goroutine; what it returns is valid until the next call.
type reader struct {
	root int // directory descriptor
	path []byte
	buf  []byte
	info unix.Statx_t
}

func newReader(root string) (*reader, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open procfs %q: %w: write where it is mounted, such as --path.procfs=/proc", root, err)
	}
	return &reader{root: fd, buf: make([]byte, firstRead)}, nil
}

func (r *reader) close() {
	if r.root >= 0 {
		_ = unix.Close(r.root)
		r.root = -1
	}
}

// open opens PID/name. The path is built in place: unix.Openat would allocate a copy of it.
func (r *reader) open(pid int32, name string) (int, error) {
	r.build(pid, name)
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(r.root), uintptr(unsafe.Pointer(&r.path[0])),
			unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// build puts PID/name and a NUL into path.
func (r *reader) build(pid int32, name string) {
	r.path = strconv.AppendInt(r.path[:0], int64(pid), 10)
	r.path = append(r.path, '/')
	r.path = append(r.path, name...)
	r.path = append(r.path, 0)
}

// sizeOf returns the size that PID/name has, without allocating, 0 and an error when it is not there.
func (r *reader) sizeOf(pid int32, name string) (int64, error) {
	r.build(pid, name)
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(r.root), uintptr(unsafe.Pointer(&r.path[0])), 0, unix.STATX_SIZE, uintptr(unsafe.Pointer(&r.info)), 0)
	if errno != 0 {
		return 0, errno
	}
	return int64(r.info.Size), nil
}

// file reads all of PID/name, at most limit bytes.
func (r *reader) file(pid int32, name string, limit int) ([]byte, error) {
	fd, err := r.open(pid, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	n := 0
	for {
		m, err := unix.Pread(fd, r.buf[n:], int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		}
		n += m
		if m == 0 || n >= limit {
			return r.buf[:min(n, limit)], nil
		}
		if n == len(r.buf) {
			r.buf = slices.Grow(r.buf, len(r.buf))[:2*len(r.buf)]
		}
	}
}

// readHeld reads a descriptor that stays open, from its beginning.
func (r *reader) readHeld(fd int) ([]byte, error) {
	for {
		n, err := unix.Pread(fd, r.buf, 0)
		if err == unix.EINTR { // a plain Errno, compared as such: this is the hot path
			continue
		}
		if err != nil {
			return nil, err
		}
		return r.buf[:n], nil
	}
}

// stat reads and parses PID/stat.
func (r *reader) stat(pid int32) (stat, error) {
	b, err := r.file(pid, "stat", firstRead)
	if err != nil {
		return stat{}, err
	}
	s, err := parseStat(b)
	if err != nil {
		return stat{}, fmt.Errorf("stat of process %d: %w", pid, err)
	}
	return s, nil
}

// status reads and parses PID/status.
func (r *reader) status(pid int32) (status, error) {
	b, err := r.file(pid, "status", longest)
	if err != nil {
		return status{}, err
	}
	s, err := parseStatus(b)
	if err != nil {
		return status{}, fmt.Errorf("status of process %d: %w", pid, err)
	}
	return s, nil
}

// comm returns the name of a thread.
func (r *reader) comm(pid, tid int32) ([]byte, error) {
	return r.file(pid, "task/"+strconv.Itoa(int(tid))+"/comm", firstRead)
}

// cmdline returns the arguments joined by blanks, and the length of the first, -1 when there is none.
func (r *reader) cmdline(pid int32) (line []byte, first int, err error) {
	b, err := r.file(pid, "cmdline", longest)
	if err != nil || len(b) == 0 {
		return nil, -1, err
	}
	b = bytes.TrimRight(b, "\x00")
	if first = bytes.IndexByte(b, 0); first < 0 {
		first = len(b)
	}
	for i, c := range b {
		if c == 0 {
			b[i] = ' '
		}
	}
	return b, first, nil
}

// exe returns the program file, without the mark of one that was replaced since.
func (r *reader) exe(pid int32) ([]byte, error) {
	n, err := unix.Readlinkat(r.root, strconv.Itoa(int(pid))+"/exe", r.buf)
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(r.buf[:n], []byte(" (deleted)")), nil
}

// table reads all of a large file of a process, at most longestTable bytes.
func (r *reader) table(pid int32, name string) ([]byte, error) {
	fd, err := r.open(pid, name)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, longestTable))
}

// link returns what a link of a process says.
func (r *reader) link(pid int32, name string) (string, error) {
	n, err := unix.Readlinkat(r.root, strconv.Itoa(int(pid))+"/"+name, r.buf)
	if err != nil {
		return "", err
	}
	return string(r.buf[:n]), nil
}

// links calls visit with the target of each descriptor of a process, at most so many, until it
// returns false. The bytes are valid during the call.
func (r *reader) links(pid int32, most int, visit func([]byte) bool) error {
	fd, err := unix.Openat(r.root, strconv.Itoa(int(pid))+"/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), "fd")
	defer dir.Close()
	names, err := dir.Readdirnames(most)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, name := range names {
		n, err := unix.Readlinkat(fd, name, r.buf)
		if err == nil && !visit(r.buf[:n]) {
			return nil
		}
	}
	return nil
}

// self returns the pid that this process has in the procfs mount, 0 when it has none.
func (r *reader) self() int32 {
	n, err := unix.Readlinkat(r.root, "self", r.buf)
	if err != nil {
		return 0
	}
	pid, err := strconv.ParseInt(string(r.buf[:n]), 10, 32)
	if err != nil {
		return 0
	}
	return int32(pid)
}

// gone reports whether err says that the process has ended, as opposed to one that cannot be read.
func gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }
