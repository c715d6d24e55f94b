package proc

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"
)

// command starts a program that the test's end kills.
func command(t testing.TB, name string, args ...string) (*exec.Cmd, io.WriteCloser) {
	t.Helper()
	cmd := exec.Command(name, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, stdin
}

// eventually asks until ok, at most for 10 seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within 10 seconds: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// watchChildren watches the children of this process, by a pattern on their arguments.
func watchChildren(t testing.TB, pattern string) *watched {
	t.Helper()
	w := watch(t, Options{Targets: []Target{target("a", Config{Match: Match{Cmdline: Exprs{pattern}}})}})
	w.now = time.Now()
	return w
}

// join waits until a process that was just started is a member: right after its exec it has no
// arguments yet.
func (w *watched) join(pid int) *process {
	w.t.Helper()
	w.tick(0)
	eventually(w.t, "the member", func() bool {
		p := w.find(int32(pid))
		if p == nil || p.group == nil {
			w.tick(time.Second)
			return false
		}
		return true
	})
	return w.member(pid)
}

func (w *watched) member(pid int) *process {
	w.t.Helper()
	p := w.find(int32(pid))
	if p == nil || p.group == nil {
		w.t.Fatalf("process %d is not a member", pid)
	}
	return p
}

func TestExecKeepsTheDescriptor(t *testing.T) {
	cmd, stdin := command(t, "sh", "-c", "read x; exec sleep 101.25")
	w := watchChildren(t, `101\.25`)
	p := w.join(cmd.Process.Pid)
	fd, name := p.statm, p.name
	if fd == noStatm {
		t.Fatal("no descriptor is held")
	}
	fmt.Fprintln(stdin)
	eventually(t, "the new name", func() bool {
		w.tick(time.Second)
		return w.member(cmd.Process.Pid).name == "sleep"
	})
	p = w.member(cmd.Process.Pid)
	u := w.usage("a")
	if p.statm != fd || u.Resident == 0 || u.Err != nil || u.Exits != 0 {
		t.Errorf("after exec from %s: descriptor %d, %+v, want the same descriptor %d and its memory", name, p.statm, u, fd)
	}
}

func TestZombieHasExited(t *testing.T) {
	cmd, stdin := command(t, "sh", "-c", "read x # 102.25")
	w := watchChildren(t, `102\.25`)
	w.join(cmd.Process.Pid)
	stdin.Close() // it ends, and no one waits for it yet
	eventually(t, "the exit", func() bool {
		w.tick(time.Millisecond)
		return w.usage("a").Exits == 1
	})
	w.tick(time.Minute)
	if u := w.usage("a"); u.Processes != 0 || u.Exits != 1 || u.Err != nil {
		t.Errorf("zombie: %+v, want no process and one exit", u)
	}
	if w.Stats().Held != 0 {
		t.Errorf("%d descriptors are held of a zombie", w.Stats().Held)
	}
}

func TestExitBetweenListingAndReading(t *testing.T) {
	for _, held := range []bool{true, false} {
		t.Run(fmt.Sprintf("held=%v", held), func(t *testing.T) {
			cmd, _ := command(t, "sleep", "103.25")
			w := watchChildren(t, `103\.25`)
			if !held {
				w.held.most = -1
			}
			w.tick(0)
			w.member(cmd.Process.Pid)
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			w.measure(w.now.Add(time.Second).UnixMilli()) // with the listing from before
			w.publish(nil)
			if u := w.usage("a"); u.Processes != 0 || u.Exits != 1 || u.Err != nil || u.Resident != 0 {
				t.Errorf("%+v, want one exit and no error", u)
			}
			w.tick(2 * time.Second)
			if u := w.usage("a"); u.Exits != 1 {
				t.Errorf("%d exits after the next listing, want 1", u.Exits)
			}
		})
	}
}

func TestNoDescriptorLeaksOverThousandTicks(t *testing.T) {
	f := newFake(t)
	w := watch(t, Options{Root: f.dir, Discover: &Discover{By: ByComm, Top: 3}, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
	for pid := 100; pid < 110; pid++ {
		f.put(fakeProcess{pid: pid, comm: "node", resident: 10})
	}
	w.tick(0)
	before := openDescriptors(t)
	for i := range 1000 {
		f.put(fakeProcess{pid: 200 + i, comm: "node", resident: 10, start: 370000 + i})
		f.put(fakeProcess{pid: 2000 + i, comm: "x" + strconv.Itoa(i%50), resident: 10, start: 370000 + i})
		w.tick(time.Second)
		f.remove(200 + i)
		f.remove(2000 + i)
	}
	w.tick(time.Second)
	if after := openDescriptors(t); after != before {
		t.Errorf("%d descriptors open after 1000 ticks, %d before", after, before)
	}
	if u := w.usage("a"); u.Starts != 1000 || u.Exits != 1000 || u.Processes != 10 {
		t.Errorf("%+v, want 1000 starts and exits", u)
	}
}

func TestShortLivedProcessesLeaveTheHeapFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const atOnce, ticks = 100, 400 // 40,000 processes, each seen once
	f := newFake(t)
	for i := range atOnce {
		f.put(fakeProcess{pid: 1000 + i, comm: "short" + strconv.Itoa(i), resident: 10, start: 360000})
	}
	w := watch(t, Options{Root: f.dir, Discover: &Discover{By: ByComm, Top: 10}})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before uint64
	for tick := range ticks {
		w.tick(time.Second)
		for i := range atOnce {
			from, to := 1000+tick*atOnce+i, 1000+(tick+1)*atOnce+i
			if err := os.Rename(f.path(strconv.Itoa(from)), f.path(strconv.Itoa(to))); err != nil {
				t.Fatal(err)
			}
		}
		if tick == ticks/10 {
			before = heap()
		}
	}
	if after := heap(); after > before+128<<10 {
		t.Errorf("the heap grew from %d to %d bytes over %d processes", before, after, atOnce*ticks)
	}
	if len(w.groups) > 2*atOnce {
		t.Errorf("%d groups in memory", len(w.groups))
	}
}

func TestReadersBesideRefresh(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", resident: 10})
	w := watch(t, Options{Root: f.dir, Discover: &Discover{By: ByComm, Top: 2}, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
	w.tick(0)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if u, err := w.Usage("a"); err != nil || u.Processes != 1 {
					t.Errorf("usage %+v, %v", u, err)
					return
				}
				if _, err := w.Discovered(nil); err != nil {
					t.Error(err)
				}
				if e, err := w.Explain(10); err != nil || e.Target != "a" {
					t.Errorf("explain %+v, %v", e, err)
				}
				w.Members("x")
				w.Stats()
			}
		})
	}
	for i := range 200 {
		f.put(fakeProcess{pid: 20 + i%3, comm: "x", resident: 10, start: 370000 + i})
		w.tick(time.Second)
		f.remove(20 + i%3)
	}
	close(done)
	readers.Wait()
}

