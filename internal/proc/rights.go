package proc

import (
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

// MaySignal returns nil where this process may signal a process, an fs.ErrPermission where it may not,
// and another error where that is not known. It sends the signal 0, which only asks.
func MaySignal(pid int) error {
	if err := Signals(); err != nil {
		return fmt.Errorf("%s", err) //nolint:errorlint // the call is refused to everyone: not a right that is missing
	}
	fd, err := pidfdOf(pid)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, 0, nil, 0); err != nil {
		return &fs.PathError{Op: "signal", Path: strconv.Itoa(pid), Err: err}
	}
	return nil
}
