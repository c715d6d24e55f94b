package safefs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// An olddir that is moved away, or exchanged for a link, while the log is copied: the log stays whole, and
// no copy is left, neither where the folder went nor where the link leads.
func TestOldDirIsExchanged(t *testing.T) {
	for _, link := range []bool{true, false} {
		for _, quiet := range []bool{true, false} {
			t.Run(fmt.Sprintf("link %v, idle %v", link, quiet), func(t *testing.T) {
				dir, outside := tempDir(t), tempDir(t)
				text := strings.Repeat("a line\n", 5000)
				appendTo(t, dir+"/app.log", text)
				if quiet {
					idle(t, dir+"/app.log")
				}
				got, _, err := rotateAll(t.Context(), dir, RotateOptions{OldDir: "old"}, nil, func() {
					if err := os.Rename(dir+"/old", outside+"/moved"); err != nil {
						t.Error(err)
					}
					if link {
						if err := os.Symlink(outside, dir+"/old"); err != nil {
							t.Error(err)
						}
					}
				})
				if err != nil || got["app.log"] != Moved || content(t, dir+"/app.log") != text || len(names(t, outside+"/moved")) != 0 || len(names(t, outside)) != 1 {
					t.Errorf("%v, %v: outside %v, moved %v", got, err, names(t, outside), names(t, outside+"/moved"))
				}
			})
		}
	}
}

// What is not a folder next to the log is not an olddir: nothing is written through it.
func TestOldDirIsRefused(t *testing.T) {
	for name, make := range map[string]func(dir, outside string) error{
		"link": func(dir, outside string) error { return os.Symlink(outside, dir+"/old") },
		"file": func(dir, _ string) error { return os.WriteFile(dir+"/old", nil, 0o600) },
		"fifo": func(dir, _ string) error { return unix.Mkfifo(dir+"/old", 0o600) },
	} {
		dir, outside := tempDir(t), tempDir(t)
		appendTo(t, dir+"/app.log", "a line\n")
		if err := make(dir, outside); err != nil {
			t.Fatal(err)
		}
		for _, dry := range []bool{true, false} {
			got, _, err := rotateAll(t.Context(), dir, RotateOptions{OldDir: "old", DryRun: dry}, nil, nil)
			if err != nil || got["app.log"] != Symlink || content(t, dir+"/app.log") != "a line\n" || len(names(t, outside)) != 0 {
				t.Errorf("%s, dry run %v: %v, %v", name, dry, got, err)
			}
		}
	}
}

// Where the folder cannot be given the owner of the log's folder, none is left.
func TestOldDirOfAnotherOwner(t *testing.T) {
	dir := tempDir(t)
	for path, mode := range map[string]os.FileMode{filepath.Dir(dir): 0o755, dir: 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, func() {
		fd, err := dirscan.OpenRoot(dir)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(fd)
		if err := makeLike(fd, "old"); err == nil || len(names(t, dir)) != 0 {
			t.Errorf("%v, left %v", err, names(t, dir))
		}
	})
}
