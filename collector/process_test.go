package collector

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

var (
	testStart      = time.UnixMilli(1_700_000_000_000)
	testThresholds = series.Thresholds{Warning: .70, Critical: .85, Emergency: .95}
)

// fakeHost is a procfs and a sysfs of plain files.
type fakeHost struct {
	t   testing.TB
	dir string
}

func newFakeHost(t testing.TB) *fakeHost {
	t.Helper()
	h := &fakeHost{t: t, dir: t.TempDir()}
	h.write("proc/stat", fmt.Sprintf("cpu  1 2 3 4 5 6 7 8 9 10\nbtime %d\n", testStart.Add(-time.Hour).Unix()))
	h.write("proc/meminfo", "MemTotal:       8192000 kB\nMemAvailable:   6144000 kB\nSwapTotal:      1024 kB\nSwapFree:       512 kB\n")
	return h
}

func (h *fakeHost) proc() string { return filepath.Join(h.dir, "proc") }
func (h *fakeHost) sys() string  { return filepath.Join(h.dir, "sys") }

func (h *fakeHost) write(name, text string) {
	h.t.Helper()
	name = filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// process writes a process with sizes in KiB: resident, of it file and shmem, and swap.
func (h *fakeHost) process(pid int, comm, cgroup string, resident, file, shmem, swap int) {
	h.t.Helper()
	page := os.Getpagesize() >> 10
	at := fmt.Sprintf("proc/%d/", pid)
	h.write(at+"stat", fmt.Sprintf("%d (%s) S 1 1 1 0 -1 0 1 0 0 0 1 1 0 0 20 0 1 0 1000 1 1\n", pid, comm))
	h.write(at+"statm", fmt.Sprintf("%d %d %d 1 0 1 0\n", resident, resident/page, (file+shmem)/page))
	h.write(at+"status", fmt.Sprintf("Name:\t%s\nState:\tS (sleeping)\nUid:\t0\t0\t0\t0\nRssFile:\t%d kB\nRssShmem:\t%d kB\nVmSwap:\t%d kB\n", comm, file, shmem, swap))
	h.write(at+"cmdline", comm+"\x00")
	h.write(at+"cgroup", cgroup)
}

// start writes a small process that started some seconds after the test began.
func (h *fakeHost) start(pid int, comm, cgroup string, seconds int) {
	h.t.Helper()
	h.process(pid, comm, cgroup, 4<<10, 0, 0, 0)
	h.write(fmt.Sprintf("proc/%d/stat", pid), fmt.Sprintf("%d (%s) S 1 1 1 0 -1 0 1 0 0 0 1 1 0 0 20 0 1 0 %d 1 1\n", pid, comm, (3600+seconds)*100))
}

func (h *fakeHost) remove(pid int) {
	h.t.Helper()
	if err := os.RemoveAll(filepath.Join(h.proc(), strconv.Itoa(pid))); err != nil {
		h.t.Fatal(err)
	}
}

// bench samples sources by hand.
type bench struct {
	t       testing.TB
	now     time.Time
	store   *series.Store
	tracker *proc.Tracker
	limits  *Limits
	sources []Source
	batches []*series.Batch
	reg     *prometheus.Registry
}

func newBench(t testing.TB, h *fakeHost, o proc.Options) *bench {
	t.Helper()
	o.Root = h.proc()
	tracker, err := proc.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tracker.Close() })
	b := &bench{
		t: t, now: testStart, store: series.NewStore(series.Options{}), tracker: tracker,
		limits: NewLimits(LimitsOptions{Procfs: h.proc(), Sysfs: h.sys()}), reg: prometheus.NewRegistry(),
	}
	b.reg.MustRegister(NewExporter(b.store))
	b.add(NewDiscoverySource(tracker))
	return b
}

func (b *bench) add(s Source) {
	b.sources = append(b.sources, s)
	b.batches = append(b.batches, &series.Batch{})
}

// addTarget adds the source of a target with a limit.
func (b *bench) addTarget(target string, m MemoryConfig) {
	b.t.Helper()
	m.Validate(func(key, format string, args ...any) { b.t.Fatalf(key+": "+format, args...) })
	b.add(NewTargetSource(TargetOptions{
		Target: target, Tracker: b.tracker, Store: b.store, Limits: b.limits, Memory: m, Thresholds: testThresholds,
	}))
}

