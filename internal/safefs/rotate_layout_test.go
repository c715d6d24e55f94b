package safefs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// compressAll compresses every file of a folder and returns what became of each.
func compressAll(t *testing.T, dir string, dry bool) map[string]Reason {
	t.Helper()
	remover := NewRemover(Options{Dir: dir, MinAge: time.Minute, AgeNs: byMtime, Now: time.Now()})
	defer remover.Close()
	r := NewRotator(RotateOptions{DryRun: dry, Remover: remover})
	var found []Found
	if _, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: dir, Visit: func(e *dirscan.Entry) error {
		found = append(found, remover.Find(e))
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	out := make(map[string]Reason)
	for _, f := range found {
		_, out[f.Path] = r.Compress(t.Context(), f)
	}
	return out
}

// A log of 1 TiB with 2 MiB in it costs 2 MiB.
func TestRotateAHugeSparseLog(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		t.Run(fmt.Sprintf("compressed %v", compressed), func(t *testing.T) {
			dir := tempDir(t)
			path := dir + "/app.log"
			text := numbered(0, 1<<20)
			appendTo(t, path, text)
			f := keepOpen(t, path, os.O_WRONLY)
			if _, err := f.WriteAt([]byte(text), 1<<40-int64(len(text))); err != nil {
				t.Skipf("no file of this size here: %v", err)
			}
			f.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			got, _, err := rotateAll(ctx, dir, RotateOptions{Compress: compressed}, nil, nil)
			if err != nil || got["app.log"] != Removed {
				t.Fatalf("%v, %v", got, err)
			}
			var st unix.Stat_t
			if err := unix.Stat(path+stamp, &st); err != nil {
				t.Fatal(err)
			}
			if st.Blocks*512 > 3<<20 || st.Size < 1<<39 {
				t.Errorf("the copy has %d bytes in %d blocks", st.Size, st.Blocks)
			}
		})
	}
}

// acl returns an access list as the kernel keeps it: user 65534 may read, the group may not,
// although the mode reads 0640.
func acl() []byte {
	b := []byte{2, 0, 0, 0}
	for _, e := range []struct {
		tag, perm byte
		id        uint32
	}{{1, 6, ^uint32(0)}, {2, 4, 65534}, {4, 0, ^uint32(0)}, {16, 4, ^uint32(0)}, {32, 0, ^uint32(0)}} {
		b = append(b, e.tag, 0, e.perm, 0, byte(e.id), byte(e.id>>8), byte(e.id>>16), byte(e.id>>24))
	}
	return b
}

func xattr(path, name string) string {
	b := make([]byte, 1024)
	n, err := unix.Getxattr(path, name, b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

// What a rotation makes of a log is for those whom the log was for, and no one else.
func TestRotatedKeepsItsAccess(t *testing.T) {
	tests := []struct {
		name string
		acl  string // of the log
		dir  string // default of the folder
	}{{"mode", "", ""}, {"list", string(acl()), ""}, {"mode in a folder with a list", "", string(acl())}}
	for _, tt := range tests {
		for _, how := range []string{"copy", "copy compressed", "compress"} {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				dir := tempDir(t)
				path := dir + "/app.log"
				if how == "compress" {
					path += stamp
				}
				appendTo(t, path, "a line\n")
				old := time.Now().Add(-time.Hour)
				if err := os.Chtimes(path, old, old); err != nil {
					t.Fatal(err)
				}
				for _, x := range [][3]string{{path, "user.origin", "here"}, {path, "system.posix_acl_access", tt.acl}, {dir, "system.posix_acl_default", tt.dir}} {
					if err := unix.Setxattr(x[0], x[1], []byte(x[2]), 0); x[2] != "" && err != nil {
						t.Skipf("%s is not to be had here: %v", x[1], err)
					}
				}
				var want, got unix.Stat_t
				if err := unix.Stat(path, &want); err != nil || want.Mode&0o777 != 0o640 {
					t.Fatalf("the log: %o, %v", want.Mode, err)
				}
				if how == "compress" {
					compressAll(t, dir, false)
				} else if _, _, err := rotateAll(t.Context(), dir, RotateOptions{Compress: how == "copy compressed"}, nil, nil); err != nil {
					t.Fatal(err)
				}
				made := glob(t, dir+"/app.log.*")
				if len(made) != 1 || strings.HasSuffix(made[0], ".gz") == (how == "copy") {
					t.Fatalf("made %q", made)
				}
				if err := unix.Stat(made[0], &got); err != nil {
					t.Fatal(err)
				}
				if got.Mode != want.Mode || got.Uid != want.Uid || got.Gid != want.Gid {
					t.Errorf("%o of %d:%d, want %o of %d:%d", got.Mode, got.Uid, got.Gid, want.Mode, want.Uid, want.Gid)
				}
				if list := xattr(made[0], "system.posix_acl_access"); list != tt.acl {
					t.Errorf("%s has the list %x, want %x", filepath.Base(made[0]), list, tt.acl)
				}
				if v := xattr(made[0], "user.origin"); v != "here" {
					t.Errorf("user.origin is %q", v)
				}
			})
		}
	}
}

