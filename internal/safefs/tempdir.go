package safefs

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// TempDir is a folder that this process has made for itself and may remove as a whole.
type TempDir struct {
	Path string
	dev  uint64
	ino  uint64
}

// NewTempDir makes a folder of mode 0700 in the host's temporary folder.
func NewTempDir(pattern string) (*TempDir, error) {
	path, err := os.MkdirTemp("", pattern)
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	return &TempDir{Path: path, dev: uint64(st.Dev), ino: st.Ino}, nil
}

// Remove removes the folder with all that is in it, provided that it is still the one that was
// made. Links in it are removed and not followed.
func (t *TempDir) Remove() error {
	var st unix.Stat_t
	if err := unix.Lstat(t.Path, &st); err != nil {
		return err
	}
	if uint64(st.Dev) != t.dev || st.Ino != t.ino {
		return fmt.Errorf("%s is not the folder that was made: it is left as it is", t.Path)
	}
	return os.RemoveAll(t.Path)
}
