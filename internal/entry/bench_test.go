package entry

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

var benchFiles = flag.Int("entry.files", 100_000, "files of the benchmarks' trees")

// benchTree makes a tree of files, so many in each folder.
func benchTree(b *testing.B, each int) string {
	b.Helper()
	dir := b.TempDir()
	for i := range *benchFiles {
		folder := fmt.Sprintf("%s/job%05d", dir, i/each)
		if i%each == 0 {
			if err := os.Mkdir(folder, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(fmt.Sprintf("%s/video%06d.%s", folder, i/3, []string{"mp4", "json", "jpg"}[i%3]), nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

func processor() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// scanOnce walks by files or, with a policy, by entries. It returns the processor time, and by how much
// the heap has grown before what the walk held was let go.
func scanOnce(b *testing.B, dir string, c *policy.Common, members bool) (took time.Duration, grown int64, entries int64) {
	b.Helper()
	var before, after runtime.MemStats
	var sum int64
	o := dirscan.Options{Dir: dir, Recursive: true, Select: func([]byte) bool { return true }}
	o.Visit = func(e *dirscan.Entry) error { sum += e.SizeBytes; return nil }
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := processor()
	var w *Walker
	if c != nil {
		names, err := c.Compile()
		if err == nil {
			w, err = NewWalker(Options{Policy: c, Names: names, Members: members})
		}
		if err != nil {
			b.Fatal(err)
		}
		visit := o.Visit
		o = w.Wrap(o, func(e *Entry) error { entries++; return visit(&e.Entry) })
		if leave := o.Leave; leave != nil {
			o.Leave = func(f *dirscan.Folder) error {
				if f.Depth() == 1 && entries == 0 {
					runtime.GC()
					runtime.ReadMemStats(&after) // with the groups of the first folder
				}
				return leave(f)
			}
		}
	}
	if _, err := dirscan.Scan(b.Context(), o); err != nil {
		b.Fatal(err)
	}
	took = processor() - start
	runtime.KeepAlive(w)
	return took, max(0, int64(after.HeapAlloc)-int64(before.HeapAlloc)), entries
}

// BenchmarkDirectories holds a walk over directories of 100 files against one over the files, in turn.
func BenchmarkDirectories(b *testing.B) {
	dir := benchTree(b, 100)
	c := &policy.Common{Include: []string{"*"}, Entry: policy.EntryDir}
	var ratios []float64
	var most int64
	for b.Loop() {
		plain, _, _ := scanOnce(b, dir, nil, false)
		by, grown, _ := scanOnce(b, dir, c, true)
		ratios, most = append(ratios, float64(by)/float64(plain)), max(most, grown)
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "×plain")
	b.ReportMetric(float64(most), "heap-B")
}

// BenchmarkGroups measures what groups of three files in one folder cost.
func BenchmarkGroups(b *testing.B) {
	dir := benchTree(b, *benchFiles)
	for _, members := range []bool{false, true} {
		b.Run(fmt.Sprintf("members=%v", members), func(b *testing.B) {
			c := &policy.Common{Include: []string{"*"}, Group: policy.GroupStem}
			var ratios []float64
			var most, entries int64
			for b.Loop() {
				plain, _, _ := scanOnce(b, dir, nil, false)
				by, grown, n := scanOnce(b, dir, c, members)
				ratios, most, entries = append(ratios, float64(by)/float64(plain)), max(most, grown), n
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "×plain")
			b.ReportMetric(float64(most)/float64(entries), "heap-B/entry")
		})
	}
}
