package safefs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// aged writes a file whose mtime is an hour old. Its ctime is now, so tests measure by mtime.
func aged(t testing.TB, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func byMtime(e *dirscan.Entry) int64 { return e.MtimeNs }

// removeAll offers every file below dir to a Remover and returns what became of each.
func removeAll(t testing.TB, o Options, before func(*dirscan.Entry)) map[string]Reason {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.AgeNs == nil {
		o.AgeNs = byMtime
	}
	r := NewRemover(o)
	defer r.Close()
	out := make(map[string]Reason)
	_, err := dirscan.Scan(t.Context(), dirscan.Options{Dir: o.Dir, Recursive: true, Visit: func(e *dirscan.Entry) error {
		if before != nil {
			before(e)
		}
		_, why := r.Remove(e)
		out[string(e.AppendPath(nil))] = why
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestRemoveChecks(t *testing.T) {
	tests := []struct {
		name  string
		opts  Options
		setup func(t *testing.T, path string)
		swap  func(t *testing.T, path string) // between the look and the removal
		want  Reason
	}{
		{name: "an aged file goes", want: Removed},
		{name: "a young one stays", setup: func(t *testing.T, path string) {
			now := time.Now()
			os.Chtimes(path, now, now)
		}, want: TooYoung},
		{name: "young by ctime stays by default", opts: Options{AgeNs: (*dirscan.Entry).NewestNs}, want: TooYoung},
		{name: "one from the future stays", setup: func(t *testing.T, path string) {
			at := time.Now().Add(time.Hour)
			os.Chtimes(path, at, at)
		}, want: Future},
		{name: "one of 1970 goes", setup: func(t *testing.T, path string) {
			at := time.Unix(0, 0)
			os.Chtimes(path, at, at)
		}, want: Removed},
		{name: "a second link stays", setup: func(t *testing.T, path string) { os.Link(path, filepath.Join(t.TempDir(), "x")) }, want: Hardlink},
		{name: "unless links are removed", opts: Options{RemoveLinks: true}, setup: func(t *testing.T, path string) { os.Link(path, filepath.Join(t.TempDir(), "x")) }, want: Removed},
		{name: "held by a reader", setup: func(t *testing.T, path string) { keepOpen(t, path, os.O_RDONLY) }, want: InUse},
		{name: "held by a writer", setup: func(t *testing.T, path string) { keepOpen(t, path, os.O_WRONLY) }, want: InUse},
		{name: "mapped", setup: keepMapped, want: InUse},
		{name: "locked", setup: func(t *testing.T, path string) {
			f := keepOpen(t, path, os.O_RDONLY)
			if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
				t.Fatal(err)
			}
		}, want: InUse},
		{name: "written to meanwhile", swap: func(t *testing.T, path string) { os.WriteFile(path, []byte("longer than before"), 0o644) }, want: Changed},
		{name: "touched meanwhile", swap: func(t *testing.T, path string) { now := time.Now(); os.Chtimes(path, now, now) }, want: Changed},
		{name: "its mode changed meanwhile", swap: func(t *testing.T, path string) { os.Chmod(path, 0o600) }, want: Changed},
		{name: "exchanged for another file", swap: func(t *testing.T, path string) {
			aged(t, path+".new")
			os.Rename(path+".new", path)
		}, want: Changed},
		{name: "exchanged for a link", swap: func(t *testing.T, path string) {
			os.Remove(path)
			os.Symlink("/etc/passwd", path)
		}, want: Symlink},
		{name: "exchanged for a fifo", swap: func(t *testing.T, path string) {
			os.Remove(path)
			unix.Mkfifo(path, 0o644)
		}, want: NotRegular},
		{name: "exchanged for a folder", swap: func(t *testing.T, path string) {
			os.Remove(path)
			os.Mkdir(path, 0o755)
		}, want: NotRegular},
		{name: "gone meanwhile", swap: func(t *testing.T, path string) { os.Remove(path) }, want: Changed},
	}
	for _, tt := range tests {
		for _, mode := range []string{"plain", "long unchanged", "strict", "dry run"} {
			t.Run(tt.name+"/"+mode, func(t *testing.T) {
				dir := tempDir(t)
				path := filepath.Join(dir, "sub", "-f\n\xff")
				aged(t, path)
				if tt.setup != nil {
					tt.setup(t, path)
				}
				o := tt.opts
				o.Dir, o.MinAge, o.Strict, o.DryRun = dir, time.Minute, mode == "strict", mode == "dry run"
				if mode == "long unchanged" { // its name is not looked at again
					o.Now = time.Now().Add(coarsest)
				}
				swapped := false
				got := removeAll(t, o, func(*dirscan.Entry) {
					if tt.swap != nil && !swapped {
						swapped = true
						tt.swap(t, path)
					}
				})
				if why := got["sub/-f\n\xff"]; why != tt.want {
					t.Errorf("reason %q, want %q", why, tt.want)
				}
				gone := tt.want == Removed && mode != "dry run"
				if wasGone := tt.name == "gone meanwhile"; exists(path) != (!gone && !wasGone) {
					t.Errorf("the file exists: %v, want %v", exists(path), !gone)
				}
			})
		}
	}
}

func keepOpen(t *testing.T, path string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func keepMapped(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
}

func TestDryRunLeavesEveryTimeStamp(t *testing.T) {
	dir := tempDir(t)
	for _, name := range []string{"a", "sub/b", "sub/deep/held"} {
		aged(t, dir+"/"+name)
	}
	keepOpen(t, dir+"/sub/deep/held", os.O_RDONLY)
	stamps := func() map[string][3]unix.StatxTimestamp {
		out := make(map[string][3]unix.StatxTimestamp)
		for _, name := range []string{"", "a", "sub", "sub/b", "sub/deep", "sub/deep/held"} {
			var st unix.Statx_t
			if err := statPath(unix.AT_FDCWD, dir+"/"+name, 0, unix.STATX_BASIC_STATS, &st); err != nil {
				t.Fatal(err)
			}
			out[name] = [3]unix.StatxTimestamp{st.Atime, st.Mtime, st.Ctime}
		}
		return out
	}
	before := stamps()
	for _, strict := range []bool{false, true} {
		got := removeAll(t, Options{Dir: dir, DryRun: true, Strict: strict}, nil)
		if got["a"] != Removed || got["sub/b"] != Removed || got["sub/deep/held"] != InUse {
			t.Fatalf("reasons %v, want that two would be removed", got)
		}
	}
	if diff := cmp.Diff(before, stamps()); diff != "" {
		t.Errorf("a dry run changed time stamps (-before +after):\n%s", diff)
	}
}

// TestSwapWithLink exchanges a folder for a link to a folder outside, in a loop, while a hundred
// clean-ups run: nothing outside the root is ever lost.
func TestSwapWithLink(t *testing.T) {
	top := tempDir(t)
	root, outside, spare := top+"/root", top+"/outside", top+"/spare"
	for i := range 20 {
		aged(t, fmt.Sprintf("%s/f%d", outside, i))
	}
	if err := os.MkdirAll(root+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, spare); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, spare, unix.AT_FDCWD, root+"/sub", unix.RENAME_EXCHANGE)
			}
		}
	})
	removed := 0
	for i := range 100 {
		for j := range 20 { // aged files appear in whatever is the folder at present
			p := fmt.Sprintf("%s/sub/r%d-%d", root, i, j)
			if os.WriteFile(p, []byte("x"), 0o644) == nil {
				at := time.Now().Add(-time.Hour)
				os.Chtimes(p, at, at)
			}
		}
		for _, why := range removeAll(t, Options{Dir: root}, nil) {
			if why == Removed {
				removed++
			}
		}
	}
	close(stop)
	wg.Wait()
	for i := range 20 {
		if p := fmt.Sprintf("%s/f%d", outside, i); !exists(p) {
			t.Fatalf("%s is gone: it is outside the root", p)
		}
	}
	if removed == 0 {
		t.Error("nothing was removed at all: the test has tested nothing")
	}
}

