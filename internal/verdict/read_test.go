package verdict

import (
	"math"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// day publishes what a service does in n samples of five seconds; restart is the sample at which it was restarted, or only all
// of its processes but the oldest.
func day(n, restart int, others bool) *series.Store {
	s := series.NewStore(series.Options{})
	var processes, heap, folder series.Batch
	start := begin
	for i := range n {
		at := begin.Add(time.Duration(i) * 5 * time.Second)
		processes.Reset(at)
		if i == 0 || i == restart {
			start = at
			processes.Cut()
		}
		up := at.Sub(start).Seconds()
		processes.Set(metric.MemoryResident, 200*mib+up*mib/100, "app")
		processes.Set(metric.MemoryAnon, 190*mib, "app")
		processes.Set(metric.MemoryFile, 8*mib, "app")
		processes.Set(metric.MemoryShmem, 2*mib, "app")
		oldest := start
		if others {
			oldest = begin
		}
		processes.Set(metric.ProcessOldestStart, float64(oldest.Unix()), "app")
		s.Commit(&processes)
		heap.Reset(at)
		_, part := math.Modf(up / 100)
		heap.Set(metric.HeapUsed, 100*mib+up*mib/150+60*mib*part, "app", "go")
		heap.Set(metric.HeapUsed, 1*mib, "other", "go")
		s.Commit(&heap)
		folder.Reset(at)
		folder.Set(metric.TempFiles, float64(i), "app", "tts")
		folder.Set(metric.TempEmpty, float64(i/2), "app", "tts")
		s.Commit(&folder)
	}
	return s
}

// TestRead: all rings of a series are one past, and a restart begins it anew.
func TestRead(t *testing.T) {
	const n = 6000 // more than 8 hours
	f := func(name string, restart int, heap, temp string) {
		t.Helper()
		in := Read(day(n, restart, false), "app")
		got := Judge(&in)
		if len(got) != 2 || got[0].Text != heap || got[1].Text != temp {
			t.Errorf("%s: %+v\nwant %s\nand %s", name, got, heap, temp)
		}
		for _, points := range [][]series.Point{in.Resident, in.Heaps[0].Used, in.Folders[0].Count} {
			for i := 1; i < len(points); i++ {
				if !points[i].Time.After(points[i-1].Time) {
					t.Fatalf("%s: point %d is not later than the one before", name, i)
				}
			}
		}
		for _, p := range append(in.Resident, in.Heaps[0].Used...) {
			if p.Time.Before(in.Start.Add(settle)) {
				t.Fatalf("%s: a point of %s, too soon after the start at %s", name, p.Time, in.Start)
			}
		}
		if len(in.Heaps) != 1 || *in.Mapped != 10*mib || *in.Anonymous != 190*mib || *in.Folders[0].Empty != (n-1)/2 {
			t.Errorf("%s: %+v", name, in)
		}
	}
	at := func(i int) string { return begin.Add(time.Duration(i) * 5 * time.Second).Local().Format("15:04") }
	const none, empty = "; nothing was captured that shows what it is", "; 2999 of the present ones are empty"
	f("one start", 0, "A leak in the heap: live memory after each collection grows by 24.3MiB/h since "+at(814)+" (109 collections of go, 129MiB to 303MiB)"+none,
		"The temp folder tts fills at 12 files/min since the start at "+at(0)+" (141 to 5925)"+empty)
	f("a restart", 3000, "A leak in the heap: live memory after each collection grows by 24MiB/h since "+at(3814)+" (99 collections of go, 133MiB to 205MiB)"+none,
		"The temp folder tts fills at 12 files/min since "+at(214)+" (141 to 5925)"+empty)
	f("a restart an hour ago", n-720, "A leak in the heap: live memory after each collection grows by 24MiB/h since "+at(n-640)+" (40 collections of go, 103MiB to 123MiB)"+none,
		"The temp folder tts fills at 12 files/min since "+at(214)+" (141 to 5925)"+empty)
	if in := Read(day(50, 0, false), "app"); len(in.Resident)+len(in.Heaps[0].Used) != 0 {
		t.Errorf("in the first minutes: %d and %d points", len(in.Resident), len(in.Heaps[0].Used))
	}
	if in := Read(day(10, 0, false), "none"); len(Judge(&in)) != 0 || in.Resident != nil {
		t.Errorf("%+v", in)
	}
	in := Read(day(n, 3000, true), "app")
	for _, p := range append(in.Resident, in.Heaps[0].Used...) {
		if since := begin.Add(3000*5*time.Second + settle); p.Time.Before(since) {
			t.Fatalf("a point of %s, when other processes ran than since %s", p.Time, since)
		}
	}
}
