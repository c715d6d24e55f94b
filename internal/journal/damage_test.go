package journal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// within runs f, which must end in five seconds.
func within(t *testing.T, what string, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(5 * time.Second):
		t.Fatalf("%s does not return within 5s", what)
		return nil
	}
}

// overwrite changes bytes of the file in place, as dd conv=notrunc does.
func overwrite(t *testing.T, path string, from, to int64, with func([]byte)) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if to == 0 {
		to = info.Size()
	}
	b := make([]byte, to-from)
	with(b)
	if _, err := f.WriteAt(b, from); err != nil {
		t.Fatal(err)
	}
}

func noise(b []byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

func zeros(b []byte) { clear(b) }

// damages are what befalls the file of an open journal.
var damages = map[string]func(t *testing.T, path string){
	"truncated to 0": func(t *testing.T, path string) {
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
	},
	"cut short": func(t *testing.T, path string) { // what is behind the last page in use is not missed
		if err := os.Truncate(path, 3*int64(os.Getpagesize())); err != nil {
			t.Fatal(err)
		}
	},
	"random bytes":        func(t *testing.T, path string) { overwrite(t, path, 0, 0, noise) },
	"random after metas":  func(t *testing.T, path string) { overwrite(t, path, 2*4096, 0, noise) },
	"metas zeroed":        func(t *testing.T, path string) { overwrite(t, path, 0, 2*4096, zeros) },
	"zeros in the middle": func(t *testing.T, path string) { overwrite(t, path, 2*4096, 60*4096, zeros) },
	"all zeros":           func(t *testing.T, path string) { overwrite(t, path, 0, 0, zeros) },
}

// openDamaged opens a journal with records, and damages its file.
func openDamaged(t *testing.T, damage func(t *testing.T, path string)) *Journal {
	t.Helper()
	dir := t.TempDir()
	fill(t, dir, 300)
	j, err := Open(Options{Dir: dir, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	damage(t, j.Path())
	return j
}

// refusesAtOnce checks that no call waits for a journal that is given up, whatever came before.
func refusesAtOnce(t *testing.T, j *Journal, open string, want error) {
	t.Helper()
	for range 3 {
		err := within(t, "Begin", func() error {
			_, err := j.Begin(t.Context(), Record{Intent: "to be refused"})
			return err
		})
		if !errors.Is(err, ErrUnwritable) || !errors.Is(err, want) {
			t.Errorf("Begin: %v, want ErrUnwritable and %v", err, want)
		}
		if j.Writable() {
			t.Error("Writable is true")
		}
		err = within(t, "PutState", func() error { return j.PutState(t.Context(), "k", []byte("v")) })
		if !errors.Is(err, ErrUnwritable) {
			t.Errorf("PutState: %v, want ErrUnwritable", err)
		}
		err = within(t, "Query", func() error {
			_, _, err := j.Query(Filter{})
			return err
		})
		if errors.Is(want, ErrDamaged) && !errors.Is(err, ErrDamaged) {
			t.Errorf("Query: %v, want ErrDamaged", err)
		}
		within(t, "State", func() error {
			_, err := j.State("k")
			return err
		})
	}
	err := within(t, "Finish", func() error { return j.Finish(t.Context(), open, func(r *Record) { r.Outcome = "done" }) })
	if !errors.Is(err, ErrUnwritable) {
		t.Errorf("Finish: %v, want ErrUnwritable", err)
	}
}

// TestDamagedAmidAWrite: what another program writes while we do is noticed a moment later, although the file's
// times are then those of our own write.
func TestDamagedAmidAWrite(t *testing.T) {
	j := openDamaged(t, func(*testing.T, string) {})
	defer within(t, "Close", j.Close)
	open := begin(t, j, Record{Intent: "open"})
	f, ok := j.store().(*file)
	if !ok {
		t.Fatal("the journal has no file")
	}
	err := f.change(func(*bolt.Tx) error {
		before, err := os.ReadFile(j.Path())
		if err != nil {
			return err
		}
		after := bytes.Clone(before)
		flipRecords(after, open)
		if bytes.Equal(before, after) {
			t.Fatal("no record was changed")
		}
		overwrite(t, j.Path(), 0, 0, func(b []byte) { copy(b, after) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	begin(t, j, Record{Intent: "another"})
	within(t, "the audit", func() error {
		for j.Writable() {
			<-time.After(time.Millisecond)
		}
		return nil
	})
	refusesAtOnce(t, j, open, ErrDamaged)
}

// flipRecords changes one bit in each page of records but that of id, which a change does not read.
func flipRecords(file []byte, id string) {
	for at := 2 * 4096; at+4096 <= len(file); at += 4096 {
		page := file[at : at+4096]
		first := page[headerSize:]
		if host.Uint16(page[8:]) != flagLeaf || host.Uint16(page[10:]) == 0 || host.Uint32(first) != 0 || bytes.Contains(page, []byte(id)) {
			continue
		}
		pos, ksize := host.Uint32(first[4:]), host.Uint32(first[8:])
		if key := string(first[pos : pos+ksize]); len(key) == len(id) {
			first[pos+ksize] ^= 1
		}
	}
}

func TestDamagedWhileOpen(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			var open string
			j := openDamaged(t, func(*testing.T, string) {})
			open = begin(t, j, Record{Intent: "open"})
			damage(t, j.Path())
			refusesAtOnce(t, j, open, ErrDamaged)
			within(t, "Close", j.Close)
			reopens(t, j)
		})
	}
}

// reopens checks that nothing of a closed journal holds the lock of its file.
func reopens(t *testing.T, j *Journal) {
	t.Helper()
	next, err := Open(Options{Dir: filepath.Dir(j.Path()), Logger: quiet(), OnCorrupt: OnCorruptRecreate})
	if err != nil {
		t.Fatalf("the next start: %v", err)
	}
	begin(t, next, Record{Intent: "after the restart"})
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// A reading may be the first to meet the damage.
func TestDamageIsMetByAReading(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			j := openDamaged(t, damage)
			err := within(t, "Query", func() error {
				_, _, err := j.Query(Filter{})
				return err
			})
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("Query: %v, want ErrDamaged", err)
			}
			err = within(t, "Begin", func() error {
				_, err := j.Begin(t.Context(), Record{})
				return err
			})
			if !errors.Is(err, ErrUnwritable) || j.Writable() {
				t.Errorf("Begin: %v, writable %v", err, j.Writable())
			}
			within(t, "Close", j.Close)
		})
	}
}

// No one asks anything between the damage and the end.
func TestDamagedCloses(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			j := openDamaged(t, damage)
			within(t, "Close", j.Close)
			reopens(t, j)
		})
	}
}

