package history

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childPath) != "" {
		writeForEver()
		return
	}
	goleak.VerifyTestMain(m)
}

var epoch = time.UnixMilli(1_800_000_000_000).Truncate(Step)

// quick is a file that is not synced: a test does not cut the power.
type quick struct{ file }

func (quick) Sync() error { return nil }

func unsynced(f file) file { return quick{f} }

// clock is a time that the test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newStore(t testing.TB, path string, c *clock, change func(*Options)) *Store {
	t.Helper()
	o := Options{Path: path, Now: c.Now}
	if change != nil {
		change(&o)
	}
	s := New(o)
	s.wrap = unsynced
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// valueOf is what a test writes for step i of series k: like memory, in pages.
func valueOf(i, k int) Sample {
	v := 1e9 + math.Floor(1e5*math.Sin(float64(i*(k+3))/7))*4096
	return Sample{Target: fmt.Sprintf("t%d", k/4), Gauge: fmt.Sprintf("spillway_gauge_%d", k%4), Min: v, Mean: v + 1024, Max: v + 8192}
}

func rowOf(i, n int) []Sample {
	out := make([]Sample, n)
	for k := range out {
		out[k] = valueOf(i, k)
	}
	return out
}

// fill appends steps from to before to of n series and moves the clock along.
func fill(t testing.TB, s *Store, c *clock, from, to, n int) {
	t.Helper()
	for i := from; i < to; i++ {
		c.now = epoch.Add(time.Duration(i+1) * Step)
		if err := s.Append(epoch.Add(time.Duration(i)*Step), rowOf(i, n), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// check compares a series with what was written in steps from to before to.
func check(t testing.TB, s *Store, k, from, to int) {
	t.Helper()
	one := valueOf(0, k)
	got, err := s.Series(one.Target, one.Gauge, epoch.Add(time.Duration(from)*Step), epoch.Add(time.Duration(to)*Step))
	if err != nil {
		t.Fatal(err)
	}
	want := []Point{}
	for i := from; i < to; i++ {
		v := valueOf(i, k)
		want = append(want, Point{epoch.Add(time.Duration(i) * Step), v.Min, rounded(v.Mean), v.Max})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("series %d, steps %d to %d (-want +got):\n%s", k, from, to, diff)
	}
}

func TestStoreKeepsWhatIsAppended(t *testing.T) {
	c := &clock{epoch}
	path := filepath.Join(t.TempDir(), FileName)
	s := newStore(t, path, c, nil)
	const n = 11
	for _, until := range []int{0, 1, 47, 48, 49, 200, 400} {
		from := 0
		if p, err := s.Series("t0", "spillway_gauge_0", epoch, c.now); err != nil {
			t.Fatal(err)
		} else {
			from = len(p)
		}
		fill(t, s, c, from, until, n)
		for _, k := range []int{0, 5, n - 1} {
			check(t, s, k, 0, until)
			check(t, s, k, until/3, until/2)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = newStore(t, path, c, nil)
		check(t, s, 3, 0, until)
	}
	if got, want := s.Gauges("t1"), []string{"spillway_gauge_0", "spillway_gauge_1", "spillway_gauge_2", "spillway_gauge_3"}; !slices.Equal(got, want) {
		t.Errorf("gauges %q, want %q", got, want)
	}
	if got := s.Gauges("t"); len(got) != 0 {
		t.Errorf("gauges %q of a target that is not there", got)
	}
	if got, err := s.Series("t0", "spillway", epoch, c.now); len(got) > 0 || err != nil {
		t.Errorf("%v, %v of a gauge that is not there", got, err)
	}
	if n, want := len(s.blocks), 400/blockRows; n != want {
		t.Errorf("%d blocks, want %d", n, want)
	}
}

// TestStoreReadsAlongside: a second Store that reads sees what was there when it was opened, and one that
// would write is refused.
func TestStoreReadsAlongside(t *testing.T) {
	c := &clock{epoch}
	path := filepath.Join(t.TempDir(), FileName)
	s := newStore(t, path, c, nil)
	fill(t, s, c, 0, 60, 4)
	if err := New(Options{Path: path}).Open(); !errors.Is(err, ErrLocked) {
		t.Errorf("%v for a second writer, want %v", err, ErrLocked)
	}
	r := newStore(t, path, c, func(o *Options) { o.ReadOnly = true })
	check(t, r, 2, 0, 60)
	if err := r.Append(c.now, rowOf(0, 1), nil); !errors.Is(err, ErrNotOpen) {
		t.Errorf("%v for an append of a reader, want %v", err, ErrNotOpen)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Series("t0", "spillway_gauge_0", epoch, c.now); !errors.Is(err, ErrNotOpen) {
		t.Errorf("%v of a closed store, want %v", err, ErrNotOpen)
	}
}

// TestMarks: starts are kept with their program, over blocks and restarts, and each once.
func TestMarks(t *testing.T) {
	c := &clock{epoch}
	path := filepath.Join(t.TempDir(), FileName)
	s := newStore(t, path, c, nil)
	var want []Mark
	for i := range 100 {
		at := epoch.Add(time.Duration(i) * Step)
		c.now = at.Add(Step)
		var marks []Mark
		if i%10 == 0 {
			p := Program{Inode: uint64(i/20 + 1), Modified: epoch.Add(-time.Duration(i) * time.Second)}
			want = append(want, Mark{"a", at.Add(time.Second), p})
			marks = []Mark{{"b", at, Program{}}, want[len(want)-1], want[len(want)-1]}
		}
		if err := s.Append(at, rowOf(i, 1), marks); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = newStore(t, path, c, nil)
	got, err := s.Marks("a", epoch, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	if got, err := s.Marks("b", epoch.Add(5*Step), epoch.Add(21*Step)); len(got) != 2 || err != nil {
		t.Errorf("%v, %v, want those at 10 and 20", got, err)
	}
	if a, b := want[0].Program, want[1].Program; a.Same(b) || !a.Same(a) || !a.Same(Program{}) {
		t.Error("programs with another inode and time are the same")
	}
}

// TestClockSetBack: nothing is lost or attributed to another time when the clock is set back, and what was
// measured twice in one step counts once.
func TestClockSetBack(t *testing.T) {
	c := &clock{epoch}
	s := newStore(t, filepath.Join(t.TempDir(), FileName), c, nil)
	put := func(step int, v float64) {
		t.Helper()
		if err := s.Append(epoch.Add(time.Duration(step)*Step), []Sample{{"a", "g", v, v, v}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 {
		put(100+i, 1)
	}
	for i := range 60 {
		put(80+i, 3)
	}
	c.now = epoch.Add(200 * Step)
	got, err := s.Series("a", "g", epoch, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 80 {
		t.Fatalf("%d points, want 80: steps 80 to 159", len(got))
	}
	for i, p := range got {
		low, high := 1.0, 3.0
		if i < 20 {
			low = 3
		}
		if i >= 60 {
			high = 1
		}
		want := Point{epoch.Add(time.Duration(80+i) * Step), low, (low + high) / 2, high}
		if p != want {
			t.Errorf("point %d: %+v, want %+v", i, p, want)
		}
	}
}

// TestBound: the file never exceeds its bound, the oldest values go first, and what is older than keep is
// not returned and gives its place back.
func TestBound(t *testing.T) {
	c := &clock{epoch}
	path := filepath.Join(t.TempDir(), FileName)
	s := newStore(t, path, c, func(o *Options) { o.MaxBytes = 3 << 20; o.Keep = 400 * 24 * time.Hour })
	const n, steps = 100, 4032
	fill(t, s, c, 0, steps, n)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 3<<20 {
		t.Errorf("%d bytes, want at most %d", info.Size(), 3<<20)
	}
	got, err := s.Series("t1", "spillway_gauge_1", epoch, c.now)
	if err != nil || len(got) < 400 || len(got) == steps {
		t.Fatalf("%d points, %v, want some of %d", len(got), err, steps)
	}
	check(t, s, 5, steps-len(got), steps)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = newStore(t, path, c, func(o *Options) { o.MaxBytes = 2500 << 10 })
	if info, err = os.Stat(path); err != nil || info.Size() > 2500<<10 {
		t.Errorf("%d bytes, %v, want at most %d after max_bytes was lowered", info.Size(), err, 2500<<10)
	}
	fill(t, s, c, steps, steps+100, n)
	check(t, s, 5, steps, steps+100)

	const day = 24 * 12
	c.now = epoch
	path = filepath.Join(t.TempDir(), FileName)
	s = newStore(t, path, c, func(o *Options) { o.Keep = 24 * time.Hour })
	fill(t, s, c, 0, 2*day, n)
	before, _ := os.Stat(path)
	fill(t, s, c, 2*day, 6*day, n)
	after, _ := os.Stat(path)
	if after.Size() > before.Size()+64<<10 {
		t.Errorf("the file has grown from %d to %d bytes although it keeps one day", before.Size(), after.Size())
	}
	if got, err := s.Series("t1", "spillway_gauge_1", epoch, c.now); len(got) != day || err != nil {
		t.Errorf("%d points, %v, want those of a day: %d", len(got), err, day)
	}
}

// TestManySeries: names that come and go do not fill the rows, and too many are dropped and reported.
func TestManySeries(t *testing.T) {
	c := &clock{epoch}
	s := newStore(t, filepath.Join(t.TempDir(), FileName), c, nil)
	for i := range 60 {
		var samples []Sample
		for k := range 300 {
			samples = append(samples, Sample{fmt.Sprint("t", i, ".", k), "g", 1, 2, 3})
		}
		if err := s.Append(epoch.Add(time.Duration(i)*Step), samples, nil); err != nil {
			t.Fatal(err)
		}
	}
	c.now = epoch.Add(60 * Step)
	for _, target := range []string{"t0.0", "t30.299", "t59.1"} {
		if got, err := s.Series(target, "g", epoch, c.now); len(got) != 1 || err != nil {
			t.Errorf("%s: %v, %v, want one point", target, got, err)
		}
	}
	many := make([]Sample, maxSeries+10)
	for k := range many {
		many[k] = Sample{fmt.Sprint("many", k), "g", 1, 2, 3}
	}
	for range 3 {
		if err := s.Append(epoch.Add(60*Step), many, nil); !errors.Is(err, ErrTooMany) {
			t.Errorf("%v, want %v", err, ErrTooMany)
		}
	}
	c.now = epoch.Add(61 * Step)
	if got, err := s.Series("many7", "g", epoch, c.now); len(got) != 1 || err != nil {
		t.Errorf("%v, %v, want one point of a series that had room", got, err)
	}
}

// TestForeignFilesAreLeftAlone: a file of a later version, another file and a link are refused and not
// changed by one byte.
func TestForeignFilesAreLeftAlone(t *testing.T) {
	later := encodeHeader()
	for _, at := range []int{0, headerTwin} {
		order.PutUint32(later[at+16:], version+1)
		order.PutUint32(later[at+20:], checksum(later[at:at+20]))
	}
	for _, tt := range []struct {
		name, content string
		want          error
	}{
		{"later version", string(later) + "what it means is not known", ErrVersion},
		{"another file", "SQLite format 3\x00" + strings.Repeat("x", 10000), ErrForeign},
		{"a short text", "hello", ErrForeign},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), FileName)
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := New(Options{Path: path}).Open(); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if got, err := os.ReadFile(path); string(got) != tt.content || err != nil {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
	dir := t.TempDir()
	link := filepath.Join(dir, FileName)
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	if err := New(Options{Path: link}).Open(); err == nil {
		t.Error("a link was followed")
	}
	if _, err := os.Stat(filepath.Join(dir, "elsewhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file that the link names was made: %v", err)
	}
	// The beginning of a header, as a crash at the first start leaves it, is a new file.
	begun := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(begun, encodeHeader()[:10], 0o600); err != nil {
		t.Fatal(err)
	}
	newStore(t, begun, &clock{epoch}, nil)
}

func TestMetrics(t *testing.T) {
	c := &clock{epoch}
	reg := prometheus.NewRegistry()
	s := newStore(t, filepath.Join(t.TempDir(), FileName), c, func(o *Options) { o.Registerer = reg })
	fill(t, s, c, 0, 1, 7)
	want := fmt.Sprintf(`
# HELP spillway_history_append_failures_total Attempts to add to the history that failed, such as on a full disk.
# TYPE spillway_history_append_failures_total counter
spillway_history_append_failures_total 0
# HELP spillway_history_damaged_parts_total Parts of the history that were dropped because they were damaged.
# TYPE spillway_history_damaged_parts_total counter
spillway_history_damaged_parts_total 0
# HELP spillway_history_last_append_timestamp_seconds Unix time of the last successful addition to the history; absent before the first.
# TYPE spillway_history_last_append_timestamp_seconds gauge
spillway_history_last_append_timestamp_seconds %v
# HELP spillway_history_series Series in the last five minutes that the history has.
# TYPE spillway_history_series gauge
spillway_history_series 7
# HELP spillway_history_size_bytes Bytes of the history that hold values.
# TYPE spillway_history_size_bytes gauge
spillway_history_size_bytes 4544
`, float64(c.now.Unix()))
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); len(problems) > 0 || err != nil {
		t.Errorf("%v, %v", problems, err)
	}
}
