package safefs

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReplaceFile: the whole content or none; a file that does not exist is not made, and nothing is left over.
func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := ReplaceFile(path, []byte("new")); !os.IsNotExist(err) {
		t.Errorf("a file that does not exist: %v", err)
	}
	if err := os.WriteFile(path, []byte("old content"), 0o604); err != nil {
		t.Fatal(err)
	}
	before, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if err := ReplaceFile(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	info, statErr := os.Stat(path)
	if err != nil || statErr != nil || string(text) != "new" || info.Mode().Perm() != 0o604 {
		t.Errorf("%q, %v, %v, %v", text, info, err, statErr)
	}
	old := make([]byte, 20)
	if n, _ := before.Read(old); string(old[:n]) != "old content" {
		t.Errorf("whoever reads the old file reads %q", old[:n])
	}
	if err := ReplaceFile(dir, []byte("new")); err == nil {
		t.Error("a folder was replaced")
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}
