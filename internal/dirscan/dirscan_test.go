//go:build linux && !portable

package dirscan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func write(t testing.TB, path string, size int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
}

func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// paths scans and returns the relative paths that were visited, sorted.
func paths(t *testing.T, o Options) ([]string, Result) {
	t.Helper()
	var out []string
	o.Visit = func(e *Entry) error {
		out = append(out, string(e.AppendPath(nil)))
		return nil
	}
	res, err := Scan(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out, res
}

func TestScan(t *testing.T) {
	dir := tempDir(t)
	write(t, dir+"/a.wav", 10)
	write(t, dir+"/b.wav", 0)
	write(t, dir+"/c.txt", 5)
	write(t, dir+"/sub/deep/d.wav", 5000)
	write(t, dir+"/"+strings.Repeat("n", 250)+".wav", 1)
	write(t, dir+"/-rf\n\xff\xfe.wav", 1)
	for _, link := range []string{"link.wav", "sub/dirlink"} {
		if err := os.Symlink("/etc", filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(dir+"/fifo.wav", 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s.wav"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Mkdir(dir+"/folder.wav", 0o755); err != nil {
		t.Fatal(err)
	}
	wav := func(name []byte) bool { return strings.HasSuffix(string(name), ".wav") }

	got, res := paths(t, Options{Dir: dir, Recursive: true, Select: wav})
	want := []string{"-rf\n\xff\xfe.wav", "a.wav", "b.wav", strings.Repeat("n", 250) + ".wav", "sub/deep/d.wav"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("visited (-want +got):\n%s", diff)
	}
	if res.Files != 5 || res.EmptyFiles != 1 || res.SizeBytes != 5012 || res.AllocatedBytes == 0 || res.Folders != 4 {
		t.Errorf("result = %+v", res)
	}
	wantSkipped := map[string]int64{"symlink": 1, "not_regular": 2}
	if diff := cmp.Diff(wantSkipped, res.SkippedByReason()); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	got, _ = paths(t, Options{Dir: dir, Select: wav})
	if len(got) != 4 {
		t.Errorf("not recursive: %q, want the 4 files of the root", got)
	}
	count, err := Scan(t.Context(), Options{Dir: dir, Recursive: true, Select: wav, CountOnly: true})
	if err != nil || count.Files != 5 {
		t.Errorf("count only: %d, %v, want 5", count.Files, err)
	}
	deep := func(in *Folder, name []byte) bool { return in.Depth() == 2 || string(name) == "a.wav" }
	got, res = paths(t, Options{Dir: dir, Recursive: true, Select: wav, Except: deep})
	if diff := cmp.Diff(want[:1], got[:1]); diff != "" || len(got) != 3 || res.Files != 3 || res.SkippedByReason()["symlink"] != 1 {
		t.Errorf("with exceptions: %q, %+v", got, res)
	}
	count, err = Scan(t.Context(), Options{Dir: dir, Recursive: true, Select: wav, Except: deep, CountOnly: true})
	if err != nil || count.Files != 3 {
		t.Errorf("count only, with exceptions: %d, %v, want 3", count.Files, err)
	}
}

func TestScanRoot(t *testing.T) {
	dir := tempDir(t)
	write(t, dir+"/real/a", 1)
	if err := os.Symlink(dir+"/real", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	f := func(root string, want error) {
		t.Helper()
		if _, err := Scan(t.Context(), Options{Dir: root}); !errors.Is(err, want) {
			t.Errorf("Scan(%q) = %v, want %v", root, err, want)
		}
	}
	f(dir+"/missing", fs.ErrNotExist)
	f(dir+"/link", ErrSymlink)
	f(dir+"/real/a", unix.ENOTDIR)
}

func TestScanStopsAtMounts(t *testing.T) {
	dir := tempDir(t)
	write(t, dir+"/a", 1)
	for _, name := range []string{"tmpfs", "bind", "elsewhere"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir+"/elsewhere/kept", 1)
	if err := unix.Mount("none", dir+"/tmpfs", "tmpfs", 0, ""); err != nil {
		t.Skipf("mounting is not permitted here: %v", err)
	}
	defer unix.Unmount(dir+"/tmpfs", unix.MNT_DETACH)
	write(t, dir+"/tmpfs/b", 1)
	if err := unix.Mount(dir+"/elsewhere", dir+"/bind", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir+"/bind", unix.MNT_DETACH)
	got, res := paths(t, Options{Dir: dir, Recursive: true})
	if diff := cmp.Diff([]string{"a", "elsewhere/kept"}, got); diff != "" {
		t.Errorf("visited (-want +got):\n%s", diff)
	}
	if n := res.Skipped[SkipMount]; n != 2 {
		t.Errorf("%d mounts were counted, want 2", n)
	}
	if got, _ := paths(t, Options{Dir: dir + "/tmpfs", Recursive: true}); len(got) != 1 {
		t.Errorf("a root that is a mount of its own: %q, want its file", got)
	}
}

// TestScanDeep walks 20,000 nested directories with 256 descriptors.
func TestScanDeep(t *testing.T) {
	const depth = 20_000
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = min(256, limit.Max)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	dir := tempDir(t)
	t.Cleanup(func() { // os.RemoveAll holds a descriptor for every level
		if out, err := exec.Command("rm", "-rf", dir+"/d").CombinedOutput(); err != nil {
			t.Logf("rm: %v %.200s", err, out)
		}
	})
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range depth {
		if i%1000 == 0 {
			file, err := unix.Openat(fd, "f", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(file)
		}
		if err := unix.Mkdirat(fd, "d", 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, "d", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		if err != nil {
			t.Fatal(err)
		}
		fd = next
	}
	unix.Close(fd)
	res, err := Scan(t.Context(), Options{Dir: dir, Recursive: true})
	if err != nil || res.Files != depth/1000 || res.Folders != depth+1 || len(res.SkippedByReason()) != 0 {
		t.Errorf("files %d, folders %d, skipped %v, %v; want %d, %d and nothing", res.Files, res.Folders, res.SkippedByReason(), err, depth/1000, depth+1)
	}
	res, err = Scan(t.Context(), Options{Dir: dir, Recursive: true, MaxDepth: 100})
	if err != nil || res.Folders != 101 || res.Skipped[SkipDepth] != 1 {
		t.Errorf("with a depth limit: %+v, %v", res, err)
	}
}

func TestScanCancelledAndStopped(t *testing.T) {
	dir := tempDir(t)
	for i := range 1000 {
		write(t, fmt.Sprintf("%s/%d", dir, i), 0)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := Scan(ctx, Options{Dir: dir, Visit: func(*Entry) error {
		if n++; n == 10 {
			cancel()
		}
		return nil
	}})
	if !errors.Is(err, context.Canceled) || n > 600 {
		t.Errorf("after the cancel: %v, %d visits", err, n)
	}
	n = 0
	_, err = Scan(t.Context(), Options{Dir: dir, Visit: func(*Entry) error { n++; return ErrStop }})
	if err != nil || n != 1 {
		t.Errorf("ErrStop: %v after %d visits, want nil after 1", err, n)
	}
}

func TestScanAllocatesNothingPerEntry(t *testing.T) {
	dir := tempDir(t)
	for i := range 2000 {
		write(t, fmt.Sprintf("%s/file-%d", dir, i), 0)
	}
	allocs := testing.AllocsPerRun(5, func() {
		if _, err := Scan(t.Context(), Options{Dir: dir, Visit: func(*Entry) error { return nil }}); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 20 {
		t.Errorf("%v allocations for 2000 entries, want a constant few", allocs)
	}
}

func TestHistogramBuckets(t *testing.T) {
	last := -1
	for _, age := range []int64{-5, 0, 1, 31, 32, 33, 63, 64, 1e3, 1e6, 1e9, 60e9, 3600e9, 86400e9, 1 << 62} {
		b := Bucket(age)
		if b < last || b >= Buckets() {
			t.Errorf("Bucket(%d) = %d after %d", age, b, last)
		}
		last = b
		if start := BucketStart(b); age >= 0 && (start > age || b+1 < Buckets() && BucketStart(b+1) <= age) {
			t.Errorf("age %d is in bucket %d, which spans %d to %d", age, b, start, BucketStart(b+1))
		}
	}
}

func FuzzCutDirent(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x18\x00\x08abc\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for rest := b; ; {
			d, size := cutDirent(rest)
			if size == 0 {
				return
			}
			if size < 0 || size > len(rest) || bytes.IndexByte(d.name, 0) >= 0 || rest[19+len(d.name)] != 0 || 19+len(d.name) >= size {
				t.Fatalf("%q of %d bytes in %q", d.name, size, rest)
			}
			rest = rest[size:]
		}
	})
}

func BenchmarkScan100k(b *testing.B) {
	dir := tempDir(b)
	for i := range 100_000 {
		if i%100 == 0 {
			if err := os.Mkdir(fmt.Sprintf("%s/%d", dir, i/100), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(fmt.Sprintf("%s/%d/%d", dir, i/100, i), nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	hist := &Histogram{}
	for _, name := range []string{"full", "count"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				*hist = Histogram{}
				res, err := Scan(b.Context(), Options{Dir: dir, Recursive: true, CountOnly: name == "count", Ages: hist, Now: time.Now()})
				if err != nil || res.Files != 100_000 {
					b.Fatal(res.Files, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/file")
		})
	}
}
