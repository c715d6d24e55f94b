package collector

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// TestPlacesSayWhatTheSweepSays: a reading between two sweeps counts exactly what a sweep counts.
func TestPlacesSayWhatTheSweepSays(t *testing.T) {
	h := newFakeHost(t)
	h.write("proc/spl/kstat/zfs/arcstats", "x\nname type data\nsize 4 900000\nc_min 4 100000\n")
	h.write("sys/fs/cgroup/cgroup.controllers", "memory\n")
	h.write("sys/fs/cgroup/svc/memory.max", "1000000\n")
	h.write("sys/fs/cgroup/svc/memory.current", "900000\n")
	h.write("sys/fs/cgroup/svc/memory.stat", "anon 100\nactive_file 20000\ninactive_file 30000\nslab_reclaimable 5000\n")
	h.process(10, "node", "0::/svc\n", 400<<10, 100, 100, 0)
	h.process(11, "redis", "0::/\n", 300<<10, 100, 100, 0)
	h.process(12, "redis", "0::/\n", 200<<10, 100, 100, 0)
	b := newBench(t, h, proc.Options{Targets: []proc.Target{
		{Name: "cgroup", Config: proc.Config{Match: proc.Match{Comm: "node"}}},
		{Name: "rss", Config: proc.Config{Match: proc.Match{Comm: "redis"}}},
	}})
	b.addTarget("cgroup", MemoryConfig{})
	b.addTarget("rss", MemoryConfig{Limit: 1 << 30})
	b.add(NewHostSource(HostOptions{Procfs: h.proc(), Store: b.store, Thresholds: testThresholds}))
	b.mustTick(0)
	buf := make([]byte, nearBuffer)
	for _, src := range b.sources {
		list, ok := src.(interface{ gauges(dst []*gauge) []*gauge })
		if !ok {
			continue
		}
		for _, g := range list.gauges(nil) {
			p, _ := g.next()
			m := p.open()
			want, _, _ := b.store.Value(metric.MemoryUsed, g.target)
			for range 2 {
				r, err := m.read(buf, 0)
				if err != nil || !r.exact || r.used != want || r.bound < want {
					t.Errorf("%s: %+v, %v, want %v", g.target, r, err, want)
				}
			}
			if resident, _, ok := b.store.Value(metric.MemoryResident, g.target); g.target == "rss" && (!ok || resident != 500<<20) {
				t.Errorf("resident %v", resident)
			}
			m.close()
			if p.grows() {
				p.population++
				if r, err := p.open().read(buf, 0); err == nil {
					t.Errorf("%s: a reading of another population: %+v", g.target, r)
				}
			}
			if r, err := m.read(buf, math.Inf(1)); err != nil || r.exact && g.target == "cgroup" {
				t.Errorf("%s opened again: %+v, %v", g.target, r, err)
			}
			m.close()
		}
	}
}

// TestUnreadablePlacesAreErrors: what cannot be read is never a number.
func TestUnreadablePlacesAreErrors(t *testing.T) {
	h := newFakeHost(t)
	buf := make([]byte, nearBuffer)
	f := func(name string, p place, write map[string]string) {
		t.Helper()
		for file, text := range write {
			h.write(file, text)
		}
		m := p.open()
		defer m.close()
		if r, err := m.read(buf, 0); err == nil {
			t.Errorf("%s: %+v, want an error", name, r)
		}
	}
	cg := func(unified bool) place { return place{cgroup: cgroupDir{h.dir + "/cg", unified}} }
	f("no cgroup", cg(true), nil)
	f("no memory.stat", cg(true), map[string]string{"cg/memory.current": "1000\n"})
	f("no number", cg(true), map[string]string{"cg/memory.current": "max\n", "cg/memory.stat": "active_file 1\ninactive_file 1\nslab_reclaimable 1\n"})
	f("less than none", cg(false), map[string]string{"cg/memory.usage_in_bytes": "-1\n"})
	f("memory.stat of another version", cg(false), map[string]string{"cg/memory.usage_in_bytes": "10\n"})
	f("no procfs", place{procfs: h.dir + "/none"}, nil)
	f("no MemAvailable", place{procfs: h.proc()}, map[string]string{"proc/meminfo": "MemTotal: 1 kB\n"})
	f("no unit", place{procfs: h.proc()}, map[string]string{"proc/meminfo": "MemAvailable: 1\n"})
	f("arcstats of another form", place{procfs: h.proc()}, map[string]string{"proc/meminfo": "MemAvailable: 1 kB\n", "proc/spl/kstat/zfs/arcstats": "nothing\n"})
}

