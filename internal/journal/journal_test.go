package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("JOURNAL_TEST_CHILD"); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openTest(t *testing.T, o Options) *Journal {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet()
	}
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func begin(t *testing.T, j *Journal, r Record) string {
	t.Helper()
	id, err := j.Begin(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func finish(t *testing.T, j *Journal, id, outcome string) {
	t.Helper()
	if err := j.Finish(t.Context(), id, func(r *Record) { r.Outcome = outcome }); err != nil {
		t.Fatal(err)
	}
}

func all(t *testing.T, j *Journal, f Filter) []Record {
	t.Helper()
	f.Limit = MaxLimit
	records, next, err := j.Query(f)
	if err != nil || next != "" {
		t.Fatalf("query: next %q, error %v", next, err)
	}
	return records
}

// both runs a test against a journal on disk and one in memory.
func both(t *testing.T, f func(t *testing.T, j *Journal, clock *clock)) {
	t.Run("file", func(t *testing.T) {
		c := newClock()
		f(t, openTest(t, Options{Dir: t.TempDir(), Now: c.now}), c)
	})
	t.Run("memory", func(t *testing.T) {
		c := newClock()
		j := OpenMemory(Options{Logger: quiet(), Now: c.now})
		defer j.Close()
		f(t, j, c)
	})
}

// clock is moved by the test.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func TestBeginFinish(t *testing.T) {
	both(t, func(t *testing.T, j *Journal, c *clock) {
		id := begin(t, j, Record{Target: "svc", Playbook: "relieve_memory", Intent: "run it", Mode: "enforce"})
		want := Record{ID: id, RunID: id, Time: c.now(), Target: "svc", Playbook: "relieve_memory", Intent: "run it", Mode: "enforce"}
		if diff := cmp.Diff([]Record{want}, all(t, j, Filter{})); diff != "" {
			t.Errorf("after Begin (-want +got):\n%s", diff)
		}
		err := j.Finish(t.Context(), id, func(r *Record) {
			r.ID, r.RunID, r.Time = "x", "y", time.Time{} // not for the caller to change
			r.Outcome, r.Files, r.FreedBytes, r.Skipped, r.DurationSecs = "done", 3, 4096, map[string]int64{"in_use": 1}, 1.5
		})
		if err != nil {
			t.Fatal(err)
		}
		want.Outcome, want.Files, want.FreedBytes, want.Skipped, want.DurationSecs = "done", 3, 4096, map[string]int64{"in_use": 1}, 1.5
		got, found, err := j.Get(id)
		if err != nil || !found {
			t.Fatalf("Get: %v, %v", found, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after Finish (-want +got):\n%s", diff)
		}
		if err := j.Finish(t.Context(), id, func(*Record) {}); !errors.Is(err, ErrNotOpen) {
			t.Errorf("a second Finish: %v, want ErrNotOpen", err)
		}
		if _, found, err := j.Get("ffffffffffffffff"); found || err != nil {
			t.Errorf("Get of what does not exist: %v, %v", found, err)
		}
	})
}

func TestIDsSortByTimeAlsoWhenTheClockGoesBack(t *testing.T) {
	both(t, func(t *testing.T, j *Journal, c *clock) {
		var ids []string
		for _, d := range []time.Duration{0, 0, time.Second, -time.Hour, 0, 2 * time.Hour} {
			c.add(d)
			ids = append(ids, begin(t, j, Record{}))
		}
		for i := 1; i < len(ids); i++ {
			if ids[i] <= ids[i-1] {
				t.Errorf("id %d %q is not after %q", i, ids[i], ids[i-1])
			}
		}
		// The records written while the clock was an hour back are found by their time.
		got := all(t, j, Filter{Until: newClock().now()})
		if len(got) != 2 {
			t.Errorf("%d records before the start, want the 2 written while the clock was back", len(got))
		}
	})
}

func TestQueryFiltersAndPages(t *testing.T) {
	both(t, func(t *testing.T, j *Journal, c *clock) {
		start := c.now()
		for i := range 10 {
			id := begin(t, j, Record{Target: fmt.Sprintf("t%d", i%2), Playbook: fmt.Sprintf("p%d", i%3), Step: i})
			if i < 8 {
				finish(t, j, id, []string{"done", "failed"}[i%2])
			}
			c.add(time.Minute)
		}
		steps := func(f Filter) string {
			var out []string
			for _, r := range all(t, j, f) {
				out = append(out, fmt.Sprint(r.Step))
			}
			return strings.Join(out, " ")
		}
		f := func(filter Filter, want string) {
			t.Helper()
			if got := steps(filter); got != want {
				t.Errorf("%+v: steps %q, want %q", filter, got, want)
			}
		}
		f(Filter{}, "9 8 7 6 5 4 3 2 1 0")
		f(Filter{Target: "t1"}, "9 7 5 3 1")
		f(Filter{Playbook: "p0"}, "9 6 3 0")
		f(Filter{Outcome: "failed"}, "7 5 3 1")
		f(Filter{Outcome: OutcomeOpen}, "9 8")
		f(Filter{Since: start.Add(7 * time.Minute)}, "9 8 7")
		f(Filter{Until: start.Add(2 * time.Minute)}, "1 0")
		f(Filter{Since: start.Add(3 * time.Minute), Until: start.Add(5 * time.Minute)}, "4 3")
		f(Filter{Target: "t0", Outcome: "done", Since: start.Add(time.Minute)}, "6 4 2")

		var pages [][]int
		after := ""
		for {
			records, next, err := j.Query(Filter{Target: "t0", Limit: 2, After: after})
			if err != nil {
				t.Fatal(err)
			}
			var page []int
			for _, r := range records {
				page = append(page, r.Step)
			}
			pages = append(pages, page)
			if after = next; next == "" {
				break
			}
		}
		if diff := cmp.Diff([][]int{{8, 6}, {4, 2}, {0}}, pages); diff != "" {
			t.Errorf("pages (-want +got):\n%s", diff)
		}
	})
}

func TestState(t *testing.T) {
	both(t, func(t *testing.T, j *Journal, _ *clock) {
		put := func(key, value string) {
			t.Helper()
			if err := j.PutState(t.Context(), key, []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		put("a/1", "one")
		put("a/2", "two")
		put("b", "three")
		put("a/1", "uno")
		got, err := j.States("a/")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string][]byte{"a/1": []byte("uno"), "a/2": []byte("two")}, got); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
		if err := j.PutState(t.Context(), "a/1", nil); err != nil {
			t.Fatal(err)
		}
		if v, err := j.State("a/1"); v != nil || err != nil {
			t.Errorf("a deleted state is %q, %v", v, err)
		}
		if v, err := j.State("b"); string(v) != "three" || err != nil {
			t.Errorf("state b = %q, %v", v, err)
		}
		for _, key := range []string{"", strings.Repeat("k", maxStateKey+1)} {
			if err := j.PutState(t.Context(), key, []byte("x")); !errors.Is(err, ErrTooLarge) {
				t.Errorf("a key of %d bytes: %v, want ErrTooLarge", len(key), err)
			}
		}
		if err := j.PutState(t.Context(), "k", make([]byte, maxStateValue+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("a large value: %v, want ErrTooLarge", err)
		}
	})
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	c := newClock()
	j := openTest(t, Options{Dir: dir, Now: c.now})
	if !j.Durable() || !j.Writable() {
		t.Errorf("durable %v, writable %v, want both", j.Durable(), j.Writable())
	}
	closed := begin(t, j, Record{Target: "svc", Step: 0})
	finish(t, j, closed, "done")
	open := begin(t, j, Record{Target: "svc", Step: 1, Action: "clean_temp"})
	if err := j.PutState(t.Context(), "cooldown/svc", []byte("5m")); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Begin(t.Context(), Record{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Begin after Close: %v, want ErrClosed", err)
	}
	if j.Writable() {
		t.Error("a closed journal says that it is writable")
	}

	c.add(-time.Hour) // the clock was wrong before the restart
	j = openTest(t, Options{Dir: dir, Now: c.now})
	got := j.Interrupted()
	if len(got) != 1 || got[0].ID != open || got[0].Action != "clean_temp" || got[0].Outcome != OutcomeInterrupted {
		t.Errorf("interrupted: %+v, want the open one", got)
	}
	if r, _, _ := j.Get(open); r.Outcome != OutcomeInterrupted || r.Error == "" {
		t.Errorf("the open record is now %+v", r)
	}
	if r, _, _ := j.Get(closed); r.Outcome != "done" {
		t.Errorf("the finished record is now %+v", r)
	}
	if v, err := j.State("cooldown/svc"); string(v) != "5m" || err != nil {
		t.Errorf("state = %q, %v", v, err)
	}
	if id := begin(t, j, Record{}); id <= open {
		t.Errorf("the first id after the restart, %q, is not after %q", id, open)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = openTest(t, Options{Dir: dir})
	if got := j.Interrupted(); len(got) != 1 || got[0].ID == open {
		t.Errorf("second restart: %+v, want only the record of the second life", got)
	}
}

func TestFileIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	j := openTest(t, Options{Dir: dir})
	j.Close()
	f := func(path string, want os.FileMode) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	f(dir, 0o700)
	f(j.Path(), 0o600)
	if err := os.Chmod(j.Path(), 0o644); err != nil {
		t.Fatal(err)
	}
	openTest(t, Options{Dir: dir})
	f(j.Path(), 0o600)
}

func TestFileMayNotBeALink(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	j := openTest(t, Options{Dir: other})
	j.Close()
	if err := os.Symlink(j.Path(), filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir, Logger: quiet()}); err == nil || errors.Is(err, ErrCorrupt) {
		t.Errorf("a link is opened: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, fileName)); err != nil {
		t.Errorf("the link was moved: %v", err)
	}
}

func TestSecondOpenIsRefusedSoon(t *testing.T) {
	dir := t.TempDir()
	openTest(t, Options{Dir: dir})
	start := time.Now()
	_, err := Open(Options{Dir: dir, Logger: quiet()})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "another") || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, want ErrLocked that names the folder and what to do", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestReadOnlyBesideAWriter(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenReadOnly(Options{Dir: dir, Logger: quiet()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no journal: %v, want ErrNotExist", err)
	}
	j := openTest(t, Options{Dir: dir})
	id := begin(t, j, Record{Target: "svc"})
	ro, err := OpenReadOnly(Options{Dir: dir, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	finish(t, j, id, "done")
	got := all(t, ro, Filter{})
	if len(got) != 1 || got[0].ID != id || got[0].Outcome != "" {
		t.Errorf("read %+v, want the intent as it was, still open", got)
	}
	if _, err := ro.Begin(t.Context(), Record{}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Begin: %v, want ErrReadOnly", err)
	}
	if ro.Writable() {
		t.Error("it says that it is writable")
	}
	if got := all(t, j, Filter{}); len(got) != 1 || got[0].Outcome != "done" {
		t.Errorf("the writer's own: %+v", got)
	}
}

func TestReadOnlyWhileItIsWritten(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, Options{Dir: dir})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if id, err := j.Begin(ctx, Record{Target: "svc", Intent: strings.Repeat("x", 500)}); err == nil {
				j.Finish(ctx, id, func(r *Record) { r.Outcome = "done" })
			}
		}
	})
	seen := 0
	for range 20 {
		ro, err := OpenReadOnly(Options{Dir: dir, Logger: quiet()})
		if err != nil {
			if strings.Contains(err.Error(), "too often") {
				continue // said so, and read nothing wrong
			}
			t.Error(err)
			break
		}
		seen++
		if _, _, err := ro.Query(Filter{Limit: MaxLimit}); err != nil {
			t.Error(err)
		}
		ro.Close()
	}
	stop()
	wg.Wait()
	t.Logf("%d of 20 copies were whole", seen)
}

