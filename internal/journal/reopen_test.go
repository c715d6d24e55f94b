package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A damaged journal is opened anew once a person has moved its file away; what ended meanwhile is
// in the new one.
func TestReopenAfterDamage(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			j := openDamaged(t, func(*testing.T, string) {})
			open := begin(t, j, Record{Intent: "open"})
			damage(t, j.Path())
			refusesAtOnce(t, j, open, ErrDamaged)
			if info, err := os.Stat(j.Path()); err != nil || info.Size() > 0 { // an empty file is a journal that was never used
				err := within(t, "Reopen", j.Reopen)
				if !errors.Is(err, ErrCorrupt) || !errors.Is(j.Failure(), ErrCorrupt) || !errors.Is(j.Failure(), ErrDamaged) {
					t.Fatalf("Reopen: %v, failure %v, want ErrCorrupt until the file was looked at", err, j.Failure())
				}
				aside, err := filepath.Glob(j.Path() + ".corrupt-*")
				if err != nil || len(aside) != 1 {
					t.Fatalf("moved aside: %v, %v", aside, err)
				}
				if err := os.Rename(aside[0], filepath.Join(t.TempDir(), "looked-at.db")); err != nil {
					t.Fatal(err)
				}
			}
			if err := within(t, "Reopen", j.Reopen); err != nil {
				t.Fatalf("Reopen: %v", err)
			}
			next := begin(t, j, Record{Intent: "next"})
			if next <= open || !j.Writable() {
				t.Errorf("id %s after %s, writable %v: %v", next, open, j.Writable(), j.Failure())
			}
			if r, found, err := j.Get(open); err != nil || !found || r.Outcome != "done" {
				t.Errorf("what ended meanwhile: %+v, %v, %v", r, found, err)
			}
			within(t, "Close", j.Close)
			reopens(t, j)
		})
	}
}

// A file that was removed or moved away is begun anew by Reopen, unless another exporter was first.
func TestReopenAfterMove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := openTest(t, Options{Dir: dir})
	running, ended := begin(t, j, Record{Intent: "running"}), begin(t, j, Record{Intent: "ended"})
	if err := j.Reopen(); err != nil || len(all(t, j, Filter{})) != 2 {
		t.Fatalf("a journal that is well was not left alone: %v", err)
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := j.Finish(t.Context(), ended, func(r *Record) { r.Outcome = "done" }); !errors.Is(err, ErrMoved) {
		t.Errorf("Finish: %v, want ErrMoved", err)
	}
	other, err := Open(Options{Dir: dir, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Reopen(); !errors.Is(err, ErrLocked) || !errors.Is(j.Failure(), ErrMoved) {
		t.Errorf("Reopen: %v, failure %v, want ErrLocked and ErrMoved", err, j.Failure())
	}
	theirs := begin(t, other, Record{Intent: "theirs"})
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Reopen(); err != nil || !j.Writable() {
		t.Fatalf("Reopen: %v, failure %v", err, j.Failure())
	}
	if r, found, err := j.Get(theirs); err != nil || !found || r.Outcome != OutcomeInterrupted {
		t.Errorf("what the other left open: %+v, %v, %v", r, found, err)
	}
	if err := j.Finish(t.Context(), running, func(r *Record) { r.Outcome = "done" }); err != nil {
		t.Error(err)
	}
	if r, found, err := j.Get(running); err != nil || !found || r.Outcome != "done" {
		t.Errorf("what ran meanwhile: %+v, %v, %v", r, found, err)
	}
	if r, found, err := j.Get(ended); err != nil || !found || r.Outcome != "done" {
		t.Errorf("what ended meanwhile: %+v, %v, %v", r, found, err)
	}
}

func TestReopenIsNothingInMemory(t *testing.T) {
	if err := OpenMemory(Options{Logger: quiet()}).Reopen(); err != nil {
		t.Error(err)
	}
}
