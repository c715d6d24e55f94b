package collector

import (
	"log/slog"
	"os/exec"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

func TestReadingsAllocateNothing(t *testing.T) {
	s, store, _, _ := newTestSampler(t)
	m := newMemory(store, "a", 400*mib, func(time.Duration) float64 { return 280 * mib })
	h := newFakeHost(t)
	h.write("cg/memory.current", "300000000\n")
	h.write("cg/memory.stat", "anon 100\nactive_file 2000000\ninactive_file 300000\nslab_reclaimable 50000\n")
	l := newLane(s, Lane{Name: "process", Interval: 5 * time.Second, Jobs: []Job{{Source: "process", Target: "a", Impl: m}}})
	l.sweep(t.Context(), 0, nil)
	for _, p := range []place{{cgroup: cgroupDir{h.dir + "/cg", true}}, {procfs: h.proc(), limitBytes: 8192000 << 10}} {
		m.place = p
		m.limit.bytes = 400 * mib
		at := time.Now()
		n := testing.AllocsPerRun(100, func() {
			at = at.Add(time.Second)
			s.near.take(at)
			s.near.read(&m.gauge)
		})
		if n != 0 {
			t.Errorf("%v allocations for a reading of %+v, want 0", n, p)
		}
		if v, _, ok := store.Value(metric.MemoryUsed, "a"); !ok || v == 280*mib {
			t.Errorf("nothing was read: %v, %v", v, ok)
		}
	}
	s.near.close()
}

// BenchmarkReading is one reading between two sweeps, from the deadline to the store: of a process
// and of the host as they are here, of a cgroup as a file.
func BenchmarkReading(b *testing.B) {
	cmd := exec.Command("sleep", "104.75")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	tracker, err := proc.New(proc.Options{Targets: []proc.Target{{Name: "a", Config: proc.Config{Match: proc.Match{Cmdline: proc.Exprs{`104\.75`}}}}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = tracker.Close() })
	if err := tracker.Refresh(b.Context(), time.Now()); err != nil {
		b.Fatal(err)
	}
	u, err := tracker.Usage("a")
	if err != nil || u.Processes == 0 {
		b.Fatal(u, err)
	}
	h := newFakeHost(b)
	h.write("cg/memory.current", "300000000\n")
	h.write("cg/memory.stat", "anon 100\nactive_file 2000000\ninactive_file 300000\nslab_reclaimable 50000\n")
	for _, c := range []struct {
		name string
		from place
	}{
		{"process", place{tracker: tracker, target: "a", population: u.Population}},
		{"cgroup", place{cgroup: cgroupDir{h.dir + "/cg", true}}},
		{"host", place{procfs: "/proc", limitBytes: 64 << 30}},
	} {
		b.Run(c.name, func(b *testing.B) {
			store := series.NewStore(series.Options{})
			m := newMemory(store, "a", 64<<30, func(time.Duration) float64 { return 50 << 30 })
			s := NewSampler(SamplerOptions{Store: store, Metrics: NewSamplerMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
			l := newLane(s, Lane{Name: "process", Interval: 5 * time.Second, Jobs: []Job{{Source: "process", Target: "a", Impl: m}}})
			l.sweep(b.Context(), 0, nil)
			m.place = c.from
			b.ReportAllocs()
			at := time.Now()
			for b.Loop() {
				at = at.Add(time.Second)
				s.near.take(at)
				s.near.read(&m.gauge)
			}
			s.near.close()
		})
	}
}