func TestRetentionByAge(t *testing.T) {
	dir := t.TempDir()
	c := newClock()
	o := Options{Dir: dir, Now: c.now, Keep: 24 * time.Hour}
	j := openTest(t, o)
	c.add(1000 * time.Hour) // the clock is wrong once
	finish(t, j, begin(t, j, Record{Step: 99}), "done")
	c.add(-1000 * time.Hour)
	open := begin(t, j, Record{Step: 1})
	for step := 2; step < 5; step++ {
		finish(t, j, begin(t, j, Record{Step: step}), "done")
		c.add(12 * time.Hour)
	}
	reopen := func() []Record {
		t.Helper()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j = openTest(t, o)
		if err := j.PutState(t.Context(), "barrier", []byte("x")); err != nil { // the writer looks before it takes work
			t.Fatal(err)
		}
		return all(t, j, Filter{})
	}
	var steps []int
	for _, r := range reopen() {
		steps = append(steps, r.Step)
	}
	// 36 h have passed: step 2 is 36 h old, 3 is 24 h, 4 is 12 h; the open one was 36 h old and
	// is interrupted now, and 99 is in the future.
	if diff := cmp.Diff([]int{4, 3, 99}, steps); diff != "" {
		t.Errorf("steps kept (-want +got):\n%s", diff)
	}
	if got := j.Interrupted(); len(got) != 1 || got[0].ID != open {
		t.Errorf("interrupted %+v, want the open one although it is too old to keep", got)
	}
}

