package web

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestPipeAsTokenFile: a pipe that takes the place of the token is refused at once.
func TestPipeAsTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ok, err := matchesToken(path, "x")
	if ok || err == nil || !strings.Contains(err.Error(), "is a pipe, not a file") {
		t.Errorf("%v, %v", ok, err)
	}
}
