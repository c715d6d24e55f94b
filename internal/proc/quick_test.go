package proc

import (
	"errors"
	"os/exec"
	"sync"
	"testing"
	"time"
)

func TestQuick(t *testing.T) {
	f := newFake(t)
	for pid, name := range map[int]string{10: "node", 11: "node", 12: "redis", 13: "other"} {
		f.put(fakeProcess{pid: pid, comm: name, resident: pid * 100, shared: pid})
	}
	w := watch(t, Options{Root: f.dir, Discover: &Discover{By: ByComm, Top: 1}, Targets: []Target{
		target("none", Config{Match: Match{Comm: "nothing"}}),
		target("a", Config{Match: Match{Comm: "node"}}),
		target("b", Config{Match: Match{Comm: "redis"}}),
	}})
	buf := make([]byte, 256)
	if _, err := w.Quick("a", buf); !errors.Is(err, ErrUnknownTarget) {
		t.Errorf("before the first listing: %v", err)
	}
	w.tick(0)
	same := func(target string) {
		t.Helper()
		u := w.usage(target)
		got, err := w.Quick(target, buf)
		if want := (Quick{u.Processes, u.Resident, u.Anon, u.Used, u.Largest, u.Population}); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", target, got, err, want)
		}
	}
	for _, target := range []string{"none", "a", "b", "other", Overflow} {
		same(target)
	}
	before := w.usage("a").Resident
	f.fill("10", fakeProcess{pid: 10, comm: "node", resident: 5000, shared: 10})
	got, err := w.Quick("a", buf)
	if want := before + 4000*w.page; err != nil || got.Resident != want {
		t.Errorf("after it grew: %+v, %v, want %d", got, err, want)
	}
	if _, err := w.Quick("gone", buf); !errors.Is(err, ErrUnknownTarget) {
		t.Errorf("a target that is not there: %v", err)
	}
	f.write("10/statm", "nonsense\n")
	if _, err := w.Quick("a", buf); !errors.Is(err, ErrNotQuick) {
		t.Errorf("a statm that cannot be read: %v", err)
	}
	f.write("10/statm", "0 0 0 0 0 0 0\n")
	if got, err := w.Quick("a", buf); err != nil || got.Processes != 1 || got.Resident != 1100*w.page {
		t.Errorf("one has become a zombie: %+v, %v, want the other alone", got, err)
	}
	f.fill("10", fakeProcess{pid: 10, comm: "node", resident: 1000, shared: 10})
	f.remove(11)
	w.tick(15 * time.Second)
	same("a")
}

// TestQuickNeedsHeldDescriptors: what is opened for each reading might be another process by now.
func TestQuickNeedsHeldDescriptors(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", resident: 100})
	w := watch(t, Options{Root: f.dir, MaxHeld: -1, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
	w.tick(0)
	if _, err := w.Quick("a", make([]byte, 256)); !errors.Is(err, ErrNotQuick) {
		t.Errorf("without held descriptors: %v, want ErrNotQuick", err)
	}
}

// TestQuickBesideRefresh: members come and go while another goroutine reads; a descriptor that is
// given out again for another process would show as an absurd sum. Run it with -race.
func TestQuickBesideRefresh(t *testing.T) {
	sleepers(t, 5)
	w := watch(t, Options{Targets: []Target{target("a", Config{Match: Match{Cmdline: Exprs{`104\.25`}}})}})
	w.now = time.Now()
	w.tick(0)
	eventually(t, "all members", func() bool { w.tick(time.Second); return w.usage("a").Processes == 5 })
	var done sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		done.Go(func() {
			buf := make([]byte, 256)
			for {
				select {
				case <-stop:
					return
				default:
				}
				q, err := w.Quick("a", buf)
				if err != nil && !errors.Is(err, ErrNotQuick) || err == nil && (q.Processes < 4 || q.Resident > 1<<30) {
					t.Errorf("%+v, %v", q, err)
					return
				}
			}
		})
	}
	for range 30 {
		cmd := exec.Command("sleep", "104.25")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.tick(11 * time.Second)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		w.tick(11 * time.Second)
	}
	close(stop)
	done.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if q, err := w.Quick("a", make([]byte, 256)); err == nil && q.Resident > 0 {
		t.Errorf("after Close: %+v", q)
	}
}

func TestQuickAllocatesNothing(t *testing.T) {
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", resident: 100})
	w := watch(t, Options{Root: f.dir, Targets: []Target{target("a", Config{Match: Match{Comm: "node"}})}})
	w.tick(0)
	buf := make([]byte, 256)
	if n := testing.AllocsPerRun(100, func() { _, _ = w.Quick("a", buf) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// BenchmarkQuick is a reading between two sweeps of a target of 500 processes.
func BenchmarkQuick(b *testing.B) {
	const n = 500
	sleepers(b, n)
	w := watch(b, Options{Targets: []Target{target("a", Config{Match: Match{Cmdline: Exprs{`104\.25`}}})}})
	w.now = time.Now()
	w.tick(0)
	eventually(b, "all members", func() bool { w.tick(time.Second); return w.usage("a").Processes == n })
	buf := make([]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Quick("a", buf); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/process")
}
