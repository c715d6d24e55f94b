package hitrate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// queue is events as the kernel writes them.
type queue []byte

// add appends an event; the kernel fills names up with zeros.
func (q *queue) add(wd int32, mask, cookie uint32, name string) {
	size := (len(name) + 8) / 8 * 8
	if name == "" {
		size = 0
	}
	b := make([]byte, minEvent+size)
	binary.NativeEndian.PutUint32(b, uint32(wd))
	binary.NativeEndian.PutUint32(b[4:], mask)
	binary.NativeEndian.PutUint32(b[8:], cookie)
	binary.NativeEndian.PutUint32(b[12:], uint32(size))
	copy(b[minEvent:], name)
	*q = append(*q, b...)
}

// bare is a watch of one folder, 1, that no kernel feeds: x* does not count.
func bare() *Watch {
	return &Watch{
		opts:    Options{Now: func() time.Time { return time.Unix(1000, 0) }, Select: func(name []byte) bool { return name[0] != 'x' }},
		folders: map[int32]folder{1: {seed: offset64}}, fills: make(map[uint64]struct{}), moves: make(map[uint32]bool),
		recent: [2]map[uint64]int64{make(map[uint64]int64), nil},
	}
}

// TestEvents: what each order of events counts as.
func TestEvents(t *testing.T) {
	type event struct {
		mask uint32
		name string
	}
	const open, closed, written, created, from, to, deleted = unix.IN_OPEN, unix.IN_CLOSE_NOWRITE, unix.IN_CLOSE_WRITE, unix.IN_CREATE, unix.IN_MOVED_FROM, unix.IN_MOVED_TO, unix.IN_DELETE
	tests := []struct {
		name         string
		events       []event
		hits, misses uint64
	}{
		{"a read", []event{{open, "a"}, {closed, "a"}}, 1, 0},
		{"an open that has not ended", []event{{open, "a"}}, 0, 0},
		{"a fill", []event{{created, "a"}, {open, "a"}, {written, "a"}}, 0, 1},
		{"a read after the fill", []event{{created, "a"}, {written, "a"}, {closed, "a"}}, 1, 1},
		{"a read of a file that is being filled", []event{{created, "a"}, {closed, "a"}, {written, "a"}}, 0, 1},
		{"a fill that was given up, and a read of the next file of this name", []event{{created, "a"}, {deleted, "a"}, {closed, "a"}}, 1, 0},
		{"moved in from elsewhere", []event{{to, "a"}}, 0, 1},
		{"renamed within the cache", []event{{from, "a"}, {to, "b"}}, 0, 0},
		{"renamed from a name that does not count", []event{{created, "x"}, {written, "x"}, {from, "x"}, {to, "a"}}, 0, 1},
		{"renamed to a name that does not count", []event{{from, "a"}, {to, "x"}}, 0, 0},
		{"moved away", []event{{from, "a"}}, 0, 0},
		{"removed", []event{{deleted, "a"}}, 0, 0},
		{"a name that does not count", []event{{open, "x"}, {closed, "x"}, {created, "x"}, {written, "x"}}, 0, 0},
		{"a sub-folder", []event{{open | unix.IN_ISDIR, "a"}, {closed | unix.IN_ISDIR, "a"}}, 0, 0},
		{"the folder itself", []event{{closed, ""}}, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := bare()
			var q queue
			for _, e := range tt.events {
				q.add(1, e.mask, 7, e.name)
				q.add(2, e.mask, 7, e.name) // of a folder that has left the cache
			}
			w.take(q)
			if w.counts.Hits != tt.hits || w.counts.Misses != tt.misses {
				t.Errorf("%d hits and %d misses, want %d and %d", w.counts.Hits, w.counts.Misses, tt.hits, tt.misses)
			}
		})
	}
}

// TestEventsCut: whatever of a buffer is missing at its end, the events before are counted once, and
// none after.
func TestEventsCut(t *testing.T) {
	var q queue
	var ends []int
	for i := range 5 {
		q.add(1, unix.IN_CLOSE_NOWRITE, 0, fmt.Sprintf("%0*d", 1+7*i, i))
		ends = append(ends, len(q))
	}
	for n := range len(q) + 1 {
		w := bare()
		w.take(q[:n])
		want := 0
		for _, end := range ends {
			if end <= n {
				want++
			}
		}
		if w.counts.Hits != uint64(want) {
			t.Errorf("%d of %d bytes: %d hits, want %d", n, len(q), w.counts.Hits, want)
		}
	}
}

// TestOverflowVoidsTheInterval: where events were lost, those of the same interval do not count, and what
// was under way is forgotten: its end may be among the lost.
func TestOverflowVoidsTheInterval(t *testing.T) {
	w := bare()
	var q queue
	q.add(1, unix.IN_CLOSE_NOWRITE, 0, "a")
	w.take(q)
	w.mark = w.counts
	q = nil
	q.add(1, unix.IN_CREATE, 0, "b")
	q.add(1, unix.IN_MOVED_FROM, 9, "c")
	q.add(1, unix.IN_CLOSE_NOWRITE, 0, "a")
	q.add(-1, unix.IN_Q_OVERFLOW, 0, "")
	q.add(1, unix.IN_CLOSE_WRITE, 0, "d")
	w.take(q)
	if w.counts.Hits != 1 || w.counts.Misses != 0 || w.counts.Overflows != 1 || len(w.fills)+len(w.moves) != 0 {
		t.Errorf("%+v, %d fills and %d moves under way; want the hit of before alone", w.counts, len(w.fills), len(w.moves))
	}
	if w.LastUseNs([]byte("d")) == 0 {
		t.Error("the use of a file in a void interval is forgotten: an eviction would take it for old")
	}
}