// TestSwapAgedWithFresh exchanges an aged file for a fresh one in a loop: the fresh one never goes.
func TestSwapAgedWithFresh(t *testing.T) {
	dir := tempDir(t)
	for _, strict := range []bool{false, true} {
		lost := 0
		for range 300 {
			target, fresh := dir+"/target", dir+"/fresh.keep"
			aged(t, target)
			if err := os.WriteFile(fresh, []byte("content"), 0o644); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			start := make(chan struct{})
			wg.Go(func() {
				<-start
				unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, target, unix.RENAME_EXCHANGE)
			})
			removeAll(t, Options{Dir: dir, MinAge: time.Minute, Strict: strict}, func(*dirscan.Entry) {
				select {
				case <-start:
				default:
					close(start)
				}
			})
			wg.Wait()
			found := false
			for _, p := range []string{target, fresh} {
				if info, err := os.Stat(p); err == nil && time.Since(info.ModTime()) < time.Minute {
					found = true
				}
			}
			if !found {
				lost++
			}
			os.Remove(target)
			os.Remove(fresh)
		}
		// Without strict one system call lies between the last look and the removal, as docs/safety.md
		// says; with it nothing may be lost.
		if strict && lost > 0 {
			t.Errorf("strict: the fresh file was lost %d times, want never", lost)
		}
		t.Logf("strict %v: lost %d of 300", strict, lost)
	}
}

