package safefs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// mostAfterMove is how many files a clean-up may still remove from a folder after it was moved out.
const mostAfterMove = 32

// manyIn makes so many aged files in a folder.
func manyIn(t testing.TB, dir string, n int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	for i := range n {
		path := fmt.Sprintf("%s/f%05d", dir, i)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFolderMovedOut: whoever owns a folder below the root moves it, or one above it, somewhere else
// while the clean-up is in it. What lies there is not the root's any more.
func TestFolderMovedOut(t *testing.T) {
	const n, at = 5000, 100
	for _, moved := range []string{"a", "a/b", "a/b/c"} { // the files lie in a/b/c
		for _, strict := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s strict %v", moved, strict), func(t *testing.T) {
				dir, outside := tempDir(t), tempDir(t)
				manyIn(t, dir+"/a/b/c", n)
				manyIn(t, dir+"/z", 1)
				r := NewRemover(Options{Dir: dir, MinAge: time.Minute, AgeNs: byMtime, Strict: strict, Now: time.Now()})
				defer r.Close()
				var seen, after, late int
				reasons := map[Reason]int{}
				if _, err := r.Scan(t.Context(), dirscan.Options{Recursive: true, Visit: func(e *dirscan.Entry) error {
					inside := e.Parent.Depth() > 1
					if seen++; inside && seen == at {
						if err := os.Rename(filepath.Join(dir, moved), outside+"/moved"); err != nil {
							t.Fatal(err)
						}
					}
					_, why := r.Remove(e)
					reasons[why]++
					switch {
					case inside && seen >= at && why == Removed:
						after++
					case !inside && why == Removed:
						late++
					}
					return nil
				}}); err != nil {
					t.Fatal(err)
				}
				if after > mostAfterMove || late != 1 || reasons["moved"] < n-at-mostAfterMove {
					t.Errorf("%d files were removed after the move, want at most %d; %d of the other folder, want 1; reasons %v", after, mostAfterMove, late, reasons)
				}
			})
		}
	}
}

// TestLogMovedOut: a log whose folder has been moved out is not cut, also when it is moved during the copy.
func TestLogMovedOut(t *testing.T) {
	for _, when := range []string{"before", "during"} {
		t.Run(when, func(t *testing.T) {
			dir, outside := tempDir(t), tempDir(t)
			appendTo(t, dir+"/sub/app.log", "a line\n")
			idle(t, dir+"/sub/app.log")
			remover := NewRemover(Options{Dir: dir, Now: time.Now()})
			defer remover.Close()
			move := func() {
				if err := os.Rename(dir+"/sub", outside+"/sub"); err != nil {
					t.Fatal(err)
				}
			}
			before, atCut := func(string) { move() }, func() {}
			if when == "during" {
				before, atCut = func(string) {}, move
			}
			got, _, err := rotateAll(t.Context(), dir, RotateOptions{Remover: remover}, before, atCut)
			if err != nil || got["sub/app.log"] != "moved" || content(t, outside+"/sub/app.log") != "a line\n" || len(names(t, outside+"/sub")) != 1 {
				t.Errorf("%v, %v; files %v", got, err, names(t, outside+"/sub"))
			}
		})
	}
}

// BenchmarkRemoveManyFolders is a tree of small folders, where the place of each is looked at.
func BenchmarkRemoveManyFolders(b *testing.B) {
	const folders, each = 1000, 10
	for b.Loop() {
		b.StopTimer()
		dir := tempDir(b)
		for i := range folders {
			manyIn(b, fmt.Sprintf("%s/%d/%d", dir, i%10, i), each)
		}
		b.StartTimer()
		r := NewRemover(Options{Dir: dir, MinAge: time.Minute, AgeNs: byMtime, NoInUse: true, Now: time.Now()})
		if _, err := r.Scan(b.Context(), dirscan.Options{Recursive: true, Visit: func(e *dirscan.Entry) error {
			if _, why := r.Remove(e); why != Removed {
				b.Fatal(why)
			}
			return nil
		}}); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(folders*each), "ns/file")
}
