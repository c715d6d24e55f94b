package hostfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ReadFile reads a regular file, and one byte more than limit where it is longer. Anything else is
// refused at once: a pipe would be waited for until someone writes to it. Links are followed.
func ReadFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path) // before the open, which a pipe's writer would notice
	if err == nil {
		err = regular(path, info)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if err := regular(path, info); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// regular refuses what is not a file. The error unwraps to what it is.
func regular(path string, info fs.FileInfo) error {
	what := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		what = "is a folder"
	case mode&fs.ModeNamedPipe != 0:
		what = "is a pipe"
	case mode&fs.ModeSocket != 0:
		what = "is a socket"
	default:
		what = "is a device"
	}
	return &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%s, not a file", what)}
}