// TestPauseHidesAll: nothing of what happens while a clean-up of ours runs is counted or remembered, and
// two clean-ups end it only together.
func TestPauseHidesAll(t *testing.T) {
	c := newCache(t, Options{})
	c.write("a.bin")
	c.want("before", 0, 1)
	one, two := c.Pause(), c.Pause()
	one()
	one() // a second call is none of the other's
	c.write("b.bin")
	c.read("a.bin")
	two()
	c.want("while one of two still ran", 0, 0)
	if c.LastUseNs([]byte("b.bin")) != 0 {
		t.Error("what a clean-up opened counts as used")
	}
	c.read("a.bin")
	c.want("after both", 1, 0)
}

// TestBounds: however many fills and moves never end, their memory is bounded, and counting goes on.
func TestBounds(t *testing.T) {
	w := bare()
	var q queue
	for i := range 3 * mostFills {
		q.add(1, unix.IN_CREATE, 0, fmt.Sprint("a", i))
		q.add(1, unix.IN_MOVED_FROM, uint32(i), fmt.Sprint("b", i))
	}
	q.add(1, unix.IN_CLOSE_NOWRITE, 0, "c")
	w.take(q)
	if len(w.fills) > mostFills || len(w.moves) > mostFills || w.counts.Hits != 1 {
		t.Errorf("%d fills and %d moves are kept, want at most %d; %d hits", len(w.fills), len(w.moves), mostFills, w.counts.Hits)
	}
}

// TestHashOfAPath: a folder's hash goes on to that of its files, and names in other folders differ.
func TestHashOfAPath(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	seen := make(map[uint64]string)
	for range 2000 {
		b := make([]byte, 1+rng.IntN(30))
		for i := range b {
			b[i] = "abc/"[rng.IntN(4)]
		}
		cut := rng.IntN(len(b) + 1)
		key := hash(hash(offset64, b[:cut]), b[cut:])
		if other, known := seen[key]; key != hash(offset64, b) || known && other != string(b) {
			t.Fatalf("%q cut at %d: %x, which is that of %q", b, cut, key, other)
		}
		seen[key] = string(b)
	}
}

// TestClosed: a watch that was closed counts no further, says so, and is closed once.
func TestClosed(t *testing.T) {
	c := newCache(t, Options{})
	c.write("a.bin")
	c.CatchUp()
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Error(err)
	}
	c.write("b.bin")
	c.CatchUp()
	c.End()
	if got, err := c.Counts(); err != nil || got.Misses != 1 {
		t.Errorf("%+v, %v, want what was counted before", got, err)
	}
	if err := c.follow(""); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Follow: %v, want closed", err)
	}
	if fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		t.Error(err)
	} else {
		defer unix.Close(fd)
		open := newCache(t, Options{})
		if err := open.Follow(fd, []byte("file/")); err == nil || errors.Is(err, ErrFolders) {
			t.Errorf("what is not a folder: %v", err)
		}
	}
}

// TestHandle passes on to its watch, and knows nothing once the pool is closed: a scan may still run then.
func TestHandle(t *testing.T) {
	p := NewPool(time.Now, nil)
	dir := t.TempDir()
	h, err := p.Get(Cache{Name: "media", Dir: dir}, func([]byte) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	h.CatchUp() // nothing is watched yet
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := h.Begin(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := h.Follow(fd, nil); err != nil {
		t.Fatal(err)
	}
	h.End()
	write := func(name string) {
		if err := os.WriteFile(dir+"/"+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a")
	resume := h.Pause()
	write("b")
	resume()
	write("c")
	h.CatchUp()
	if c, err := h.Counts(); err != nil || c != (Counts{Misses: 2, Folders: 1}) {
		t.Errorf("%+v, %v, want the two fills outside of the pause", c, err)
	}
	used := []bool{h.LastUseNs([]byte("a")) > 0, h.LastUseNs([]byte("b")) > 0, h.LastUseNs([]byte("c")) > 0}
	if !slices.Equal(used, []bool{true, false, true}) {
		t.Errorf("used: %v", used)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.Follow(fd, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Follow after the pool was closed: %v, want closed", err)
	}
	if _, err := h.Counts(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Counts after the pool was closed: %v, want closed", err)
	}
	if err := h.Begin(context.Background()); err == nil {
		t.Error("a closed pool opened a watch")
	}
	h.End()
	h.CatchUp()
	h.Pause()()
	if h.LastUseNs([]byte("a")) != 0 {
		t.Error("a closed pool remembers")
	}
	h.Close()
}
