package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestCodec: what is encoded under an id is decoded under it alone, and any changed bit is found.
func TestCodec(t *testing.T) {
	r := Record{
		RunID: "run", Time: newClock().now(), Target: "a", Playbook: "p", Step: 2, Action: "clean_temp", Trigger: "webhook", Alert: "A", Fingerprint: "f", Mode: "enforce", Intent: "i\n\"ü\"",
		Level: "warning", Before: "b", After: "a", Files: 1, Bytes: 2, FreedBytes: 3, Skipped: map[string]int64{"in_use": 4}, Outcome: "done", DurationSecs: .5, Error: "e", Detail: "d", Output: "o", Alerts: 6,
	}
	id := formatID(42)
	if parseID(id) != 42 || parseID("no id") != 0 {
		t.Errorf("%q is read as %d", id, parseID(id))
	}
	v := seal(id, encode(r))
	want := r
	want.ID = id
	got, err := decode(id, v)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if isOpen(v) || isOpen(nil) || !isOpen(encode(Record{})) {
		t.Error("a record is open while it has no outcome")
	}
	if _, err := decode(formatID(43), v); !errors.Is(err, errDamaged) {
		t.Errorf("under another id: %v", err)
	}
	for i := range v {
		for bit := range 8 {
			v[i] ^= 1 << bit
			// The state's byte is not part of the sum: the outcome distinguishes open from closed, too.
			if _, err := decode(id, v); err == nil && v[0] != stateOpen {
				t.Fatalf("bit %d of byte %d is changed, and no one notices", bit, i)
			}
			v[i] ^= 1 << bit
		}
	}
	for n := range len(v) {
		if _, err := decode(id, v[:n]); !errors.Is(err, errDamaged) {
			t.Fatalf("%d of %d bytes: %v", n, len(v), err)
		}
	}
	// A sum that is right over what is not JSON.
	text := append(make([]byte, headerBytes), "{"...)
	text[0] = stateClosed
	copy(text[1:], encodeSum([]byte("{")))
	if _, err := decode(id, seal(id, text)); !errors.Is(err, errDamaged) {
		t.Errorf("no JSON: %v", err)
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		r.DurationSecs = bad
		if got, err := decode(id, seal(id, encode(r))); err != nil || got.DurationSecs != 0 || got.Error != "e" {
			t.Errorf("a duration of %v takes the record with it: %+v, %v", bad, got, err)
		}
	}
}

// encodeSum is the sum of a text as encode writes it.
func encodeSum(text []byte) []byte {
	out := make([]byte, 4)
	sum := crcOf(text)
	for i := range out {
		out[i] = byte(sum >> (8 * i))
	}
	return out
}

// crcOf is CRC-32C bit by bit, from its definition.
func crcOf(text []byte) uint32 {
	crc := ^uint32(0)
	for _, b := range text {
		crc ^= uint32(b)
		for range 8 {
			crc = crc>>1 ^ 0x82F63B78&-(crc&1)
		}
	}
	return ^crc
}

