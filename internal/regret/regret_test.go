package regret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// memory is a store.
type memory struct {
	states map[string][]byte
	err    error
	puts   int
}

func (m *memory) States(prefix string) (map[string][]byte, error) {
	out := make(map[string][]byte)
	for key, value := range m.states {
		if strings.HasPrefix(key, prefix) {
			out[key] = value
		}
	}
	return out, m.err
}

func (m *memory) PutState(_ context.Context, key string, value []byte) error {
	switch {
	case m.err != nil:
	case value == nil:
		delete(m.states, key)
	default:
		m.states[key] = value
		m.puts++
	}
	return m.err
}

func newMemory() *memory { return &memory{states: make(map[string][]byte)} }

var media = Of{"app", "cache", "media"}

// dryRun records a dry run at a time that would have removed files.
func dryRun(t *testing.T, r *Recorder, paths ...string) {
	t.Helper()
	run := r.Begin("app")
	for _, p := range paths {
		run.Note("cache", "media", []byte(p))
	}
	if err := run.End(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestLook: each victim is used soon, later, not, or it is not known; one that came back in a later dry run
// keeps its first time, also across a restart.
func TestLook(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Truncate(time.Second).Add(-5 * Day)
	write := func(name string, access, write time.Time) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, access, write); err != nil {
			t.Fatal(err)
		}
	}
	old := at.Add(-9 * Day)
	write("never", old, old)
	write("sub/soon", at.Add(time.Hour), old)
	write("written", old, at.Add(time.Hour))
	write("later", at.Add(2*Day), old)
	write("other", at.Add(time.Hour), old) // no victim
	write("recent", old, old)
	store := newMemory()
	now := at
	clock := func() time.Time { return now }
	dryRun(t, New(store, clock), "never", "sub/soon", "written", "later", "gone")
	now = at.Add(4*Day + time.Hour)
	dryRun(t, New(store, clock), "never", "sub/soon", "recent") // after a restart
	o := Options{Dir: dir, Recursive: true, Since: at.Add(-time.Hour), Now: at.Add(5 * Day)}
	got, err := Look(t.Context(), store, media, o)
	want := Count{Victims: 6, Soon: 2, Later: 1, NotUsed: 1, Recent: 1, NotSeen: 1, Scale: 1}
	if got.NoAtime { // the folder of the tests is on such a mount: what was not used is not known
		want.NotUsed, want.Recent, want.NotSeen, want.NoAtime = 0, 0, 3, true
	}
	if err != nil || got != want {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
	o.Since = at.Add(4 * Day)
	if got, err := Look(t.Context(), store, media, o); err != nil || got.Victims != 1 {
		t.Errorf("of the last day: %+v, %v", got, err)
	}
	o.Since, o.Dir = at.Add(-time.Hour), dir+"/missing"
	if got, err := Look(t.Context(), store, media, o); err == nil || got.Victims != 6 || got.NotSeen != 6 {
		t.Errorf("without the folder: %+v, %v", got, err)
	}
}

// TestObserved: what the kernel does not note is not known.
func TestObserved(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	f := func(access, write time.Duration, flags int64, want bool) {
		t.Helper()
		x := times{access: at.Add(-access), write: at.Add(-write), change: at.Add(-write)}
		if got := x.observed(at, flags); got != want {
			t.Errorf("access %s ago, write %s ago, flags %#x: %v", access, write, flags, got)
		}
	}
	f(time.Hour, 9*Day, 0, true) // strictatime
	f(time.Hour, 9*Day, flagRelatime, false)
	f(Day, 9*Day, flagRelatime, true)
	f(time.Hour, time.Hour, flagRelatime, true) // written since it was read
	f(2*Day, 9*Day, flagNoAtime, false)
	f(2*Day, 9*Day, flagReadOnly|flagRelatime, false)
}

// TestBounded: however many victims there are, a sample is kept, and its scale says how many they were.
func TestBounded(t *testing.T) {
	store, n := newMemory(), 50_000
	paths := make([]string, n)
	for i := range paths {
		paths[i] = fmt.Sprintf("%02x/%06d.bin", i%256, i)
	}
	dryRun(t, New(store, time.Now), paths...)
	state := store.states[media.key()]
	if len(state) > headerBytes+sample*entryBytes {
		t.Errorf("%d bytes are stored", len(state))
	}
	got, _ := Look(t.Context(), store, media, Options{Dir: "/nonexistent", Now: time.Now()})
	if about := got.Victims * got.Scale; got.Victims < sample/4 || about < n*9/10 || about > n*11/10 {
		t.Errorf("%+v stands for %d of %d", got, about, n)
	}
	puts := store.puts
	dryRun(t, New(store, time.Now), paths...)
	if store.puts != puts {
		t.Error("the same victims were written again")
	}
}

// TestEnd: a store that fails costs the victims of one run and is asked once, those of a month ago go, and a
// state that cannot be read is begun anew.
func TestEnd(t *testing.T) {
	store, now := newMemory(), time.Now()
	r := New(store, func() time.Time { return now })
	holds := func(when string, want int) {
		t.Helper()
		if v, err := read(store, media); err != nil || len(v.at) != want {
			t.Errorf("%s: %v, %v", when, v, err)
		}
	}
	run := r.Begin("app")
	run.Note("cache", "media", []byte("a"))
	store.err = errors.New("disk full")
	if err := run.End(t.Context()); !errors.Is(err, store.err) {
		t.Errorf("%v", err)
	}
	run.Note("cache", "media", []byte("late")) // by an action that was left behind
	run = r.Begin("app")
	run.Note("cache", "media", []byte("a"))
	store.err = nil
	run.Note("cache", "media", []byte("b"))
	if err := run.End(t.Context()); err == nil || len(store.states) != 0 {
		t.Errorf("a run whose policy could not be read: %v, %d states", err, len(store.states))
	}
	dryRun(t, r, "a", "b")
	holds("after the failures", 2)
	now = now.Add(keep + time.Hour)
	dryRun(t, r, "c")
	holds("a month later", 1)
	store.states[media.key()] = []byte("broken")
	dryRun(t, New(store, time.Now), "d")
	holds("after the damage", 1)
}

// TestManyPolicies: the states of all policies are bounded, and those that are too old make room.
func TestManyPolicies(t *testing.T) {
	store, now := newMemory(), time.Now()
	r := New(store, func() time.Time { return now })
	note := func(i int) error {
		run := r.Begin("app")
		run.Note("cache", fmt.Sprintf("p%d", i), []byte("a"))
		return run.End(t.Context())
	}
	for i := range maxPolicies {
		if err := note(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := note(maxPolicies); err == nil || len(store.states) != maxPolicies {
		t.Errorf("%v, %d states", err, len(store.states))
	}
	if err := note(0); err != nil {
		t.Errorf("one that has a state: %v", err)
	}
	now = now.Add(keep + time.Hour)
	if err := note(maxPolicies); err != nil || len(store.states) != 1 {
		t.Errorf("a month later: %v, %d states", err, len(store.states))
	}
}

// FuzzDecode: what is decoded is encoded as it was, and nothing panics.
func FuzzDecode(f *testing.F) {
	v := newVictims()
	v.add(hash([]byte("a")), 1)
	v.add(hash([]byte("b")), 2)
	f.Add(v.encode())
	f.Add([]byte{version, 64, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(v.encode())
		if err != nil || !bytes.Equal(again.encode(), v.encode()) {
			t.Errorf("%v", err)
		}
	})
}

// BenchmarkNote is the price of a file of a dry run.
func BenchmarkNote(b *testing.B) {
	run := New(newMemory(), time.Now).Begin("app")
	paths := make([][]byte, 50_000)
	for i := range paths {
		paths[i] = fmt.Appendf(nil, "%02x/%06d.bin", i%256, i)
	}
	for _, p := range paths {
		run.Note("cache", "media", p)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		run.Note("cache", "media", paths[i%len(paths)])
	}
}