// TestWakeListsNewMembers: a target whose processes multiply between two sweeps is listed at once when
// it is woken, once a second at most.
func TestWakeListsNewMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost(t)
		h.process(10, "node", "0::/\n", 100<<10, 0, 0, 0)
		b := newBench(t, h, nodeTarget())
		b.addTarget("a", MemoryConfig{Limit: 1 << 30})
		lists := 0
		s, store, _, _ := newTestSampler(t)
		b.sources[1].(*targetSource).store = store
		s.lanes = append(s.lanes, newLane(s, Lane{Name: "process", Interval: time.Minute, Jobs: []Job{
			{Source: "discovery", Impl: b.sources[0]}, {Source: "process", Target: "a", Impl: b.sources[1]},
		}, After: func(bool) { lists++ }}))
		s.Start(t.Context())
		<-s.Ready()
		<-time.After(10 * time.Second)
		for pid := 11; pid < 19; pid++ {
			h.process(pid, "node", "0::/\n", 100<<10, 0, 0, 0)
		}
		for range 50 {
			s.Wake("a", WakeMemoryEvents)
			<-time.After(20 * time.Millisecond)
		}
		synctest.Wait()
		if v, _, _ := store.Value(metric.MemoryResident, "a"); v != 900<<20 {
			t.Errorf("%v MiB resident a second after it was woken, want 900", v/mib)
		}
		if lists < 2 || lists > 3 {
			t.Errorf("%d sweeps, want 2 or 3: one more a second", lists)
		}
		stopSampler(t, s)
	})
}

// TestProcessesAreReadBetweenSweeps: the statm of the members is followed, a member that ends counts
// no more, and one sweep later the rest is as ever.
func TestProcessesAreReadBetweenSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost(t)
		h.process(10, "node", "0::/\n", 600<<10, 0, 0, 0)
		h.process(11, "node", "0::/\n", 100<<10, 0, 0, 0)
		b := newBench(t, h, nodeTarget())
		b.addTarget("a", MemoryConfig{Limit: 1 << 30})
		s, store, _, _ := newTestSampler(t)
		b.sources[1].(*targetSource).store = store
		c := &crossings{store: store}
		s.opts.Crossed = c.note
		s.lanes = append(s.lanes, newLane(s, Lane{Name: "process", Interval: 5 * time.Second, Jobs: []Job{
			{Source: "discovery", Impl: b.sources[0]}, {Source: "process", Target: "a", Impl: b.sources[1]},
		}}))
		s.Start(t.Context())
		<-s.Ready()
		<-time.After(1100 * time.Millisecond) // not when a reading is due: files are not written at once
		h.process(10, "node", "0::/\n", 800<<10, 0, 0, 0)
		<-time.After(1250 * time.Millisecond)
		synctest.Wait()
		if v, _, _ := store.Value(metric.MemoryResident, "a"); v != 900<<20 {
			t.Errorf("%v MiB resident, want 900 before the next sweep", v/mib)
		}
		if v, _, _ := store.Value(metric.MemoryWindowMax, "a"); v != 900<<20 {
			t.Errorf("the window reaches %v MiB, want 900", v/mib)
		}
		if v, _, _ := store.Value(metric.MemoryLevel, "a"); v != 2 || len(c.sofar()) != 1 {
			t.Errorf("level %v, %+v, want critical", v, c.sofar())
		}
		h.write("proc/11/statm", "0 0 0 0 0 0 0\n")
		<-time.After(1250 * time.Millisecond)
		synctest.Wait()
		if v, _, _ := store.Value(metric.MemoryResident, "a"); v != 800<<20 {
			t.Errorf("%v MiB resident after a member has ended, want 800", v/mib)
		}
		if err := os.RemoveAll(filepath.Join(h.proc(), "10")); err != nil {
			t.Fatal(err)
		}
		h.remove(11)
		<-time.After(10 * time.Second)
		synctest.Wait()
		if _, _, ok := store.Value(metric.MemoryUsed, "a"); ok {
			t.Error("the memory of a target without processes is not absent")
		}
		stopSampler(t, s)
	})
}

func FuzzParseCounters(f *testing.F) {
	f.Add([]byte("1234\n"))
	f.Add([]byte("MemTotal: 10 kB\nMemAvailable:   6144000 kB\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := parseUsage(b); err == nil && n < 0 {
			t.Errorf("usage %d of %q", n, b)
		}
		if n, err := parseAvailable(b); err == nil && n < 0 {
			t.Errorf("available %d of %q", n, b)
		}
	})
}

// TestHeldCgroupIsOpenedAgain: the cgroup of a service that is restarted has the same name and is
// another one.
func TestHeldCgroupIsOpenedAgain(t *testing.T) {
	dir, unified := "/sys/fs/cgroup/memory/spillway-place-test", false
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		dir, unified = "/sys/fs/cgroup/spillway-place-test", true
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("no cgroup can be made here: %v", err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if !exists(dir, "memory.stat") {
		t.Skip("the cgroup does not count memory")
	}
	m := place{cgroup: cgroupDir{dir, unified}}.open()
	defer m.close()
	buf := make([]byte, nearBuffer)
	read := func(what string, good bool) {
		t.Helper()
		if r, err := m.read(buf, 0); (err == nil) != good {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
	}
	read("there", true)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	read("gone", false)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	read("there again", true)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	read("exchanged", true)
}
