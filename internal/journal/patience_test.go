package journal

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hang has the writer stand still in a transaction, as with a disk that hangs, until release.
func hang(t *testing.T, j *Journal) (release func()) {
	t.Helper()
	taken, block := make(chan struct{}), make(chan struct{})
	go j.store().update(context.Background(), func(tx) error {
		close(taken)
		<-block
		return nil
	}, nil)
	<-taken
	return sync.OnceFunc(func() { close(block) })
}

// refusedIn checks that a call is refused because the disk does not answer, within a time.
func refusedIn(t *testing.T, what string, limit time.Duration, f func() error) {
	t.Helper()
	start := time.Now()
	if err := f(); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("%s: %v, want ErrNoAnswer", what, err)
	}
	if took := time.Since(start); took > limit {
		t.Errorf("%s took %s, want at most %s", what, took, limit)
	}
}

func TestHungWriteRefusesAndRecovers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j, err := Open(Options{Dir: dir, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		kept := begin(t, j, Record{Intent: "kept"})
		release := hang(t, j)
		intend := func() error {
			_, err := j.Begin(t.Context(), Record{Intent: "refused"})
			if err != nil && !errors.Is(err, ErrUnwritable) {
				t.Errorf("Begin: %v, want ErrUnwritable", err)
			}
			return err
		}
		query := func() error {
			_, _, err := j.Query(Filter{})
			return err
		}
		refusedIn(t, "the first Begin", patience, intend)
		refusedIn(t, "the second Begin", 0, intend)
		refusedIn(t, "Query", 0, query)
		refusedIn(t, "Finish", 0, func() error {
			return j.FinishKeeping(t.Context(), kept, func(r *Record) { r.Outcome = "done" }, "cooldown", []byte("v"))
		})
		if j.Writable() || !errors.Is(j.Failure(), ErrNoAnswer) {
			t.Errorf("writable %v, failure %v", j.Writable(), j.Failure())
		}
		release()
		synctest.Wait()
		<-time.After(2 * retryDelay) // the clock of the bubble: what was kept is written by itself
		synctest.Wait()
		if r, found, err := j.Get(kept); err != nil || !found || r.Outcome != "done" {
			t.Errorf("the result of before: %+v, %v, %v", r, found, err)
		}
		if v, err := j.State("cooldown"); err != nil || string(v) != "v" {
			t.Errorf("the state of before: %q, %v", v, err)
		}
		if got := all(t, j, Filter{}); len(got) != 1 || !j.Writable() {
			t.Errorf("%d records, want 1; writable %v", len(got), j.Writable())
		}
		begin(t, j, Record{Intent: "after"})
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

// An intent whose caller has left while it was written is closed once the disk answers.
func TestLateIntentIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j, err := Open(Options{Dir: dir, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		first := hang(t, j)
		block := make(chan struct{})
		go j.store().update(context.Background(), func(tx) error { <-block; return nil }, nil)
		synctest.Wait()
		refused := make(chan error, 1)
		go func() {
			_, err := j.Begin(context.Background(), Record{Intent: "late"})
			refused <- err
		}()
		synctest.Wait()
		first() // the two that wait become one batch, which hangs in its first change
		if err := <-refused; !errors.Is(err, ErrUnwritable) || !errors.Is(err, ErrNoAnswer) {
			t.Errorf("Begin: %v, want ErrUnwritable and ErrNoAnswer", err)
		}
		close(block)
		synctest.Wait()
		if got := all(t, j, Filter{}); len(got) != 1 || got[0].Outcome != "" {
			t.Errorf("records %+v: the late intent should be there, or this tests nothing", got)
		}
		mine := begin(t, j, Record{Intent: "after"})
		if got := all(t, j, Filter{}); len(got) != 2 || got[1].Outcome != OutcomeInterrupted || got[0].Outcome != "" {
			t.Errorf("records %+v, want the late intent interrupted and %s open", got, mine)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

// However many ask while the disk hangs, only so many readings are left behind.
func TestHungReadingsAreBounded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j, err := Open(Options{Dir: dir, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		block := make(chan struct{})
		before := runtime.NumGoroutine()
		var asked sync.WaitGroup
		for range 50 {
			asked.Go(func() {
				refusedIn(t, "a reading", patience, func() error {
					_, err := look(j.store(), func(tx) (int, error) { <-block; return 0, nil })
					return err
				})
			})
		}
		asked.Wait()
		for range 50 {
			refusedIn(t, "a reading that comes later", 0, func() error {
				_, err := j.State("k")
				return err
			})
		}
		if left := runtime.NumGoroutine() - before; left > 2*readersAtOnce {
			t.Errorf("%d goroutines are left behind, want about %d of 100", left, readersAtOnce)
		}
		refusedIn(t, "Begin", 0, func() error {
			_, err := j.Begin(t.Context(), Record{})
			return err
		})
		close(block)
		synctest.Wait()
		begin(t, j, Record{Intent: "after"})
		all(t, j, Filter{})
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseWhileHung(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j, err := Open(Options{Dir: dir, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		release := hang(t, j)
		refusedIn(t, "Close", closePatience, j.Close)
		release()
		synctest.Wait()
		j.store().(*file).c.close(j.store().(*file).db)
	})
}
