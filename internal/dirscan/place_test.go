//go:build linux && !portable

package dirscan

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLiesBeneath: a folder lies where it was found until it is moved, exchanged or mounted over, right below the root
// and further down, and when the same was asked before.
func TestLiesBeneath(t *testing.T) {
	changes := map[string]struct {
		change func(t *testing.T, at, outside string)
		want   bool
	}{
		"nothing": {func(*testing.T, string, string) {}, true},
		"moved":   {func(t *testing.T, at, outside string) { must(t, os.Rename(at, outside+"/moved")) }, false},
		"another one": {func(t *testing.T, at, outside string) {
			must(t, os.Rename(at, outside+"/moved"))
			must(t, os.Mkdir(at, 0o755))
		}, false},
		"a link to it": {func(t *testing.T, at, outside string) {
			must(t, os.Rename(at, outside+"/moved"))
			must(t, os.Symlink(outside+"/moved", at))
		}, false},
		"another mount":      {func(t *testing.T, at, _ string) { mount(t, "none", at, "tmpfs", 0, "") }, false},
		"a mount of its own": {func(t *testing.T, at, _ string) { mount(t, at, at, "", unix.MS_BIND, "") }, false},
	}
	for name, c := range changes {
		for _, path := range []string{"a", "a/b"} {
			t.Run(name+" "+path, func(t *testing.T) {
				dir, outside := tempDir(t), tempDir(t)
				must(t, os.MkdirAll(dir+"/"+path, 0o755))
				root, err := OpenRoot(dir)
				must(t, err)
				defer unix.Close(root)
				_, err = Scan(t.Context(), Options{Dir: dir, Recursive: true, Enter: func(f *Folder) {
					if got := string(f.AppendPath(nil)); got != path+"/" {
						return
					}
					if lies, _ := f.LiesBeneath(root, nil); !lies {
						t.Error("it does not lie where it was found")
					}
					c.change(t, dir+"/"+path, outside)
					if lies, _ := f.LiesBeneath(root, nil); lies != c.want {
						t.Errorf("it lies there: %v, want %v", lies, c.want)
					}
				}})
				must(t, err)
			})
		}
	}
}