// tick samples all sources after d and returns their errors, ErrAbsent aside.
func (b *bench) tick(d time.Duration) error {
	b.t.Helper()
	b.now = b.now.Add(d)
	var all error
	for i, s := range b.sources {
		b.batches[i].Reset(b.now)
		if err := s.Sample(b.t.Context(), b.batches[i]); err != nil && !errors.Is(err, ErrAbsent) {
			all = errors.Join(all, err)
		}
		b.store.Commit(b.batches[i])
	}
	return all
}

func (b *bench) mustTick(d time.Duration) {
	b.t.Helper()
	if err := b.tick(d); err != nil {
		b.t.Fatal(err)
	}
}

// expect compares a series with its value; want "" = absent.
func (b *bench) expect(d *series.Desc, want string, labels ...string) {
	b.t.Helper()
	got := ""
	if v, _, ok := b.store.Value(d, labels...); ok {
		got = strconv.FormatFloat(v, 'g', -1, 64)
	}
	if got != want {
		b.t.Errorf("%s%v = %q, want %q", d.Name, labels, got, want)
	}
}

// text compares families in the exposition format.
func (b *bench) text(want string) {
	b.t.Helper()
	var names []string
	for line := range strings.Lines(want) {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, name)
		}
	}
	if err := testutil.GatherAndCompare(b.reg, strings.NewReader(want), names...); err != nil {
		b.t.Error(err)
	}
}

func nodeTarget() proc.Options {
	return proc.Options{Targets: []proc.Target{{Name: "a", Config: proc.Config{Match: proc.Match{Comm: "node"}}}}}
}

func TestTargetAsText(t *testing.T) {
	h := newFakeHost(t)
	h.process(10, "node", "0::/\n", 400<<10, 96<<10, 4<<10, 8)
	h.process(11, "node", "0::/\n", 200<<10, 100<<10, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{Limit: 1 << 30})
	b.add(NewThresholdsSource(map[string]series.Thresholds{"a": testThresholds}, nil))
	b.mustTick(0)
	b.text(`# HELP spillway_discovery_processes Processes of the host when last listed.
# TYPE spillway_discovery_processes gauge
spillway_discovery_processes 2
# HELP spillway_memory_anon_bytes Anonymous part of the resident memory: heap, stacks and private data.
# TYPE spillway_memory_anon_bytes gauge
spillway_memory_anon_bytes{target="a"} 4.194304e+08
# HELP spillway_memory_file_bytes File-backed part of the resident memory: programs, libraries and mapped files.
# TYPE spillway_memory_file_bytes gauge
spillway_memory_file_bytes{target="a"} 2.05520896e+08
# HELP spillway_memory_level Memory pressure with hysteresis: 0 normal, 1 warning, 2 critical, 3 emergency.
# TYPE spillway_memory_level gauge
spillway_memory_level{target="a"} 0
# HELP spillway_memory_limit_bytes Lowest limit on the target's memory.
# TYPE spillway_memory_limit_bytes gauge
spillway_memory_limit_bytes{target="a"} 1.073741824e+09
# HELP spillway_memory_limit_info Source of the limit (config, cgroup_v1, cgroup_v1_hierarchical, cgroup_v2 for memory.max, cgroup_v2_high for memory.high, host) and what counts toward it (rss, cgroup, fullest_cgroup, largest_process, available).
# TYPE spillway_memory_limit_info gauge
spillway_memory_limit_info{basis="rss",source="config",target="a"} 1
# HELP spillway_memory_resident_bytes Resident memory (RSS) of the target's processes.
# TYPE spillway_memory_resident_bytes gauge
spillway_memory_resident_bytes{target="a"} 6.291456e+08
# HELP spillway_memory_shmem_bytes Shared-memory part of the resident memory, including tmpfs.
# TYPE spillway_memory_shmem_bytes gauge
spillway_memory_shmem_bytes{target="a"} 4.194304e+06
# HELP spillway_memory_swap_bytes Swapped-out memory of the target's processes.
# TYPE spillway_memory_swap_bytes gauge
spillway_memory_swap_bytes{target="a"} 8192
# HELP spillway_memory_used_bytes Memory that counts toward the limit; the basis label of spillway_memory_limit_info says how it is counted.
# TYPE spillway_memory_used_bytes gauge
spillway_memory_used_bytes{target="a"} 5.24288e+08
# HELP spillway_memory_used_ratio Used memory as a share of the limit.
# TYPE spillway_memory_used_ratio gauge
spillway_memory_used_ratio{target="a"} 0.48828125
# HELP spillway_memory_window_max_bytes Largest resident memory over the window: the peak between two scrapes.
# TYPE spillway_memory_window_max_bytes gauge
spillway_memory_window_max_bytes{target="a"} 6.291456e+08
# HELP spillway_memory_window_min_bytes Smallest resident memory over the window.
# TYPE spillway_memory_window_min_bytes gauge
spillway_memory_window_min_bytes{target="a"} 6.291456e+08
# HELP spillway_process_exits_total Processes that left the target, as seen by the sampler.
# TYPE spillway_process_exits_total counter
spillway_process_exits_total{target="a"} 0
# HELP spillway_process_oldest_start_time_seconds Unix time at which the target's oldest process started.
# TYPE spillway_process_oldest_start_time_seconds gauge
spillway_process_oldest_start_time_seconds{target="a"} 1.69999641e+09
# HELP spillway_process_starts_total Processes that joined the target, as seen by the sampler.
# TYPE spillway_process_starts_total counter
spillway_process_starts_total{target="a"} 0
# HELP spillway_processes Running processes of the target.
# TYPE spillway_processes gauge
spillway_processes{target="a"} 2
# HELP spillway_threshold_ratio Share of the limit at which a level of a signal begins: of memory or heap.
# TYPE spillway_threshold_ratio gauge
spillway_threshold_ratio{level="critical",signal="memory",target="a"} 0.85
spillway_threshold_ratio{level="emergency",signal="memory",target="a"} 0.95
spillway_threshold_ratio{level="warning",signal="memory",target="a"} 0.7
`)
	b.expect(metric.MemoryGrowth, "", "a")
	b.expect(metric.MemoryExhaustion, "", "a")
}

