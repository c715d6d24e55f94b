package collector

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

func TestMemoryConfigValidate(t *testing.T) {
	f := func(c MemoryConfig, basis string, want ...string) {
		t.Helper()
		var got []string
		c.Validate(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(want) == 0 && c.Basis != basis {
			t.Errorf("basis %q, want %q", c.Basis, basis)
		}
	}
	f(MemoryConfig{}, BasisAuto)
	f(MemoryConfig{Limit: 1 << 30, Basis: BasisCgroup}, BasisCgroup)
	f(MemoryConfig{Limit: 512}, "", "limit: 512 bytes are less than any process needs: write a size with its unit, such as 512MiB or 1GiB")
	f(MemoryConfig{Limit: 1 << 30, LimitPerProcess: 1 << 29}, BasisAuto)
	f(MemoryConfig{LimitPerProcess: 512}, "", "limit_per_process: 512 bytes are less than any process needs: write a size with its unit, such as 512MiB or 1GiB")
	f(MemoryConfig{Limit: 1 << 29, LimitPerProcess: 1 << 30}, "", "limit_per_process: 1GiB for one process is more than limit allows all of them: write at most 512MiB")
	f(MemoryConfig{Basis: "pss"}, "", `basis: "pss" is nothing to count by: write auto, rss or cgroup`)
}

// simulate samples one process whose memory in MiB is f of seconds, and returns the last growth.
func simulate(t *testing.T, interval, length time.Duration, f func(seconds float64) float64) (growth, exhaustion float64, ok bool) {
	t.Helper()
	store := series.NewStore(series.Options{})
	g := gauge{target: "a", store: store, thresholds: testThresholds, interval: 5 * time.Second}
	var b series.Batch
	for at := time.Duration(0); at <= length; at += interval {
		b.Reset(testStart.Add(at))
		g.set(&b, exactly(f(at.Seconds())*(1<<20)), limit{bytes: 1 << 30, source: sourceConfig, basis: BasisRSS}, place{}, false)
		store.Commit(&b)
	}
	growth, _, ok = store.Value(metric.MemoryGrowth, "a")
	exhaustion, _, _ = store.Value(metric.MemoryExhaustion, "a")
	return growth, exhaustion, ok
}

func TestGrowth(t *testing.T) {
	saw := func(period float64) func(float64) float64 {
		return func(s float64) float64 { return 300 + 80*math.Mod(s, period)/period }
	}
	const hourly = 50.0 / 3600 // MiB per second
	tests := []struct {
		name     string
		interval time.Duration
		length   time.Duration
		f        func(float64) float64
		want     float64 // MiB per second
		ok       bool
	}{
		{"flat", 5 * time.Second, 10 * time.Minute, func(float64) float64 { return 300 }, 0, true},
		{"too short", 5 * time.Second, 4 * time.Minute, func(s float64) float64 { return 300 + s }, 0, false},
		{"leak", 5 * time.Second, 10 * time.Minute, func(s float64) float64 { return 300 + s/10 }, .1, true},
		{"sawtooth of 30 s", 5 * time.Second, 10 * time.Minute, saw(30), 0, true},
		{"sawtooth of 70 s", 5 * time.Second, 10 * time.Minute, saw(70), 0, true},
		{"sawtooth of 70 s for hours", 5 * time.Second, 3 * time.Hour, saw(70), 0, true},
		{"sawtooth of 70 s sampled in a hurry", time.Second, 10 * time.Minute, saw(70), 0, false},
		{"slow leak", 5 * time.Second, 3 * time.Hour, func(s float64) float64 { return 300 + s*hourly }, hourly, true},
		{"slow leak under a sawtooth", 5 * time.Second, 3 * time.Hour, func(s float64) float64 { return saw(70)(s) + s*hourly }, hourly, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			growth, exhaustion, ok := simulate(t, tt.interval, tt.length, tt.f)
			growth /= 1 << 20
			if ok != tt.ok || math.Abs(growth-tt.want) > .2*tt.want {
				t.Fatalf("growth %v MiB/s, %v, want %v, %v", growth, ok, tt.want, tt.ok)
			}
			if !ok {
				return
			}
			left := (1024 - tt.f(tt.length.Seconds())) / growth
			if tt.want == 0 && !math.IsInf(exhaustion, 1) || tt.want > 0 && math.Abs(exhaustion-left) > 1 {
				t.Errorf("exhaustion in %v s, want %v", exhaustion, left)
			}
		})
	}
}

func TestGrowthIsCutWhenMembersChange(t *testing.T) {
	h := newFakeHost(t)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{Limit: 1 << 30})
	leak := func(pid, from, n int) {
		t.Helper()
		for i := range n {
			h.process(pid, "node", "0::/\n", (from+i)<<10, 0, 0, 0)
			b.mustTick(5 * time.Second)
		}
	}
	leak(10, 100, 60)
	b.expect(metric.MemoryGrowth, "209715.2", "a") // 1 MiB in 5 s
	h.remove(10)
	leak(11, 300, 1)
	b.expect(metric.MemoryGrowth, "", "a")
	leak(11, 301, 39)
	b.expect(metric.MemoryGrowth, "", "a")
	leak(11, 340, 20)
	b.expect(metric.MemoryGrowth, "209715.2", "a")
	h.process(12, "node", "0::/\n", 50<<10, 0, 0, 0)
	b.mustTick(5 * time.Second)
	b.expect(metric.MemoryGrowth, "209715.2", "a") // one that may leave at once does not count yet
}

