package hitrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cache is a real folder with a Watch of it.
type cache struct {
	*Watch
	t   testing.TB
	dir string
}

func newCache(t testing.TB, o Options) *cache {
	t.Helper()
	if o.Select == nil {
		o.Select = func(name []byte) bool { return strings.HasSuffix(string(name), ".bin") }
	}
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	c := &cache{w, t, t.TempDir()}
	c.scan("")
	return c
}

// scan follows the root and the given sub-folders, as a scan of the cache does.
func (c *cache) scan(folders ...string) {
	c.t.Helper()
	c.Begin()
	for _, f := range folders {
		if err := c.follow(f); err != nil {
			c.t.Fatal(err)
		}
	}
	c.End()
}

func (c *cache) follow(folder string) error {
	c.t.Helper()
	fd, err := unix.Open(filepath.Join(c.dir, folder), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	defer unix.Close(fd)
	return c.Follow(fd, []byte(folder))
}

func (c *cache) write(name string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte("x"), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cache) read(names ...string) {
	c.t.Helper()
	for _, name := range names {
		if _, err := os.ReadFile(filepath.Join(c.dir, name)); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *cache) rename(from, to string) {
	c.t.Helper()
	if err := os.Rename(filepath.Join(c.dir, from), filepath.Join(c.dir, to)); err != nil {
		c.t.Fatal(err)
	}
}

// want compares hits and misses since the last call.
func (c *cache) want(what string, hits, misses uint64) {
	c.t.Helper()
	c.drain()
	got, err := c.Counts()
	if err != nil {
		c.t.Fatal(err)
	}
	if got.Hits != hits || got.Misses != misses {
		c.t.Errorf("%s: %d hits and %d misses, want %d and %d", what, got.Hits, got.Misses, hits, misses)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Hits, c.counts.Misses = 0, 0
	c.mark = c.counts
}

func TestCounts(t *testing.T) {
	c := newCache(t, Options{})
	os.Mkdir(filepath.Join(c.dir, "sub"), 0o755)
	outside := t.TempDir()
	c.scan("", "sub/")
	c.write("a.bin")
	c.want("a fill", 0, 1)
	c.read("a.bin", "a.bin", "a.bin")
	c.want("three reads in a row", 3, 0)
	c.write("a.bin")
	c.want("a fill of what is there", 0, 1)
	c.write("b.tmp")
	c.rename("b.tmp", "b.bin")
	c.want("a fill by a name that does not count", 0, 1)
	c.write("c.bin")
	c.rename("c.bin", "sub/c.bin")
	c.want("a rename within the cache", 0, 1)
	c.read("sub/c.bin")
	c.want("a read in a sub-folder", 1, 0)
	if err := os.WriteFile(filepath.Join(outside, "d.bin"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(outside, "d.bin"), filepath.Join(c.dir, "d.bin")); err != nil {
		t.Skipf("another file system: %v", err)
	}
	c.want("moved in", 0, 1)
	c.write("e.txt")
	c.read("e.txt")
	if _, err := os.ReadDir(c.dir); err != nil {
		t.Fatal(err)
	}
	c.want("names that do not count, and a listing", 0, 0)
	resume := c.Pause()
	c.read("a.bin")
	resume()
	c.want("while a clean-up of ours ran", 0, 0)
	c.read("a.bin")
	c.want("after it", 1, 0)
	f, err := os.Create(filepath.Join(c.dir, "g.bin"))
	if err != nil {
		t.Fatal(err)
	}
	c.read("g.bin")
	f.Close()
	c.want("a read next to its fill", 0, 1)
}

// TestFolders: a folder that left the cache does not count, one that is new does from the next
// scan on, and where not all can be watched nothing is said.
func TestFolders(t *testing.T) {
	c := newCache(t, Options{MaxFolders: 2})
	for _, d := range []string{"old", "new", "more"} {
		os.Mkdir(filepath.Join(c.dir, d), 0o755)
	}
	c.scan("", "old/")
	c.write("old/a.bin")
	c.want("followed", 0, 1)
	away := filepath.Join(t.TempDir(), "old")
	if err := os.Rename(filepath.Join(c.dir, "old"), away); err != nil {
		t.Skipf("another file system: %v", err)
	}
	c.scan("")
	c.scan("", "new/")
	if _, err := os.ReadFile(filepath.Join(away, "a.bin")); err != nil {
		t.Fatal(err)
	}
	c.write("new/b.bin")
	c.want("one left, one came", 0, 1)
	if err := c.follow("more/"); !errors.Is(err, ErrFolders) {
		t.Errorf("the third of two folders: %v", err)
	}
	if _, err := c.Counts(); !errors.Is(err, ErrFolders) {
		t.Errorf("counts with a folder that is not watched: %v, want ErrFolders", err)
	}
	c.scan("", "new/")
	if _, err := c.Counts(); err != nil {
		t.Errorf("after a scan that met no third folder: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(c.dir, "new")); err != nil {
		t.Fatal(err)
	}
	c.drain()
	if n, _ := c.Counts(); n.Folders != 1 {
		t.Errorf("%d folders watched after one was removed, want 1", n.Folders)
	}
}

// TestLastUse: a read is remembered although the file system does not write it down, and memory is
// bounded.
func TestLastUse(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var mu sync.Mutex
	c := newCache(t, Options{Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	os.Mkdir(filepath.Join(c.dir, "sub"), 0o755)
	c.scan("", "sub/")
	c.write("sub/a.bin")
	c.drain()
	mu.Lock()
	now = now.Add(time.Hour)
	mu.Unlock()
	c.read("sub/a.bin")
	c.drain()
	if got := c.LastUseNs([]byte("sub/a.bin")); got != now.UnixNano() {
		t.Errorf("last use %v, want %v", time.Unix(0, got), now)
	}
	if got := c.LastUseNs([]byte("a.bin")); got != 0 {
		t.Errorf("last use of a file that was not opened: %v", got)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range uint64(10 * mostRecent) {
		c.remember(i, 1)
	}
	if n := len(c.recent[0]) + len(c.recent[1]); n > 2*mostRecent {
		t.Errorf("%d files are remembered, want %d at most", n, 2*mostRecent)
	}
}

// TestOverflow makes the kernel drop events: the interval is void and counted as such.
func TestOverflow(t *testing.T) {
	raw, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Skip(err)
	}
	var most int
	fmt.Sscan(string(raw), &most)
	if most > 100_000 {
		t.Skipf("the queue holds %d events", most)
	}
	c := newCache(t, Options{})
	c.write("a.bin")
	c.write("b.bin")
	c.read("a.bin")
	c.want("before", 1, 2)
	c.mu.Lock() // no one reads
	for range most {
		c.read("a.bin", "b.bin")
	}
	c.read("a.bin", "b.bin")
	c.mu.Unlock()
	c.want("what ran over", 0, 0)
	if n, _ := c.Counts(); n.Overflows != 1 {
		t.Errorf("%d overflows, want 1", n.Overflows)
	}
	c.read("a.bin")
	c.want("after it", 1, 0)
}

// TestConcurrentReaders: with readers next to each other equal events can meet and become one. Half
// a point of the ratio is what that may cost.
func TestConcurrentReaders(t *testing.T) {
	c := newCache(t, Options{})
	const files, readers, each = 200, 64, 150
	for i := range files {
		c.write(fmt.Sprintf("%d.bin", i))
	}
	c.want("the fills", 0, files)
	var wg sync.WaitGroup
	for r := range readers {
		wg.Go(func() {
			for i := range each {
				if i%5 == 0 {
					os.WriteFile(filepath.Join(c.dir, fmt.Sprintf("n-%d-%d.bin", r, i)), nil, 0o644)
				} else if f, err := os.Open(filepath.Join(c.dir, fmt.Sprintf("%d.bin", (r*7+i)%files))); err == nil {
					f.Close()
				}
				if i%20 == 0 {
					c.drain()
				}
			}
		})
	}
	wg.Wait()
	c.drain()
	got, err := c.Counts()
	if err != nil || got.Overflows > 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	const want = 0.8
	if ratio := float64(got.Hits) / float64(got.Hits+got.Misses); ratio < want-.005 || ratio > want+.005 {
		t.Errorf("ratio %.4f of %d hits and %d misses, want %.4f", ratio, got.Hits, got.Misses, want)
	}
}

// TestPool: nothing is opened before it is needed, a handle that is taken before the old one is
// given back keeps the watch, and the last one ends it.
func TestPool(t *testing.T) {
	p := NewPool(time.Now, nil)
	defer p.Close()
	all := func([]byte) bool { return true }
	get := func() *Handle {
		t.Helper()
		h, err := p.Get(Cache{Name: "media", Dir: "/srv"}, all)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	opened := func() (n int) {
		for _, s := range p.Stats() {
			if s.Open {
				n++
			}
		}
		return n
	}
	h := get()
	if h.LastUseNs([]byte("a")) != 0 || opened() != 0 {
		t.Error("opened before it was needed")
	}
	h.Pause()()
	if err := h.Begin(context.Background()); err != nil {
		t.Fatal(err)
	}
	first := h.watch()
	again := get()
	h.Close()
	h.Close()
	if err := again.Begin(context.Background()); err != nil || again.watch() != first || opened() != 1 {
		t.Errorf("a handle over a reload: %v, the same watch %v, %d open", err, again.watch() == first, opened())
	}
	again.Close()
	if n := len(p.Stats()); n != 0 {
		t.Errorf("%d watches left", n)
	}
	if err := first.Follow(0, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a watch that no one uses: %v, want closed", err)
	}
	var none *Handle
	none.Pause()()
	none.Close()
}

// BenchmarkHits opens and closes a file of the cache: what one open costs in all, and how much
// processor time of it is the watch's.
func BenchmarkHits(b *testing.B) {
	c := newCache(b, Options{})
	c.write("a.bin")
	path := filepath.Join(c.dir, "a.bin")
	for b.Loop() {
		fd, err := unix.Open(path, unix.O_RDONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(fd)
	}
}
