package proc

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// works writes a stat with what the process has done, in clock ticks and faults, since its start.
func (f *fakeProc) works(pid, start, user, system, minor, major, threads int) {
	f.write(strconv.Itoa(pid)+"/stat", fmt.Sprintf("%d (node) S 1 1 1 0 -1 0 %d 0 %d 0 %d %d 0 0 20 0 %d 0 %d 1 1\n", pid, minor, major, user, system, threads, start))
}

// get returns a figure, -1 when it is not known.
func (u *Usage) get(f Figure) int64 {
	if v, ok := u.Figures.Get(f); ok {
		return v
	}
	return -1
}

// TestEffort: what an old process did before it was seen does not count, what a new one did does,
// and nothing goes down when one ends.
func TestEffort(t *testing.T) {
	const old, fresh = 1000, 359_990 // ticks after the boot; the host is up an hour
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", start: old})
	f.works(10, old, 500, 300, 7000, 70, 4)
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
	expect := func(what string, d time.Duration, user, system, minor, major, threads int64) {
		t.Helper()
		w.tick(d)
		u := w.usage("a")
		got := [...]int64{u.get(FigureUserTime), u.get(FigureSystemTime), u.get(FigureMinorFaults), u.get(FigureMajorFaults), u.get(FigureThreads)}
		if want := [...]int64{user, system, minor, major, threads}; got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	expect("an old process", 0, 0, 0, 0, 0, 4)
	f.works(10, old, 600, 350, 7010, 71, 5)
	f.put(fakeProcess{pid: 11, comm: "node", start: fresh})
	f.works(11, fresh, 20, 10, 100, 1, 1)
	expect("and a new one", effortEvery, 120, 60, 110, 2, 6)
	f.works(11, fresh+5, 9000, 9000, 9000, 9000, 9) // the number was given out again, unseen as yet
	w.find(11).review.at = never
	expect("another process by its number", effortEvery, 120, 60, 110, 2, 6)
	f.remove(10)
	expect("one ended", effortEvery+relistEvery, 120, 60, 110, 2, 1)
}

func TestDescriptors(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node"})
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
	w.tick(0)
	if u := w.usage("a"); u.get(FigureDescriptors) != -1 || u.HasFullest {
		t.Errorf("descriptors that cannot be counted are published: %+v", u)
	}
	me, err := newReader("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer me.close()
	before := me.countFDs(int32(os.Getpid()))
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if after := me.countFDs(int32(os.Getpid())); before < 3 || after != before+1 {
		t.Errorf("%d descriptors, and %d with one more", before, after)
	}
}

const rollup = `55d0-7ffe ---p 00000000 00:00 0      [rollup]
Rss:                 400 kB
Pss:                 100 kB
Pss_Anon:             60 kB
Private_Clean:         8 kB
Private_Dirty:        32 kB
Private_Hugetlb:       0 kB
`

// TestShares: the last share is applied to the present resident memory; a process that is large,
// or that cannot be read, leaves the sum unsaid.
func TestShares(t *testing.T) {
	page := os.Getpagesize()
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", resident: 1000})
	f.write("10/smaps_rollup", rollup)
	w := watch(t, Options{Root: f.dir, Targets: []Target{{Name: "a", Config: Config{Match: Match{Comm: "node"}}, Shares: true}}})
	w.tick(0)
	if u := w.usage("a"); u.Shares {
		t.Errorf("before there was any budget: %+v", u)
	}
	w.tick(5 * time.Second)
	want := func(what string, resident int) {
		t.Helper()
		if u := w.usage("a"); !u.Shares || u.Proportional != int64(resident*page/4) || u.Unique != int64(resident*page/10) {
			t.Errorf("%s: PSS %d, USS %d, %v, want %d and %d", what, u.Proportional, u.Unique, u.Shares, resident*page/4, resident*page/10)
		}
	}
	want("read", 1000)
	f.put(fakeProcess{pid: 10, comm: "node", resident: 2000})
	w.tick(5 * time.Second)
	want("grown since", 2000)
	f.put(fakeProcess{pid: 10, comm: "node", resident: pssLargest/page + 1})
	w.tick(5 * time.Second)
	if w.usage("a").Shares {
		t.Error("asked of a process that is too large to be asked")
	}
	f.put(fakeProcess{pid: 10, comm: "node", resident: 1000})
	f.write("10/smaps_rollup", strings.Replace(rollup, "Pss:                 100 kB", "Pss: many", 1))
	w.tick(pssEvery)
	if w.usage("a").Shares {
		t.Error("asked of a file that cannot be understood")
	}
}

func FuzzParseRollup(f *testing.F) {
	f.Add([]byte(rollup))
	f.Fuzz(func(t *testing.T, b []byte) {
		if resident, pss, unique, ok := parseRollup(b); ok && (pss > resident || unique > resident || resident <= 0 || pss < 0 || unique < 0) {
			t.Errorf("%d, %d, %d", resident, pss, unique)
		}
	})
}

// TestThousandTicks: no descriptor and no goroutine is left over, and the table of processes does
// not grow, whatever comes and goes.
func TestThousandTicks(t *testing.T) {
	f := newFake(t)
	w := watch(t, Options{Root: f.dir, Discover: &Discover{By: ByComm, Top: 5}, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}, Children: true})}})
	w.tick(0)
	before := w.r.countSelf()
	for i := range 1000 {
		pid := 100 + i%7
		f.remove(pid)
		f.put(fakeProcess{pid: pid, comm: []string{"node", "sh", "other-" + strconv.Itoa(i%3)}[i%3], resident: 10 + i%50, start: 360_000 + i})
		w.tick(time.Second)
	}
	for pid := 100; pid < 107; pid++ {
		f.remove(pid)
	}
	w.tick(time.Minute)
	w.tick(time.Minute)
	if s := w.Stats(); s.Held != 0 || s.Listed != 0 || len(w.members) != 0 || len(w.free) > mostFree || len(w.groups) > 10 {
		t.Errorf("after 1,000 ticks: %+v, %d members, %d kept, %d groups", s, len(w.members), len(w.free), len(w.groups))
	}
	if after := w.r.countSelf(); after > before+2 {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// countSelf counts the descriptors of this process.
func (r *reader) countSelf() int64 {
	me, err := newReader("/proc")
	if err != nil {
		return -1
	}
	defer me.close()
	return me.countFDs(int32(os.Getpid()))
}

// TestMillionShortLived: a million processes that come and go leave the heap as it was.
func TestMillionShortLived(t *testing.T) {
	if testing.Short() {
		t.Skip("a million processes")
	}
	f := newFake(t)
	w := watch(t, Options{Root: f.dir, Discover: &Discover{By: ByComm, Top: 20}, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}, Children: true})}})
	w.tick(0)
	const each, rounds = 1000, 1000
	ms := epoch.UnixMilli()
	round := func(i int) {
		w.listing = w.listing[:0]
		for k := range each {
			w.listing = append(w.listing, seen{pid: int32(2 + (i*each+k)%4_000_000), ino: uint64(i*each + k)})
		}
		slices.SortFunc(w.listing, func(a, b seen) int { return cmp.Compare(a.pid, b.pid) })
		ms += 1000
		w.reconcile(ms)
		for _, p := range w.procs {
			if p.review.at <= ms {
				w.check(p, ms, 0) // there is no such file any more
			}
		}
		w.measure(ms)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for i := range 10 {
		round(i)
	}
	before := heap()
	for i := range rounds {
		round(10 + i)
	}
	if after := heap(); after > before+256<<10 {
		t.Errorf("the heap grew from %d to %d bytes over %d processes", before, after, rounds*each)
	}
}
