package collector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// notOfTheRest are the series of a target that the rest of discovery does not have, because its
// processes have nothing to do with each other: no limit is theirs, and that one of them ends and
// another starts is not a restart.
var notOfTheRest = []*series.Desc{
	metric.TargetRestarts, metric.MemoryUsed, metric.MemoryUsedRatio, metric.MemoryLimit, metric.MemoryLimitInfo, metric.MemoryLevel,
	metric.MemoryGrowth, metric.MemoryGrowthConfidence, metric.MemoryFastGrowth, metric.MemoryExhaustion, metric.MemoryPSS, metric.MemoryUSS,
	metric.ProcessNamed, metric.ProcessExitReasons, metric.ProcessEndedPeak, metric.ProcessEventsLost, metric.DiscoveryProcesses, metric.DiscoveryUnreadable, metric.DiscoveryHeld,
}

// TestOverflowHasEveryFigure: the same processes have the same values as a target and as the rest of
// discovery, or the rest has none; no value is a 0 that was not read.
func TestOverflowHasEveryFigure(t *testing.T) {
	run := func(o proc.Options, target string) map[string]float64 {
		t.Helper()
		h := newFakeHost(t)
		h.process(10, "big", "0::/\n", 900<<10, 0, 0, 0)
		h.busy(11, "small", 1)
		h.busy(12, "mid", 1)
		b := newBench(t, h, o)
		if o.Discover == nil {
			b.addTarget(target, MemoryConfig{})
		} else {
			b.add(NewGroupsSource(GroupsOptions{Tracker: b.tracker, Store: b.store, Limits: b.limits, Thresholds: testThresholds}))
		}
		b.mustTick(0)
		h.busy(11, "small", 2)
		h.busy(12, "mid", 3)
		h.busy(13, "late", 2)
		b.mustTick(time.Minute)
		h.remove(12)
		b.mustTick(time.Minute)
		out := make(map[string]float64)
		families, err := b.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.Metric {
				key, of := f.GetName(), ""
				for _, l := range m.Label {
					if l.GetName() == "target" {
						of = l.GetValue()
						continue
					}
					key += " " + l.GetName() + "=" + l.GetValue()
				}
				if of == target {
					out[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
		}
		return out
	}
	small := proc.Config{Match: proc.Match{Cmdline: proc.Exprs{"small|mid|late"}}}
	want := run(proc.Options{Targets: []proc.Target{{Name: "a", Config: small}}}, "a")
	got := run(proc.Options{Discover: &proc.Discover{By: proc.ByComm, Top: 1}}, proc.Overflow)
	skipped := func(name string) bool {
		return slices.ContainsFunc(notOfTheRest, func(d *series.Desc) bool { return d.Name == name })
	}
	for _, d := range allOf("spillway_process", "spillway_memory") {
		if !skipped(d.Name) && !slices.ContainsFunc(keysOf(want), func(k string) bool { return k == d.Name || strings.HasPrefix(k, d.Name+" ") }) {
			t.Errorf("the target has no %s: give the processes of this test what it is read from", d.Name)
		}
	}
	for key, v := range want {
		name, _, _ := strings.Cut(key, " ")
		if skipped(name) {
			continue
		}
		if rest, ok := got[key]; !ok || rest != v {
			t.Errorf("%s of the rest is %v, %v, want %v", key, rest, ok, v)
		}
	}
}

// allOf returns the families whose names begin so.
func allOf(prefixes ...string) (out []*series.Desc) {
	for _, d := range metric.Descs() {
		for _, p := range prefixes {
			if strings.HasPrefix(d.Name, p) {
				out = append(out, d)
			}
		}
	}
	return out
}

func keysOf(m map[string]float64) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

// busy writes a process that has done so much of everything.
func (h *fakeHost) busy(pid int, comm string, much int) {
	h.t.Helper()
	h.process(pid, comm, "0::/\n", 100<<10, 10<<10, 2<<10, 8)
	at := fmt.Sprintf("proc/%d/", pid)
	h.write(at+"stat", fmt.Sprintf("%d (%s) S 1 1 1 0 -1 0 %d 0 %d 0 %d %d 0 0 20 0 %d 0 359900 1 1\n", pid, comm, 100*much, 10*much, 50*much, 30*much, 4*much))
	h.write(at+"status", fmt.Sprintf("State:\tS (sleeping)\nUid:\t0\t0\t0\t0\nVmHWM:\t%d kB\nRssFile:\t10240 kB\nRssShmem:\t2048 kB\nVmSwap:\t8 kB\nvoluntary_ctxt_switches:\t%d\nnonvoluntary_ctxt_switches:\t%d\n", 110<<10, 70*much, 7*much))
	h.write(at+"io", fmt.Sprintf("rchar: 1\nwchar: 2\nread_bytes: %d\nwrite_bytes: %d\ncancelled_write_bytes: 0\n", 4096*much, 8192*much))
	h.write(at+"limits", "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            16384                 1048576              files     \n")
	for i := range 3 * much {
		h.write(fmt.Sprintf("%sfd/%d", at, i), "")
	}
}