func TestSmallestLimit(t *testing.T) {
	const gib = int64(1) << 30
	h := newFakeHost(t) // 7.8 GiB
	h.write("sys/fs/cgroup/cgroup.controllers", "memory\n")
	group := func(name, limit, high string) {
		at := "sys/fs/cgroup/" + name
		h.write(at+"/memory.max", limit+"\n")
		h.write(at+"/memory.high", high+"\n")
		h.write(at+"/memory.current", "1000000\n")
		h.write(at+"/memory.stat", "anon 100\nactive_file 200000\ninactive_file 300000\nslab_reclaimable 50000\n")
	}
	group("svc", fmt.Sprint(4*gib), "max")
	group("svc/inner", "max", "max")
	group("tight", "max", fmt.Sprint(gib))
	group("free", "max", "max")
	group("huge", fmt.Sprint(100*gib), "max")
	tests := []struct {
		name       string
		config     MemoryConfig
		cgroup     string
		discovered bool
		want       limit
		err        string
	}{
		{"an ancestor's", MemoryConfig{}, "/svc/inner", false, limit{4 * gib, sourceCgroupV2, BasisCgroup, cgroupDir{h.sys() + "/fs/cgroup/svc", true}}, ""},
		{"memory.high", MemoryConfig{}, "/tight", false, limit{gib, sourceHigh, BasisCgroup, cgroupDir{h.sys() + "/fs/cgroup/tight", true}}, ""},
		{"the config's", MemoryConfig{Limit: 1 << 29}, "/svc", false, limit{1 << 29, sourceConfig, BasisRSS, cgroupDir{}}, ""},
		{"the config's is larger", MemoryConfig{Limit: 8 << 30}, "/svc", false, limit{4 * gib, sourceCgroupV2, BasisCgroup, cgroupDir{h.sys() + "/fs/cgroup/svc", true}}, ""},
		{"the host's", MemoryConfig{}, "/free", false, limit{8192000 << 10, sourceHost, BasisRSS, cgroupDir{}}, ""},
		{"the host is smaller than the cgroup", MemoryConfig{}, "/huge", false, limit{8192000 << 10, sourceHost, BasisRSS, cgroupDir{}}, ""},
		{"rss against a cgroup", MemoryConfig{Basis: BasisRSS}, "/tight", false, limit{gib, sourceHigh, BasisRSS, cgroupDir{h.sys() + "/fs/cgroup/tight", true}}, ""},
		{"cgroup against the config", MemoryConfig{Limit: 1 << 29, Basis: BasisCgroup}, "/svc/inner", false, limit{1 << 29, sourceConfig, BasisCgroup, cgroupDir{h.sys() + "/fs/cgroup/svc/inner", true}}, ""},
		{"cgroup in the root", MemoryConfig{Basis: BasisCgroup}, "/", false, limit{}, "memory.basis: rss"},
		{"outside the namespace", MemoryConfig{}, "/../other", false, limit{}, "inside this container"},
		{"outside the namespace, with a limit", MemoryConfig{Limit: 1 << 29}, "/../other", false, limit{1 << 29, sourceConfig, BasisRSS, cgroupDir{}}, ""},
		{"cgroup outside the namespace, with a limit", MemoryConfig{Limit: 1 << 29, Basis: BasisCgroup}, "/../other", false, limit{}, "inside this container"},
		{"a cgroup that is not there", MemoryConfig{}, "/gone", false, limit{}, "memory.limit"},
		{"a discovered group", MemoryConfig{}, "/tight", true, limit{gib, sourceHigh, BasisRSS, cgroupDir{h.sys() + "/fs/cgroup/tight", true}}, ""},
		{"a discovered group outside", MemoryConfig{}, "/../x", true, limit{8192000 << 10, sourceHost, BasisRSS, cgroupDir{}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := limitReader{limits: NewLimits(LimitsOptions{Procfs: h.proc(), Sysfs: h.sys()}), config: tt.config}
			all, err := r.read(testStart, &proc.Usage{CgroupV2: tt.cgroup}, tt.discovered)
			var got limit
			if len(all) > 0 {
				got = all[0]
			}
			if got != tt.want || (err != nil) != (tt.err != "") {
				t.Errorf("limit %+v, %v, want %+v, error %q", got, err, tt.want, tt.err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %q, want it to say %q", err, tt.err)
			}
		})
	}
}

func TestUsedOfACgroup(t *testing.T) {
	h := newFakeHost(t)
	h.write("sys/fs/cgroup/cgroup.controllers", "memory\n")
	h.write("sys/fs/cgroup/svc/memory.max", "1000000\n")
	h.write("sys/fs/cgroup/svc/memory.current", "900000\n")
	h.write("sys/fs/cgroup/svc/memory.stat", "anon 100\nactive_file 200000\ninactive_file 300000\nslab_reclaimable 50000\n")
	h.process(10, "node", "0::/svc\n", 400<<10, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{})
	b.mustTick(0)
	b.expect(metric.MemoryUsed, "350000", "a")
	b.expect(metric.MemoryUsedRatio, "0.35", "a")
	b.expect(metric.MemoryLimitInfo, "1", "a", sourceCgroupV2, BasisCgroup)
	h.write("sys/fs/cgroup/svc/memory.current", "1600000\n")
	b.mustTick(time.Second)
	b.expect(metric.MemoryLevel, "3", "a")
	h.write("sys/fs/cgroup/svc/memory.current", "400000\n") // read before the cache grew
	b.mustTick(time.Second)
	b.expect(metric.MemoryUsed, "0", "a")
	h.write("sys/fs/cgroup/svc/memory.stat", "anon 100\n")
	if err := b.tick(time.Second); err == nil {
		t.Error("a memory.stat without its figures is not an error")
	}
	b.expect(metric.MemoryUsed, "", "a")
	b.expect(metric.MemoryLevel, "", "a")
	b.expect(metric.MemoryLimit, "1e+06", "a")
}
