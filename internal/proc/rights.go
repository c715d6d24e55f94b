package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// MayInspect returns nil where this process may look into a process (its program, its open files and its
// root), an fs.ErrPermission where it may not, and another error where that is not known. It changes
// nothing.
func MayInspect(procfs string, pid int) error {
	dir := filepath.Join(procfs, strconv.Itoa(pid))
	f, err := os.Open(filepath.Join(dir, "fd"))
	if err != nil {
		return err
	}
	f.Close()
	_, err = os.Readlink(filepath.Join(dir, "root")) // what exe, maps and smaps_rollup take as well
	return err
}

// MaySignal returns nil where this process may signal a member of a target, an fs.ErrPermission where it may
// not, and another error where that is not known. It sends the signal 0, which only asks, to the process
// that has the number in this process' own /proc, if that is the one that is meant.
func MaySignal(m Member) error {
	if err := Signals(); err != nil {
		return fmt.Errorf("%s", err) //nolint:errorlint // the call is refused to everyone: not a right that is missing
	}
	fd, err := pidfdOf(m.PID)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := newReader("/proc")
	if err != nil {
		return err
	}
	defer r.close()
	if s, err := r.stat(int32(m.PID)); err != nil || s.start != m.startTicks {
		return fmt.Errorf("process %d: %w", m.PID, errors.Join(ErrChanged, err))
	}
	if err := unix.PidfdSendSignal(fd, 0, nil, 0); err != nil {
		return &fs.PathError{Op: "signal", Path: strconv.Itoa(m.PID), Err: err}
	}
	return nil
}