// sleepers starts n processes that do nothing.
func sleepers(tb testing.TB, n int) {
	tb.Helper()
	for range n {
		command(tb, "sleep", "104.25")
	}
}

func TestTickAllocatesNothingPerProcess(t *testing.T) {
	sleepers(t, 20)
	for _, most := range []int{0, -1} {
		w := watch(t, Options{MaxHeld: most, Targets: []Target{target("a", Config{Match: Match{Cmdline: Exprs{`104\.25`}}})}})
		w.now = time.Now()
		w.tick(0)
		w.tick(time.Minute)
		eventually(t, "all members", func() bool { w.tick(time.Second); return w.usage("a").Processes == 20 })
		ms := w.now.UnixMilli()
		if n := testing.AllocsPerRun(100, func() {
			ms += 6000 // every fifth tick reads status too
			w.measure(ms)
		}); n != 0 {
			t.Errorf("MaxHeld %d: %v allocations in a tick of 20 processes, want 0", most, n)
		}
		if n := testing.AllocsPerRun(100, func() {
			if err := w.Refresh(t.Context(), w.now); err != nil {
				t.Fatal(err)
			}
		}); n > 5 {
			t.Errorf("MaxHeld %d: %v allocations in a refresh of the whole host, want next to none", most, n)
		}
	}
}

// BenchmarkTick reads the memory of 500 processes; ns/process is what the design bounds. statm is
// what examples/bench/tick compares with a loop in C, 5s what a tick costs at that interval, with
// status and cgroup in their turn, opened the same without held descriptors.
func BenchmarkTick(b *testing.B) {
	const n = 500
	sleepers(b, n)
	for _, c := range []struct {
		name string
		most int
		step int64
	}{{"statm", 0, 0}, {"5s", 0, 5000}, {"opened", -1, 5000}} {
		b.Run(c.name, func(b *testing.B) {
			w := watch(b, Options{MaxHeld: c.most, Targets: []Target{target("a", Config{Match: Match{Cmdline: Exprs{`104\.25`}}})}})
			w.now = time.Now()
			w.tick(0)
			eventually(b, "all members", func() bool { w.tick(time.Second); return w.usage("a").Processes == n })
			ms := w.now.UnixMilli()
			b.ReportAllocs()
			for b.Loop() {
				ms += c.step
				w.measure(ms)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/process")
		})
	}
}

// BenchmarkRefresh is a whole tick of a host with 500 processes more than it had: listing,
// reading, publishing; all tracked, or a few.
func BenchmarkRefresh(b *testing.B) {
	sleepers(b, 500)
	for _, c := range []struct {
		name string
		o    Options
	}{
		{"all", Options{Discover: &Discover{By: ByComm, Top: 20}}},
		{"none", Options{Targets: []Target{target("a", Config{Match: Match{Comm: "no such name"}})}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := watch(b, c.o)
			w.now = time.Now()
			w.tick(0)
			b.ReportAllocs()
			for b.Loop() {
				w.tick(time.Second)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(w.Stats().Listed), "ns/process")
		})
	}
}

// BenchmarkList is the listing alone.
func BenchmarkList(b *testing.B) {
	sleepers(b, 500)
	r, err := newReader("/proc")
	if err != nil {
		b.Fatal(err)
	}
	defer r.close()
	var all []seen
	buf := make([]byte, dirBuffer)
	b.ReportAllocs()
	for b.Loop() {
		if all, err = r.list(all[:0], buf); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(all)), "ns/process")
}