// TestQueryAgainstAList: random filters and page sizes give what a plain list gives, each record once.
func TestQueryAgainstAList(t *testing.T) {
	both(t, func(t *testing.T, j *Journal, c *clock) {
		rng := rand.New(rand.NewPCG(9, 9))
		pick := func(from ...string) string { return from[rng.IntN(len(from))] }
		start := c.now()
		var list []Record // newest first
		for i := range 60 {
			c.add(time.Duration(rng.IntN(3)) * time.Second)
			id := begin(t, j, Record{Target: pick("a", "b"), Playbook: pick("p", "q"), RunID: pick("", "r"), Step: i})
			if outcome := pick("", "done", "failed"); outcome != "" {
				finish(t, j, id, outcome)
			}
			r, _, err := j.Get(id)
			if err != nil {
				t.Fatal(err)
			}
			list = append([]Record{r}, list...)
		}
		for range 200 {
			f := Filter{Target: pick("", "a", "b", "c"), Playbook: pick("", "p"), Outcome: pick("", OutcomeOpen, "done"), RunID: pick("", "", "r"), Limit: 1 + rng.IntN(70)}
			if rng.IntN(2) == 0 {
				f.Since = start.Add(time.Duration(rng.IntN(60)) * time.Second)
			}
			if rng.IntN(2) == 0 {
				f.Until = start.Add(time.Duration(rng.IntN(60)) * time.Second)
			}
			var want, got []int
			for _, r := range list {
				if (f.Target == "" || r.Target == f.Target) && (f.Playbook == "" || r.Playbook == f.Playbook) && (f.RunID == "" || r.RunID == f.RunID) &&
					(f.Outcome == "" || r.Outcome == f.Outcome || f.Outcome == OutcomeOpen && r.Outcome == "") &&
					(f.Since.IsZero() || !r.Time.Before(f.Since)) && (f.Until.IsZero() || r.Time.Before(f.Until)) {
					want = append(want, r.Step)
				}
			}
			for {
				page, next, err := j.Query(f)
				if err != nil || len(page) > f.Limit || next != "" && len(page) != f.Limit {
					t.Fatalf("%+v: %d records, next %q, %v", f, len(page), next, err)
				}
				for _, r := range page {
					got = append(got, r.Step)
				}
				if f.After = next; next == "" {
					break
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%+v (-want +got):\n%s", f, diff)
			}
		}
		for _, after := range []string{"ffffffffffffffff", "g"} {
			if n := len(all(t, j, Filter{After: after})); n != len(list) {
				t.Errorf("%d records before %s, want all %d", n, after, len(list))
			}
		}
		if n := len(all(t, j, Filter{After: "0"})); n != 0 {
			t.Errorf("%d records before all of them", n)
		}
	})
}

// TestQueryAtTheEdgesOfTime: a time that has no number of nanoseconds chooses as any other does.
func TestQueryAtTheEdgesOfTime(t *testing.T) {
	both(t, func(t *testing.T, j *Journal, _ *clock) {
		begin(t, j, Record{})
		year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
		for _, y := range []int{1, 1000, 1600, 1677, 1969, 2025, 2100, 2263, 2600, 9999} {
			want := 0
			if y < 2026 {
				want = 1
			}
			if n := len(all(t, j, Filter{Since: year(y).Add(1)})); n != want {
				t.Errorf("since %d: %d records, want %d", y, n, want)
			}
			if n := len(all(t, j, Filter{Until: year(y).Add(1)})); n != 1-want {
				t.Errorf("until %d: %d records, want %d", y, n, 1-want)
			}
		}
	})
}

// TestBeginAllIsAllOrNone: one intent each, in order, or none where the caller has gone; its records are its
// own.
func TestBeginAllIsAllOrNone(t *testing.T) {
	both(t, func(t *testing.T, j *Journal, c *clock) {
		records := []Record{{Target: "a", Outcome: "done"}, {Target: "b", RunID: "r"}, {Target: "c"}}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if ids, err := j.BeginAll(ended, records); !errors.Is(err, context.Canceled) || ids != nil {
			t.Errorf("%q, %v", ids, err)
		}
		if n := len(all(t, j, Filter{})); n != 0 {
			t.Errorf("%d records of a caller that has gone", n)
		}
		ids, err := j.BeginAll(t.Context(), records)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range all(t, j, Filter{}) {
			got = append(got, fmt.Sprint(r.Target, " ", r.Outcome, " ", r.ID == r.RunID, " ", r.Time.Equal(c.now())))
		}
		if diff := cmp.Diff([]string{"c  true true", "b  false true", "a  true true"}, got); diff != "" || len(ids) != 3 {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if records[0].Outcome != "done" || !records[0].Time.IsZero() {
			t.Errorf("the caller's record is now %+v", records[0])
		}
		if err := j.Failure(); err != nil || !j.Writable() {
			t.Errorf("failure %v, writable %v", err, j.Writable())
		}
		if err := errors.Join(j.Close(), j.Close()); err != nil {
			t.Error(err)
		}
		if err := j.PutState(t.Context(), "k", nil); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v, want ErrClosed", err)
		}
	})
}

// TestReadOnlyRefuses: nothing of a journal that was opened for reading changes, and what cannot be read is
// told apart from what does not exist.
func TestReadOnlyRefuses(t *testing.T) {
	dir := t.TempDir()
	open := func(dir string) (*Journal, error) { return OpenReadOnly(Options{Dir: dir, Logger: quiet()}) }
	if _, err := open(dir); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrCorrupt) {
		t.Errorf("no journal: %v", err)
	}
	w := openTest(t, Options{Dir: dir})
	id := begin(t, w, Record{Target: "a"})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	j, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if _, err := j.Begin(t.Context(), Record{}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Begin: %v", err)
	}
	if err := j.PutState(t.Context(), "k", []byte("v")); !errors.Is(err, ErrReadOnly) {
		t.Errorf("PutState: %v", err)
	}
	for name, err := range map[string]error{"Finish": j.Finish(t.Context(), id, outcome("done")), "FinishLater": j.FinishLater(id, outcome("done"))} {
		if !errors.Is(err, ErrNotOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r, found, err := j.Get(id); !found || err != nil || r.Outcome != "" || j.Writable() {
		t.Errorf("%+v, %v, %v", r, found, err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file has changed, %v", err)
	}
	for name, text := range map[string]string{"empty": "", "text": strings.Repeat("not a journal\n", 1000), "cut": string(before[:3*os.Getpagesize()])} {
		other := t.TempDir()
		if err := os.WriteFile(filepath.Join(other, fileName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(other); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), other) {
			t.Errorf("%s: %v, want ErrCorrupt with its path", name, err)
		}
	}
	linked := t.TempDir()
	if err := os.Symlink(path, filepath.Join(linked, fileName)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(linked); err == nil {
		t.Error("a link was followed")
	}
}

// TestCorruptErrorSaysHowToGoOn: with its cause or without, and both are found in it.
func TestCorruptErrorSaysHowToGoOn(t *testing.T) {
	cause := errors.New("page 3 is odd")
	for want, e := range map[string]*CorruptError{
		"/j is corrupt (page 3 is odd) and is now /j.corrupt: ":        {Path: "/j", Moved: "/j.corrupt", Cause: cause},
		"/j was found corrupt by an earlier start and is now /j.old: ": {Path: "/j", Moved: "/j.old"},
	} {
		if !strings.HasPrefix(e.Error(), want) || !strings.HasSuffix(e.Error(), "or write journal: {on_corrupt: recreate}") {
			t.Errorf("%v, want %q", e, want)
		}
		wrapped := fmt.Errorf("open: %w", e)
		if !errors.Is(wrapped, ErrCorrupt) || errors.Is(wrapped, ErrLocked) || errors.Is(wrapped, cause) != (e.Cause != nil) {
			t.Errorf("%v is not found as what it is", wrapped)
		}
	}
}