func TestRootReplacedAfterStart(t *testing.T) {
	top := tempDir(t)
	root, other := top+"/root", top+"/other"
	aged(t, root+"/a")
	aged(t, root+"/b")
	aged(t, other+"/a")
	aged(t, other+"/b")
	once := sync.OnceFunc(func() {
		os.Rename(root, top+"/moved")
		os.Symlink(other, root)
	})
	removeAll(t, Options{Dir: root}, func(*dirscan.Entry) { once() })
	if !exists(other+"/a") || !exists(other+"/b") {
		t.Error("a file behind the link that replaced the root is gone")
	}
}

func TestQuarantineOfSomebodyElse(t *testing.T) {
	dir := tempDir(t)
	aged(t, dir+"/a")
	if err := os.Mkdir(dir+"/.spillway-quarantine", 0o777); err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir+"/.spillway-quarantine", 0o777)
	if got := removeAll(t, Options{Dir: dir, Strict: true}, nil); got["a"] != "error_EPERM" || !exists(dir+"/a") {
		t.Errorf("reasons %v, want error_EPERM: others may enter the quarantine", got)
	}
}

func TestRemoveFound(t *testing.T) {
	dir := tempDir(t)
	deep := strings.Repeat("/"+strings.Repeat("d", 200), 25) // a path over 4096 bytes
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(deep[1:], "/") {
		unix.Mkdirat(fd, name, 0o755)
		next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		unix.Close(fd)
		if err != nil {
			t.Fatal(err)
		}
		fd = next
	}
	file, err := unix.Openat(fd, "f", unix.O_CREAT|unix.O_WRONLY, 0o644)
	unix.Close(fd)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(file)
	aged(t, dir+"/top")
	r := NewRemover(Options{Dir: dir, Now: time.Now().Add(time.Hour), MinAge: time.Minute})
	defer r.Close()
	var found []Found
	_, err = dirscan.Scan(t.Context(), dirscan.Options{Dir: dir, Recursive: true, Visit: func(e *dirscan.Entry) error {
		found = append(found, r.Find(e))
		return nil
	}})
	if err != nil || len(found) != 2 {
		t.Fatalf("found %d files, %v, want 2", len(found), err)
	}
	for _, f := range found {
		if _, why := r.RemoveFound(f); why != Removed {
			t.Errorf("%.20q: %q, want it removed", f.Path, why)
		}
	}
	if _, why := r.RemoveFound(found[1]); why != Changed {
		t.Errorf("a second time: %q, want changed", why)
	}
}

func TestCheckRoot(t *testing.T) {
	dir := tempDir(t)
	if err := os.MkdirAll(dir+"/ok/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(dir+"/file", nil, 0o644)
	os.Symlink(dir+"/ok", dir+"/link")
	os.MkdirAll(dir+"/open/below", 0o755)
	os.Chmod(dir+"/open", 0o777)
	f := func(path, want string) {
		t.Helper()
		err := CheckRoot(path, dir+"/journal")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("CheckRoot(%q) = %v, want %q in it", path, err, want)
		}
	}
	f(dir+"/ok", "")
	f(dir+"/ok/sub", "")
	f("/", "system directory")
	f("/etc", "system directory")
	f("/etc/cron.d", "system directory")
	f("/usr/lib", "system directory")
	f("/var/lib", "system directory")
	f("/tmp", "system directory")
	f("/proc/1", "system directory")
	f("/dev/pts", "system directory")
	f("/dev/shm", "system directory")
	f("/run/systemd/system", "system directory")
	f("/usr/local", "system directory")
	if err := CheckRoot("/dev/shm/spillway-test-missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("below /dev/shm: %v, want fs.ErrNotExist", err)
	}
	f("/home/anybody", "home directory")
	f("/root", "directory")
	f("relative", "not absolute")
	f(dir+"/ok/", "not clean")
	f(dir+"/ok/../ok", "not clean")
	f(dir+"/link", "symbolic link: write")
	f(dir+"/link/sub", "symbolic link: write")
	f(dir+"/file", "not a directory")
	f(dir+"/open/below", "everybody can write")
	f(dir+"/journal", "own folder")
	f(dir+"/journal/x", "own folder")
	f(dir, "own folder")
	os.MkdirAll(dir+"/elsewhere/journal", 0o755)
	os.Symlink(dir+"/elsewhere/journal", dir+"/to-journal")
	if err := CheckRoot(dir+"/elsewhere", dir+"/to-journal"); err == nil || !strings.Contains(err.Error(), "own folder") {
		t.Errorf("a journal behind a link: %v, want a refusal", err)
	}
	if err := CheckRoot(dir + "/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder: %v, want fs.ErrNotExist", err)
	}
}

