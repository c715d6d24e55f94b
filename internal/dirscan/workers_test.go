//go:build linux && !portable

package dirscan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// makeWide makes folders of folders with some files each.
func makeWide(t testing.TB, folders, files int) string {
	t.Helper()
	dir := tempDir(t)
	for i := range folders {
		sub := fmt.Sprintf("%s/%d/%d", dir, i%7, i)
		must(t, os.MkdirAll(sub, 0o755))
		for j := range files {
			must(t, os.WriteFile(fmt.Sprintf("%s/%d-%d", sub, i, j), make([]byte, j), 0o644))
		}
	}
	return dir
}

func TestWorkersSeeTheSame(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := makeWide(t, 200, 5)
	must(t, unix.Mkfifo(dir+"/3/fifo", 0o644))
	must(t, os.Symlink(dir, dir+"/3/link"))
	now := time.Now()
	var hist [2]Histogram
	wantPaths, want := paths(t, Options{Dir: dir, Recursive: true, Ages: &hist[0], Now: now})
	before := descriptors(t)
	for _, workers := range []int{2, 8} {
		hist[1] = Histogram{}
		gotPaths, got := paths(t, Options{Dir: dir, Recursive: true, Ages: &hist[1], Now: now, Workers: workers})
		if diff := cmp.Diff(wantPaths, gotPaths); diff != "" {
			t.Errorf("%d walkers visited (-one +several):\n%s", workers, diff)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d walkers (-one +several):\n%s", workers, diff)
		}
		if hist[0] != hist[1] {
			t.Errorf("%d walkers filled another histogram", workers)
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// Several walkers are at work at the same time, and Visit is not called at the same time.
func TestWorkersShare(t *testing.T) {
	dir := makeWide(t, 300, 10)
	deadline := time.Now().Add(30 * time.Second)
	for {
		var active, most, visiting atomic.Int32
		_, err := Scan(t.Context(), Options{
			Dir: dir, Recursive: true, Workers: 2,
			Select: func([]byte) bool {
				if n := active.Add(1); n > most.Load() {
					most.Store(n)
				}
				var st unix.Stat_t
				_ = unix.Stat(dir, &st) // takes a moment
				active.Add(-1)
				return true
			},
			Visit: func(*Entry) error {
				if visiting.Add(1) > 1 {
					t.Error("Visit is called twice at the same time")
				}
				visiting.Add(-1)
				return nil
			},
		})
		must(t, err)
		if most.Load() > 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("two walkers were never at work at the same time")
		}
	}
}

func TestWorkersStop(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := makeWide(t, 300, 10)
	before := descriptors(t)
	own := errors.New("own")
	f := func(what string, cause, want error) {
		t.Helper()
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			visits := 0
			_, err := Scan(ctx, Options{Dir: dir, Recursive: true, Workers: 3, Visit: func(*Entry) error {
				if visits++; visits < 100 {
					return nil
				}
				if cause == nil {
					cancel()
				}
				return cause
			}})
			cancel()
			if !errors.Is(err, want) || cause != nil && visits != 100 || visits > 100+3*2*checkEvery {
				t.Fatalf("%s: %v after %d visits, want %v", what, err, visits, want)
			}
		}
	}
	f("ErrStop", ErrStop, nil)
	f("own error", own, own)
	f("cancelled", nil, context.Canceled)
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// Walkers that share a deep tree reopen levels relative to where they started.
func TestWorkersDeep(t *testing.T) {
	dir := tempDir(t)
	var want []string
	for _, tree := range []string{"a", "b", "c", "d"} {
		for _, branch := range []string{"x", "y"} {
			path := tree + "/" + branch
			makeDeep(t, dir+"/"+path, 2*heldLevels+10)
			for i := range 2*heldLevels + 10 {
				want = append(want, fmt.Sprintf("%s/file-%03d", path, i))
				path += "/d"
			}
			write(t, dir+"/"+tree+"/"+branch+"/z/last", 1) // waits below the levels that were given up
			want = append(want, tree+"/"+branch+"/z/last")
		}
	}
	slices.Sort(want)
	for range 10 {
		got, res := paths(t, Options{Dir: dir, Recursive: true, Workers: 4})
		if diff := cmp.Diff(want, got); diff != "" || res.Skipped[SkipVanished] > 0 {
			t.Fatalf("visited (-want +got):\n%s\nskipped %v", diff, res.Skipped)
		}
	}
}

// TestExceptOfEachWorker: each has one of its own, which is called for its files only, and all of them for all files.
func TestExceptOfEachWorker(t *testing.T) {
	dir := makeWide(t, 200, 5)
	for _, workers := range []int{1, 3} {
		var made []*int
		var calls atomic.Int64
		res, err := Scan(t.Context(), Options{Dir: dir, Recursive: true, Workers: workers, ExceptOf: func() func(*Folder, []byte) bool {
			n := new(int)
			made = append(made, n)
			return func(*Folder, []byte) bool {
				*n++ // go test -race says whether two do
				calls.Add(1)
				return true
			}
		}})
		must(t, err)
		sum := 0
		for _, n := range made {
			sum += *n
		}
		if len(made) != workers || sum != 1000 || calls.Load() != 1000 || res.Files != 0 {
			t.Errorf("%d workers: %d made, %d files seen in %d calls, %d counted; want 1000 and none", workers, len(made), sum, calls.Load(), res.Files)
		}
	}
}