func TestRetentionBySize(t *testing.T) {
	dir := t.TempDir()
	reg := prometheus.NewPedanticRegistry()
	j := openTest(t, Options{Dir: dir, MaxBytes: 4 << 20, Registerer: reg})
	open := begin(t, j, Record{Intent: "still open"})
	text := strings.Repeat("x", 2000)
	var last string
	for range 20 {
		batch := make([]Record, 500)
		for i := range batch {
			batch[i].Intent = text
		}
		ids, err := j.BeginAll(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, id := range ids {
			wg.Go(func() { j.Finish(t.Context(), id, func(r *Record) { r.Outcome = "done" }) })
		}
		wg.Wait()
		last = ids[len(ids)-1]
	}
	info, err := os.Stat(j.Path())
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 24<<20 {
		t.Errorf("20 MB of records were written and the file has %d MiB, want it bounded near 4 MiB and what is in flight", info.Size()>>20)
	}
	for id, want := range map[string]bool{open: true, last: true} {
		if _, found, err := j.Get(id); found != want || err != nil {
			t.Errorf("record %s: found %v, %v, want %v", id, found, err, want)
		}
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP spillway_journal_durable Whether the journal outlives the process; while it is 0 only dry runs are allowed.
# TYPE spillway_journal_durable gauge
spillway_journal_durable 1
# HELP spillway_journal_writable Whether the last write to the journal succeeded; while it is 0 no action runs.
# TYPE spillway_journal_writable gauge
spillway_journal_writable 1
`), "spillway_journal_durable", "spillway_journal_writable"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

func TestMemoryIsBoundedAndNotDurable(t *testing.T) {
	j := OpenMemory(Options{Logger: quiet()})
	defer j.Close()
	if j.Durable() {
		t.Error("memory says that it is durable")
	}
	open := begin(t, j, Record{Intent: "still open"})
	for range memoryRecords + 500 {
		finish(t, j, begin(t, j, Record{}), "done")
	}
	if n := len(j.held.(*memory).ids); n > memoryRecords {
		t.Errorf("%d records are held, want at most %d", n, memoryRecords)
	}
	if r, found, _ := j.Get(open); !found || r.Outcome != "" {
		t.Errorf("the open intent is gone: %+v", r)
	}
	for i := range memoryStates + 100 {
		if err := j.PutState(t.Context(), fmt.Sprint(i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(j.held.(*memory).state); n > memoryStates {
		t.Errorf("%d states are held, want at most %d", n, memoryStates)
	}
}

func TestRecordsAreClipped(t *testing.T) {
	both(t, func(t *testing.T, j *Journal, _ *clock) {
		skipped := make(map[string]int64)
		for i := range maxReasons + 1 {
			skipped[fmt.Sprint(i)] = 2
		}
		id := begin(t, j, Record{Intent: strings.Repeat("ä", maxText)})
		if err := j.Finish(t.Context(), id, func(r *Record) { r.Skipped = skipped }); err != nil {
			t.Fatal(err)
		}
		r, _, err := j.Get(id)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Intent) > maxText || !strings.HasSuffix(r.Intent, "ä…") {
			t.Errorf("the intent has %d bytes and ends in %q", len(r.Intent), r.Intent[len(r.Intent)-6:])
		}
		if diff := cmp.Diff(map[string]int64{"too_many_reasons": 2 * (maxReasons + 1)}, r.Skipped); diff != "" {
			t.Errorf("skipped (-want +got):\n%s", diff)
		}
		if r.Outcome != "unknown" {
			t.Errorf("outcome %q of a result that names none, want unknown", r.Outcome)
		}
	})
}

func TestBeginGivesUpWithItsContext(t *testing.T) {
	both(t, func(t *testing.T, j *Journal, _ *clock) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := j.Begin(ctx, Record{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Begin: %v, want Canceled", err)
		}
		id := begin(t, j, Record{})
		if err := j.Finish(ctx, id, func(r *Record) { r.Outcome = "done" }); err != nil {
			t.Errorf("Finish of a caller that no longer waits: %v, want the result written", err)
		}
		if got := all(t, j, Filter{}); len(got) != 1 || got[0].Outcome != "done" {
			t.Errorf("records %+v, want one that is done", got)
		}
	})
}
