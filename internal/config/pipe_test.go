package config

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPipeAsFile: a pipe in place of the configuration is refused at once, not after the time that a
// file server has.
func TestPipeAsFile(t *testing.T) {
	path := t.TempDir() + "/spillway.yml"
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, err := Load(path)
	if err == nil || !strings.Contains(err.Error(), "is a pipe, not a file") || time.Since(begin) > answerLimit/2 {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}