// What no longer stands at its place is not written: another exporter may begin a journal there.
func TestFileGone(t *testing.T) {
	for name, move := range map[string]func(path string) error{
		"removed":      os.Remove,
		"renamed":      func(path string) error { return os.Rename(path, path+".old") },
		"folder moved": func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".old") },
		"replaced": func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.WriteFile(path, nil, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "journal")
			j, err := Open(Options{Dir: dir, Logger: quiet()})
			if err != nil {
				t.Fatal(err)
			}
			open := begin(t, j, Record{Intent: "open"})
			if err := move(j.Path()); err != nil {
				t.Fatal(err)
			}
			refusesAtOnce(t, j, open, ErrMoved)
			within(t, "Close", j.Close)
		})
	}
}

// A journal that was moved away and back is written again.
func TestFileComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := openTest(t, Options{Dir: dir})
	open := begin(t, j, Record{Intent: "open"})
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := j.Finish(t.Context(), open, func(r *Record) { r.Outcome = "done" }); !errors.Is(err, ErrMoved) {
		t.Errorf("Finish: %v, want ErrMoved", err)
	}
	if err := os.Rename(dir+".old", dir); err != nil {
		t.Fatal(err)
	}
	begin(t, j, Record{Intent: "back"})
	if r, found, err := j.Get(open); err != nil || !found || r.Outcome != "done" || !j.Writable() {
		t.Errorf("the result of before: %+v, %v, writable %v", r, err, j.Writable())
	}
}

// touch(1), a backup that sets times back and chmod(1) harm nothing.
func TestTouchedIsNotDamaged(t *testing.T) {
	dir := t.TempDir()
	j := openTest(t, Options{Dir: dir})
	begin(t, j, Record{Intent: "before"})
	at := time.Now().Add(-time.Hour)
	if err := os.Chtimes(j.Path(), at, at); err != nil {
		t.Fatal(err)
	}
	if got := all(t, j, Filter{}); len(got) != 1 {
		t.Errorf("%d records, want 1", len(got))
	}
	if err := unix.Chmod(j.Path(), 0o640); err != nil {
		t.Fatal(err)
	}
	begin(t, j, Record{Intent: "after"})
}

// An older copy of the file, written over the open one, is whole and still not what bbolt believes.
func TestOlderCopyInPlace(t *testing.T) {
	j := openDamaged(t, func(*testing.T, string) {})
	older, err := os.ReadFile(j.Path())
	if err != nil {
		t.Fatal(err)
	}
	open := ""
	for range 50 {
		open = begin(t, j, Record{Intent: "newer"})
	}
	overwrite(t, j.Path(), 0, int64(len(older)), func(b []byte) { copy(b, older) })
	if _, _, err := j.Query(Filter{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("Query: %v, want ErrDamaged", err)
	}
	refusesAtOnce(t, j, open, ErrDamaged)
	within(t, "Close", j.Close)
}