// allDescs are the series of this file's subjects; each must pass the linter.
func TestObservedSeriesLint(t *testing.T) {
	store := series.NewStore(series.Options{})
	var b series.Batch
	b.Reset(testStart)
	for _, d := range []*series.Desc{
		metric.Processes, metric.ProcessStarts, metric.ProcessExits, metric.TargetRestarts, metric.ProcessOldestStart, metric.DiscoveryProcesses, metric.DiscoveryUnreadable, metric.DiscoveryHeld,
		metric.MemoryResident, metric.MemoryAnon, metric.MemoryFile, metric.MemoryShmem, metric.MemorySwap, metric.MemoryWindowMax, metric.MemoryWindowMin, metric.MemoryUsed,
		metric.MemoryLimit, metric.MemoryUsedRatio, metric.MemoryLimitInfo, metric.MemoryLevel, metric.MemoryGrowth, metric.MemoryGrowthConfidence, metric.MemoryExhaustion, metric.ThresholdRatio,
		metric.HostMemoryTotal, metric.HostMemoryAvailable, metric.HostMemoryHugetlb, metric.HostMemoryARC, metric.HostSwapTotal, metric.HostSwapFree, metric.HostWaiting, metric.HostStalled,
	} {
		b.Set(d, 1, make([]string, len(d.Labels))...)
	}
	store.Commit(&b)
	problems, err := testutil.CollectAndLint(NewExporter(store))
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func TestTargetThatIsGone(t *testing.T) {
	h := newFakeHost(t)
	h.process(10, "node", "0::/\n", 400<<10, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{Limit: 1 << 29})
	b.mustTick(0)
	h.process(11, "node", "0::/\n", 100<<10, 0, 0, 0)
	b.mustTick(5 * time.Second)
	b.expect(metric.MemoryWindowMin, "4.194304e+08", "a")
	b.expect(metric.MemoryWindowMax, "5.24288e+08", "a")
	b.expect(metric.MemoryLevel, "3", "a")
	h.remove(10)
	h.remove(11)
	b.mustTick(5 * time.Second)
	b.expect(metric.Processes, "0", "a")
	b.expect(metric.ProcessStarts, "1", "a")
	b.expect(metric.ProcessExits, "2", "a")
	for _, d := range []*series.Desc{
		metric.ProcessOldestStart, metric.MemoryResident, metric.MemoryAnon, metric.MemoryFile, metric.MemoryShmem, metric.MemorySwap, metric.MemoryWindowMax, metric.MemoryWindowMin,
		metric.MemoryUsed, metric.MemoryLimit, metric.MemoryUsedRatio, metric.MemoryLevel, metric.MemoryGrowth, metric.MemoryGrowthConfidence, metric.MemoryExhaustion,
	} {
		b.expect(d, "", "a")
	}
	h.process(12, "node", "0::/\n", 10<<10, 0, 0, 0)
	b.mustTick(5 * time.Second)
	b.expect(metric.MemoryLevel, "0", "a") // a new process does not inherit the level of the old one
	b.expect(metric.ProcessStarts, "2", "a")
}

// A shell that runs one command after the other must not look like a service that restarts.
func TestRestartsOfTargetsAndUnits(t *testing.T) {
	const unit = "0::/system.slice/app.service\n"
	for _, tt := range []struct{ by, group, want string }{
		{proc.ByUnit, "app.service", "1"},
		{proc.ByCgroup, "system.slice_app.service", "1"},
		{proc.ByComm, "sleep", ""},
	} {
		t.Run(tt.by, func(t *testing.T) {
			h := newFakeHost(t)
			o := nodeTarget()
			o.Discover = &proc.Discover{By: tt.by, Top: 5}
			b := newBench(t, h, o)
			b.addTarget("a", MemoryConfig{})
			b.add(NewGroupsSource(GroupsOptions{Tracker: b.tracker, Store: b.store, Limits: b.limits, Thresholds: testThresholds}))
			h.start(10, "node", "0::/\n", -60)
			h.start(20, "sleep", unit, -60)
			b.mustTick(0)
			b.expect(metric.TargetRestarts, "0", "a")
			h.remove(10)
			h.remove(20)
			h.start(11, "node", "0::/\n", 3)
			h.start(21, "sleep", unit, 3)
			b.mustTick(5 * time.Second)
			b.expect(metric.ProcessStarts, "1", tt.group)
			b.expect(metric.TargetRestarts, tt.want, tt.group)
			b.expect(metric.TargetRestarts, "", proc.Overflow)
			b.expect(metric.TargetRestarts, "1", "a")
			h.remove(11)
			b.mustTick(5 * time.Second)
			b.expect(metric.Processes, "0", "a")
			b.expect(metric.TargetRestarts, "1", "a")
			h.start(12, "node", "0::/\n", 13)
			b.mustTick(5 * time.Second)
			b.expect(metric.TargetRestarts, "2", "a")

			after := newBench(t, h, o) // a reload goes on from there
			after.store, after.now = b.store, b.now
			after.addTarget("a", MemoryConfig{})
			after.mustTick(5 * time.Second)
			after.expect(metric.TargetRestarts, "2", "a")
		})
	}
}

func TestUnreadableMemoryIsAbsent(t *testing.T) {
	h := newFakeHost(t)
	h.process(10, "node", "0::/\n", 400<<10, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{Limit: 1 << 29})
	b.mustTick(0)
	b.mustTick(5 * time.Second)
	b.mustTick(5 * time.Second)
	b.expect(metric.MemoryLevel, "1", "a")
	h.write("proc/10/statm", "1000 nothing\n")
	if err := b.tick(5 * time.Second); err == nil || !strings.Contains(err.Error(), "process 10") {
		t.Errorf("error %v, want one that names the process", err)
	}
	b.expect(metric.Processes, "1", "a")
	b.expect(metric.MemoryLimit, "5.36870912e+08", "a")
	for _, d := range []*series.Desc{metric.MemoryResident, metric.MemoryUsed, metric.MemoryUsedRatio, metric.MemoryLevel} {
		b.expect(d, "", "a")
	}
	h.process(10, "node", "0::/\n", 400<<10, 0, 0, 0)
	b.mustTick(5 * time.Second)
	b.expect(metric.MemoryLevel, "1", "a") // one bad reading does not make the pressure go away
}

func TestNothingIsKnownAfterAFailedListing(t *testing.T) {
	h := newFakeHost(t)
	h.process(10, "node", "0::/\n", 400<<10, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var batch series.Batch
	batch.Reset(b.now)
	if err := b.sources[0].Sample(ctx, &batch); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled discovery: %v", err)
	}
	if err := b.sources[1].Sample(t.Context(), &batch); err == nil || batch.Len() != 0 {
		t.Errorf("the target has %d values and error %v after a failed listing, want none and the error", batch.Len(), err)
	}
}

func TestReloadKeepsCountersLevelAndTrend(t *testing.T) {
	h := newFakeHost(t)
	h.process(10, "node", "0::/\n", 380<<10, 0, 0, 0)
	b := newBench(t, h, nodeTarget())
	b.addTarget("a", MemoryConfig{Limit: 1 << 29})
	b.mustTick(0)
	for i := range 60 {
		h.process(10, "node", "0::/\n", (380+i/10)<<10, 0, 0, 0)
		h.process(11+i%2, "node", "0::/\n", 4, 0, 0, 0)
		b.mustTick(5 * time.Second)
		h.remove(11 + i%2)
	}
	b.mustTick(5 * time.Second)
	b.expect(metric.ProcessStarts, "60", "a")
	b.expect(metric.MemoryLevel, "1", "a")
	if _, _, ok := b.store.Value(metric.MemoryGrowth, "a"); !ok {
		t.Error("no growth before the reload")
	}

	after := newBench(t, h, nodeTarget())
	after.store, after.now = b.store, b.now
	after.addTarget("a", MemoryConfig{Limit: 1 << 29})
	after.mustTick(5 * time.Second)
	after.expect(metric.ProcessStarts, "60", "a")
	after.expect(metric.ProcessExits, "60", "a")
	after.expect(metric.MemoryLevel, "1", "a")
	trend := false
	after.batches[1].Each(func(d *series.Desc, _ float64, _ []string) { trend = trend || d == metric.MemoryGrowth })
	if !trend {
		t.Error("the trend is gone after the reload")
	}
}

func TestGroupsComeAndGo(t *testing.T) {
	h := newFakeHost(t)
	h.process(10, "big", "0::/\n", 6000<<10, 0, 0, 0)
	h.process(11, "mid", "0::/\n", 500<<10, 0, 0, 0)
	h.process(12, "small", "0::/\n", 1<<10, 0, 0, 0)
	b := newBench(t, h, proc.Options{Discover: &proc.Discover{By: proc.ByComm, Top: 2}})
	b.add(NewGroupsSource(GroupsOptions{Tracker: b.tracker, Store: b.store, Limits: b.limits, Thresholds: testThresholds}))
	for range 3 {
		b.mustTick(5 * time.Second)
	}
	b.text(`# HELP spillway_memory_level Memory pressure with hysteresis: 0 normal, 1 warning, 2 critical, 3 emergency.
# TYPE spillway_memory_level gauge
spillway_memory_level{target="big"} 1
spillway_memory_level{target="mid"} 0
# HELP spillway_memory_limit_info Source of the limit (config, cgroup_v1, cgroup_v1_hierarchical, cgroup_v2 for memory.max, cgroup_v2_high for memory.high, host) and what counts toward it (rss, cgroup, fullest_cgroup, largest_process, available).
# TYPE spillway_memory_limit_info gauge
spillway_memory_limit_info{basis="rss",source="host",target="big"} 1
spillway_memory_limit_info{basis="rss",source="host",target="mid"} 1
# HELP spillway_memory_resident_bytes Resident memory (RSS) of the target's processes.
# TYPE spillway_memory_resident_bytes gauge
spillway_memory_resident_bytes{target="_overflow"} 1.048576e+06
spillway_memory_resident_bytes{target="big"} 6.291456e+09
spillway_memory_resident_bytes{target="mid"} 5.24288e+08
# HELP spillway_processes Running processes of the target.
# TYPE spillway_processes gauge
spillway_processes{target="_overflow"} 1
spillway_processes{target="big"} 1
spillway_processes{target="mid"} 1
`)
	b.expect(metric.ThresholdRatio, "0.85", "mid", SignalMemory, "critical")
	b.expect(metric.ThresholdRatio, "", proc.Overflow, SignalMemory, "critical")
	h.remove(11)
	h.process(12, "small", "0::/\n", 100<<10, 0, 0, 0)
	for range 12 {
		b.mustTick(5 * time.Second)
	}
	b.expect(metric.Processes, "", "mid")
	b.expect(metric.MemoryResident, "1.048576e+08", "small")
	b.expect(metric.ThresholdRatio, "", "mid", SignalMemory, "critical")
	if groups := b.sources[1].(*groupsSource).groups; len(groups) != 3 {
		t.Errorf("%d groups in memory, want big, small and the rest", len(groups))
	}
	h.process(20, "big", "0::/\n", 1<<10, 0, 0, 0)
	for range 14 {
		b.mustTick(5 * time.Second) // it becomes a member that counts, which cuts big and not small
	}
	if big, small := sinceCut(b, "big"), sinceCut(b, "small"); big >= 10 || small <= 15 {
		t.Errorf("%d points of big and %d of small since the cut, want the cut in big alone", big, small)
	}
}

func sinceCut(b *bench, target string) int {
	return len(b.store.PointsSinceCut(nil, series.TierSample, metric.MemoryUsed, target))
}

func TestSourcesOnThisHost(t *testing.T) {
	tracker, err := proc.New(proc.Options{Targets: []proc.Target{{Name: "a", Config: proc.Config{
		Match: proc.Match{Exe: mustExecutable(t)},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, now: time.Now(), store: series.NewStore(series.Options{}), tracker: tracker, limits: NewLimits(LimitsOptions{})}
	b.add(NewDiscoverySource(tracker))
	b.addTarget("a", MemoryConfig{Basis: BasisRSS})
	b.add(NewHostSource(HostOptions{Store: b.store, Thresholds: testThresholds}))
	b.mustTick(0)
	for _, d := range []*series.Desc{metric.Processes, metric.MemoryResident, metric.MemoryAnon, metric.MemoryUsed, metric.MemoryLimit, metric.MemoryUsedRatio, metric.ProcessOldestStart} {
		if v, _, ok := b.store.Value(d, "a"); !ok || v <= 0 {
			t.Errorf("%s of this process = %v, %v", d.Name, v, ok)
		}
	}
	if v, _, ok := b.store.Value(metric.MemoryUsedRatio, HostTarget); !ok || v <= 0 || v >= 1 {
		t.Errorf("used ratio of the host = %v, %v", v, ok)
	}
	if err := b.sources[0].(*discoverySource).Close(); err != nil {
		t.Error(err)
	}
}

func mustExecutable(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// BenchmarkTargetSource is what a sample of one target costs in addition to reading its processes.
func BenchmarkTargetSource(b *testing.B) {
	h := newFakeHost(b)
	h.process(10, "node", "0::/\n", 400<<10, 0, 0, 0)
	w := newBench(b, h, nodeTarget())
	w.addTarget("a", MemoryConfig{Limit: 1 << 30})
	for range 100 {
		w.mustTick(5 * time.Second)
	}
	var batch series.Batch
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset(w.now)
		if err := w.sources[1].Sample(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
	}
}

// TestNotRequired: a target that need not run is not down before it has had a process, and is after it,
// over a reload too.
func TestNotRequired(t *testing.T) {
	h := newFakeHost(t)
	o := nodeTarget()
	o.Targets[0].Config.Required = new(bool)
	b := newBench(t, h, o)
	b.addTarget("a", MemoryConfig{Limit: 1 << 30})
	b.tick(time.Minute)
	b.expect(metric.Processes, "", "a")
	h.process(10, "node", "0::/\n", 400<<10, 96<<10, 4<<10, 8)
	b.mustTick(time.Minute)
	b.expect(metric.Processes, "1", "a")
	h.remove(10)
	b.tick(time.Minute)
	b.expect(metric.Processes, "0", "a")
	source := newTargetSource(TargetOptions{Target: "a", Store: b.store})
	if !source.expected(&proc.Usage{}) {
		t.Error("a target that was down before a reload is not any more")
	}
}
