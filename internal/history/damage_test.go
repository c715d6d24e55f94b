package history

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const childPath = "HISTORY_TEST_CHILD"

// writeForEver is the child of TestKill: it appends steps without end, from the one after the last that
// the file has, and prints each that is written.
func writeForEver() {
	c := &clock{epoch.Add(1e5 * Step)}
	s := New(Options{Path: os.Getenv(childPath), Now: c.Now, MaxBytes: 8 << 20, Keep: 1e6 * time.Hour})
	s.wrap = unsynced
	if err := s.Open(); err != nil {
		fmt.Println(err)
		return
	}
	points, err := s.Series("t0", "spillway_gauge_0", epoch, c.now)
	next := 0
	if n := len(points); n > 0 {
		next = int(points[n-1].Time.Sub(epoch)/Step) + 1
	}
	for ; err == nil; next++ {
		err = s.Append(epoch.Add(time.Duration(next)*Step), rowOf(next, 40), nil)
		fmt.Println(next)
	}
	fmt.Println(err)
}

// TestKill: whenever a writing process is killed, all steps that it had reported are there, and at most the one
// that was under way is not.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	reg := prometheus.NewRegistry()
	last, rng := -1, rand.New(rand.NewPCG(1, 1))
	for round := range 25 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childPath+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Signal(syscall.SIGKILL) }) // it hangs
		for wait := 1 + rng.IntN(120); lines.Scan(); wait-- {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatal(lines.Text())
			}
			if n > last+2 || n <= last {
				t.Fatalf("round %d: step %d after %d: one was lost", round, n, last)
			}
			last = n
			if wait == 0 {
				_ = cmd.Process.Signal(syscall.SIGKILL)
			}
		}
		kill.Stop()
		_ = cmd.Wait()
	}
	c := &clock{epoch.Add(1e5 * Step)}
	s := newStore(t, path, c, func(o *Options) { o.MaxBytes = 8 << 20; o.Keep = 1e6 * time.Hour; o.Registerer = reg })
	for k := range 40 {
		check(t, s, k, 0, last+1)
	}
	if last < 200 {
		t.Errorf("only %d steps were written", last)
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP spillway_history_damaged_parts_total Parts of the history that were dropped because they were damaged.
# TYPE spillway_history_damaged_parts_total counter
spillway_history_damaged_parts_total 0
`), "spillway_history_damaged_parts_total"); err != nil {
		t.Error(err)
	}
}

// fullDisk is a file that has no room from an offset on.
type fullDisk struct {
	file
	room int64
}

func (d *fullDisk) WriteAt(b []byte, at int64) (int, error) {
	if fits := max(0, min(int64(len(b)), d.room-at)); fits < int64(len(b)) {
		n, _ := d.file.WriteAt(b[:fits], at)
		return n, syscall.ENOSPC
	}
	return d.file.WriteAt(b, at)
}

// TestFullDisk: what does not fit is reported and counted once as a whole, what was written stays readable, and
// it goes on when there is room, also where a block was to be made meanwhile.
func TestFullDisk(t *testing.T) {
	c := &clock{epoch}
	var log strings.Builder
	reg := prometheus.NewRegistry()
	disk := &fullDisk{room: 1 << 40}
	s := New(Options{
		Path: filepath.Join(t.TempDir(), FileName), Now: c.Now, Registerer: reg, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	s.wrap = func(f file) file { disk.file = f; return disk }
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	fill(t, s, c, 0, 10, 8)
	disk.room = s.rows.end + 100
	for i := 10; i < 15; i++ {
		if err := s.Append(epoch.Add(time.Duration(i)*Step), rowOf(i, 8), nil); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%v on a full disk", err)
		}
		check(t, s, 3, 0, 10)
	}
	disk.room = blocksStart // there is room for rows and for no block
	for i := 10; i < 60; i++ {
		c.now = epoch.Add(time.Duration(i+1) * Step)
		err := s.Append(epoch.Add(time.Duration(i)*Step), rowOf(i, 8), nil)
		if (err != nil) != (i >= blockRows) {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	check(t, s, 3, 0, 60)
	disk.room = 1 << 40
	fill(t, s, c, 60, 120, 8)
	check(t, s, 3, 0, 120)
	if got := testutil.ToFloat64(s.metrics.failures); got != 5+60-blockRows {
		t.Errorf("%v failures were counted", got)
	}
	if n := strings.Count(log.String(), "cannot be written"); n != 2 || strings.Count(log.String(), "written again") != 2 {
		t.Errorf("%d of 2 failures were logged:\n%s", n, log.String())
	}
}

// TestFullTmpfs is TestFullDisk on a real file system that is full.
func TestFullTmpfs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a file system needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("no tmpfs can be mounted: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	c := &clock{epoch}
	s := newStore(t, filepath.Join(dir, FileName), c, nil)
	written := 0
	for ; written < blockRows; written++ {
		c.now = epoch.Add(time.Duration(written+1) * Step)
		if err := s.Append(epoch.Add(time.Duration(written)*Step), rowOf(written, 400), nil); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			break
		}
	}
	if written == 0 || written == blockRows {
		t.Fatalf("%d rows were written", written)
	}
	check(t, s, 7, 0, written)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=16m"); err != nil {
		t.Fatal(err)
	}
	fill(t, s, c, written, 120, 400)
	check(t, s, 7, 0, 120)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// sound writes a history of two blocks and some rows and returns its bytes.
func sound(t testing.TB) []byte {
	t.Helper()
	c := &clock{epoch}
	path := filepath.Join(t.TempDir(), FileName)
	s := newStore(t, path, c, nil)
	fill(t, s, c, 0, 110, 6)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// readDamaged opens a damaged history, checks that all that it returns was written so, appends to it, and
// returns how many points of its six series it still has and how many damages were counted.
func readDamaged(t testing.TB, raw []byte) (points int, damages float64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	c := &clock{epoch.Add(110 * Step)}
	s := New(Options{Path: path, Now: c.Now, Registerer: prometheus.NewRegistry()})
	s.wrap = unsynced
	if err := s.Open(); err != nil {
		return -1, 0
	}
	defer func() { _ = s.Close() }()
	for k := range 6 {
		got, err := s.Series(valueOf(0, k).Target, valueOf(0, k).Gauge, epoch, c.now)
		if err != nil {
			t.Fatal(err)
		}
		points += len(got)
		for _, p := range got {
			v := valueOf(int(p.Time.Sub(epoch)/Step), k)
			if p.Min != v.Min || p.Mean != rounded(v.Mean) || p.Max != v.Max {
				t.Fatalf("series %d at %v is %+v, and %+v was written", k, p.Time, p, v)
			}
		}
	}
	s.Gauges("t0")
	if _, err := s.Marks("t0", epoch, c.now); err != nil {
		t.Fatal(err)
	}
	damages = testutil.ToFloat64(s.metrics.damaged)
	fill(t, s, c, 110, 112, 6)
	check(t, s, 4, 110, 112)
	return points, damages
}

// TestDamage: a damaged part is dropped and counted, and all others are there.
func TestDamage(t *testing.T) {
	raw := sound(t)
	second := blocksStart
	for b, _, ok := decodeBlock(raw[second:], int64(second)); ok && second == blocksStart; {
		second = int(b.end())
	}
	for _, tt := range []struct {
		name    string
		at      int
		points  int
		damages float64
	}{
		{"first header", 3, 660, 1},
		{"second header", headerTwin + 20, 660, 1},
		{"names", rowsStart + 40, 6 * 96, 1},
		{"a row", rowsStart + 1100, 6 * 109, 1},
		{"length of a frame", rowsStart + 4, 6 * 96, 1},
		{"header of a block", second + 20, 6 * 62, 1},
		{"a series of a block", second + blockHeader + 40, 660 - blockRows, 1},
		{"unused page", second + 100*pageSize, 660, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad := append([]byte(nil), raw...)
			if tt.at >= len(bad) {
				bad = append(bad, make([]byte, tt.at+1-len(bad))...)
			}
			bad[tt.at] ^= 0x10
			if points, damages := readDamaged(t, bad); points != tt.points || damages != tt.damages {
				t.Errorf("%d points and %v damages, want %d and %v", points, damages, tt.points, tt.damages)
			}
		})
	}
	for _, n := range []int{0, 1, 10, pageSize, rowsStart + 500, rowsStart + 3000, blocksStart + 100, len(raw) - 1} {
		readDamaged(t, raw[:n])
	}
	if points, damages := readDamaged(t, raw); points != 660 || damages != 0 {
		t.Errorf("%d points and %v damages of a sound history", points, damages)
	}
}

// FuzzDamage: whatever is flipped or cut off, nothing is returned that was not written, and appends go on.
func FuzzDamage(f *testing.F) {
	raw := sound(f)
	f.Add(uint32(100), uint32(0), byte(1), uint32(0))
	f.Add(uint32(rowsStart+30), uint32(4), byte(255), uint32(0))
	f.Add(uint32(blocksStart+16), uint32(1), byte(7), uint32(1000))
	f.Fuzz(func(t *testing.T, at, span uint32, flip byte, cut uint32) {
		bad := append([]byte(nil), raw[:len(raw)-int(cut)%len(raw)]...)
		used := []int{pageSize, 16 << 10, len(raw) - blocksStart}[at%3] // most of the file is unused
		from := []int{0, rowsStart, blocksStart}[at%3] + int(at/3)%used
		for i := from; i <= from+int(span%64) && i < len(bad); i++ {
			bad[i] ^= flip
		}
		readDamaged(t, bad)
	})
}

// FuzzDecode: no bytes make the decoders fail otherwise than by saying so.
func FuzzDecode(f *testing.F) {
	b, body := buildBlock([]row{{ms: epoch.UnixMilli()}}, []name{{"a", "g"}})
	f.Add(append(b.header(), body...))
	f.Add(newEncoder().append(nil, []Point{{epoch, 1, 2, 3}, {epoch.Add(Step), 4, 5, 6}}))
	f.Add(appendMark(nil, &Mark{"a", epoch, Program{1, epoch}}))
	f.Fuzz(func(_ *testing.T, b []byte) {
		var d decoder
		_, _ = d.append(nil, b, 0, epoch.UnixMilli()*2)
		eachMark(b, func([]byte, time.Time, Program) {})
		newRows(1).learn(b)
		if r, ok := decodeRow(b); ok {
			r.find(1)
		}
		splitEntry(b)
		entriesOf(b, "a")
		if len(b) >= blockHeader {
			decodeBlock(b, int64(order.Uint64(b[24:])))
		}
		_, _, _ = decodeHeader(b)
	})
}
