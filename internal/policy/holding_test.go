package policy

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// TestSkipFolder: only our own private folder with our marker, right below the root, is not walked.
func TestSkipFolder(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	holding := func(in string, mode os.FileMode, marker func(path string) error) {
		t.Helper()
		at := filepath.Join(dir, in, HoldingName)
		if err := os.MkdirAll(at, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at+"/f", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := marker(at + "/" + HoldingMarker); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at, mode); err != nil {
			t.Fatal(err)
		}
	}
	file := func(path string) error { return os.WriteFile(path, nil, 0o600) }
	f := func(what string, want ...string) {
		t.Helper()
		var got []string
		if _, err := dirscan.Scan(t.Context(), dirscan.Options{
			Dir: dir, Recursive: true, Skip: SkipFolder, Select: func(name []byte) bool { return string(name) != HoldingMarker },
			Visit: func(e *dirscan.Entry) error {
				got = append(got, string(e.AppendPath(nil)))
				return nil
			},
		}); err != nil {
			t.Fatal(err)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
		if err := os.RemoveAll(dir + "/" + HoldingName); err != nil {
			t.Fatal(err)
		}
	}
	holding("sub", 0o700, file)
	below, own := "sub/"+HoldingName+"/f", HoldingName+"/f"
	holding("", 0o700, file)
	f("ours", below)
	holding("", 0o750, file)
	f("others may enter it", own, below)
	holding("", 0o700, func(string) error { return nil })
	f("no marker", own, below)
	holding("", 0o700, func(path string) error { return os.Symlink("f", path) })
	f("a link as marker", own, below)
	if os.Geteuid() == 0 {
		holding("", 0o700, file)
		os.Chown(dir+"/"+HoldingName+"/"+HoldingMarker, 65534, 65534)
		f("the marker of another user", own, below)
		holding("", 0o700, file)
		os.Chown(dir+"/"+HoldingName, 65534, 65534)
		f("the folder of another user", own, below)
	}
	if err := os.Symlink(dir+"/sub", dir+"/"+HoldingName); err != nil {
		t.Fatal(err)
	}
	f("a link", below)
}
