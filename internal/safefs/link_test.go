package safefs

import (
	"os"
	"testing"
	"time"
)

// TestRemoveLink: a link goes when it leads nowhere and is the one that was seen, and nothing else that has
// its name.
func TestRemoveLink(t *testing.T) {
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	link := func(name, text string) {
		t.Helper()
		if err := os.Symlink(text, dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	link("sub/gone", "../nothing")
	link("other", "nothing else")
	link("leads", "sub")
	if err := os.WriteFile(dir+"/file", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := func(dry bool, path, text string, want Reason) {
		t.Helper()
		r := NewRemover(Options{Dir: dir, DryRun: dry, Now: time.Now()})
		defer r.Close()
		if got := r.RemoveLink(path, text); got != want {
			t.Errorf("dry run %v: %s: %q, want %q", dry, path, got, want)
		}
	}
	f(true, "sub/gone", "../nothing", Removed)
	f(false, "sub/gone", "../nothing", Removed)
	f(false, "sub/gone", "../nothing", Changed)
	f(false, "other", "nothing", Changed)
	f(false, "leads", "sub", Changed)
	f(false, "file", "nothing", Changed)
	f(false, "leads/x", "nothing", Symlink)
	if _, err := os.Lstat(dir + "/sub/gone"); !os.IsNotExist(err) {
		t.Errorf("the link is still there: %v", err)
	}
	for _, name := range []string{"other", "leads", "file"} {
		if _, err := os.Lstat(dir + "/" + name); err != nil {
			t.Error(err)
		}
	}
}