// Where the list cannot be kept, the copy is for its owner alone.
func TestAccessThatCannotBeKept(t *testing.T) {
	dir := tempDir(t)
	appendTo(t, dir+"/app.log", "a line\n")
	if err := unix.Setxattr(dir+"/app.log", aclAccess, acl(), 0); err != nil {
		t.Skipf("no access lists here: %v", err)
	}
	src := keepOpen(t, dir+"/app.log", os.O_RDONLY)
	bare := tempDir(t)
	withMounts(t, func() {
		if err := unix.Mount("none", bare, "ramfs", 0, ""); err != nil {
			t.Error(err)
			return
		}
		dst, err := os.OpenFile(bare+"/copy", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Error(err)
			return
		}
		defer dst.Close()
		private, err := keepAccess(int(dst.Fd()), int(src.Fd()), 0o644)
		info, statErr := dst.Stat()
		if err != nil || statErr != nil || !private || info.Mode() != 0o600 {
			t.Errorf("private %v, mode %v, %v, %v", private, info.Mode(), err, statErr)
		}
	})
}

// A rotated log with large holes is not compressed; a dry run says so too.
func TestCompressLeavesASparseLog(t *testing.T) {
	dir := tempDir(t)
	name := "app.log" + stamp
	appendTo(t, dir+"/"+name, "a line\n")
	if err := os.Truncate(dir+"/"+name, 1<<40); err != nil {
		t.Skipf("no file of this size here: %v", err)
	}
	idle(t, dir+"/"+name)
	for _, dry := range []bool{true, false} {
		if got := compressAll(t, dir, dry); got[name] != Sparse || len(names(t, dir)) != 1 {
			t.Errorf("dry run %v: %v, files %v", dry, got, names(t, dir))
		}
	}
}

// A hole in the middle that is small enough for gzip reads as the zeros that it is.
func TestCopyOfHoles(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		dir := tempDir(t)
		path := dir + "/app.log"
		appendTo(t, path, "first\n")
		if err := os.Truncate(path, 5<<20); err != nil {
			t.Fatal(err)
		}
		appendTo(t, path, "last\n")
		if err := os.Truncate(path, 10<<20); err != nil {
			t.Fatal(err)
		}
		idle(t, path)
		want := content(t, path)
		if got, _, err := rotateAll(t.Context(), dir, RotateOptions{Compress: compressed}, nil, nil); err != nil || got["app.log"] != Removed {
			t.Fatalf("%v, %v", got, err)
		}
		if made := glob(t, path+".*"); len(made) != 1 || content(t, made[0]) != want {
			t.Errorf("compressed %v: %v is not what the log was", compressed, made)
		}
	}
}

// A copy that would not fit is not begun, and a dry run says so.
func TestCopyNeedsRoom(t *testing.T) {
	onTmpfs(t, func(dir string) {
		appendTo(t, dir+"/app.log", strings.Repeat("x", 140<<20)) // of 256
		for _, dry := range []bool{true, false} {
			got, _, err := rotateAll(t.Context(), dir, RotateOptions{DryRun: dry}, nil, nil)
			if err != nil || got["app.log"] != "error_ENOSPC" || len(names(t, dir)) != 1 {
				t.Errorf("dry run %v: %v, %v, files %v", dry, got, err, names(t, dir))
			}
		}
	})
}
