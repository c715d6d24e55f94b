package safefs

import (
	"os"
	"testing"
)

func TestTempDir(t *testing.T) {
	t.Setenv("TMPDIR", tempDir(t))
	d, err := NewTempDir("demo-*")
	if err != nil {
		t.Fatal(err)
	}
	outside := tempDir(t)
	aged(t, outside+"/kept")
	aged(t, d.Path+"/sub/f")
	if err := os.Symlink(outside, d.Path+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(); err != nil || exists(d.Path) || !exists(outside+"/kept") {
		t.Errorf("remove: %v, folder there %v, file behind the link there %v", err, exists(d.Path), exists(outside+"/kept"))
	}
	other, err := NewTempDir("demo-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other.Path, other.Path+".moved"); err != nil {
		t.Fatal(err)
	}
	aged(t, other.Path+"/somebody/else")
	if err := other.Remove(); err == nil || !exists(other.Path+"/somebody/else") {
		t.Errorf("a folder that was exchanged: %v, want it left as it is", err)
	}
}