func TestOpenFilesScan(t *testing.T) {
	root := tempDir(t)
	dir := tempDir(t)
	aged(t, dir+"/held")
	aged(t, dir+"/mapped")
	aged(t, dir+"/free")
	if err := os.MkdirAll(root+"/77/fd", 0o755); err != nil {
		t.Fatal(err)
	}
	os.Symlink(dir+"/held", root+"/77/fd/3")
	id := func(path string) Identity {
		var st unix.Statx_t
		if err := statPath(unix.AT_FDCWD, path, 0, unix.STATX_BASIC_STATS, &st); err != nil {
			t.Fatal(err)
		}
		return Identity{Ino: st.Ino, DevMajor: st.Dev_major, DevMinor: st.Dev_minor}
	}
	m := id(dir + "/mapped")
	os.WriteFile(root+"/77/maps", fmt.Appendf(nil, "nonsense\n7f00-7f01 r--p 00000000 %02x:%02x %d /x\n", m.DevMajor, m.DevMinor, m.Ino), 0o644)
	o := scanOpenFiles(root)
	if !o.holds(id(dir+"/held")) || !o.holds(m) || o.holds(id(dir+"/free")) {
		t.Errorf("open files %v: want held and mapped, not free", o.files)
	}
}

// TestLocksScan: who waits for a lock, or has locked a part, has the file open too.
func TestLocksScan(t *testing.T) {
	root := tempDir(t)
	os.MkdirAll(root+"/1", 0o755)
	os.WriteFile(root+"/locks", []byte("1: FLOCK  ADVISORY  WRITE 708 fe:00:11 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 709 fe:00:11 0 EOF\n"+
		"2: LEASE  ACTIVE    READ 710 fe:00:12 0 EOF\n3: POSIX  ADVISORY  READ 711 fe:00:13 128 128\n4: OFDLCK ADVISORY  WRITE -1 00:1a:14 0 EOF\n5: POSIX  ADVISORY  READ 711 <none>:0 0 EOF\n"), 0o644)
	o := scanOpenFiles(root)
	for _, tt := range []struct {
		id           Identity
		locked, used bool
	}{
		{Identity{Ino: 11, DevMajor: 0xfe}, true, true},
		{Identity{Ino: 12, DevMajor: 0xfe}, true, true},
		{Identity{Ino: 13, DevMajor: 0xfe}, false, true},
		{Identity{Ino: 14, DevMinor: 0x1a}, false, true},
		{Identity{Ino: 11, DevMinor: 0x1a}, false, false},
	} {
		if o.locks(tt.id) != tt.locked || o.used(tt.id) != tt.used {
			t.Errorf("%+v: locked %v, used %v; want %v and %v", tt.id, o.locks(tt.id), o.used(tt.id), tt.locked, tt.used)
		}
	}
}

func FuzzLockLine(f *testing.F) {
	f.Add([]byte("4: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF"))
	f.Add([]byte("4: -> POSIX  ADVISORY  READ -1 <none>:0 0 EOF"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, line []byte) {
		if kind, id, ok := parseLockLine(line); ok && (id.ino == 0 || kind == "") {
			t.Errorf("%q gives inode %d, kind %q", line, id.ino, kind)
		}
	})
}

func FuzzMapsLine(f *testing.F) {
	f.Add([]byte("7f0-7f1 r--p 00000000 fe:00 1234  /usr/lib/libc.so"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, line []byte) {
		if id, ok := parseMapsLine(line); ok && id.ino == 0 {
			t.Errorf("%q gives inode 0", line)
		}
	})
}

func BenchmarkRemove(b *testing.B) {
	const n = 1000
	for _, check := range []bool{true, false} {
		b.Run(map[bool]string{true: "in-use check", false: "plain"}[check], func(b *testing.B) {
			dir := tempDir(b)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for i := range n {
					aged(b, fmt.Sprintf("%s/%d", dir, i))
				}
				b.StartTimer()
				r := NewRemover(Options{Dir: dir, NoInUse: !check, MinAge: time.Minute, AgeNs: byMtime, Now: time.Now()})
				res, err := dirscan.Scan(b.Context(), dirscan.Options{Dir: dir, Visit: func(e *dirscan.Entry) error {
					if _, why := r.Remove(e); why != Removed {
						b.Fatal(why)
					}
					return nil
				}})
				if err != nil || res.Files != n {
					b.Fatal(res.Files, err)
				}
				r.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/file")
		})
	}
}
