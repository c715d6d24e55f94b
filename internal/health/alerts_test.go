package health

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// TestWarn: what fires is said, the most urgent first, and nothing is normal meanwhile.
func TestWarn(t *testing.T) {
	f := func(name string, more []series.Sample, alerts []Alert, want ...Recommendation) {
		t.Helper()
		target := Targets(append(user("a"), more...))[0]
		target.Warn(alerts)
		if diff := cmp.Diff(want, target.Recommendations); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	critical := Alert{"SpillwayJournalUnwritable", "critical", "The journal of h:1 cannot be written"}
	warning := Alert{"SpillwaySlowResponse", "warning", ""}
	f("none", nil, nil, Recommendation{low, "System operating normally"})
	f("one", nil, []Alert{warning}, Recommendation{medium, "SpillwaySlowResponse fires: see the alerts on the status page"})
	f("its own severity", nil, []Alert{{"Mine", "page", "Look"}}, Recommendation{low, "Mine fires: Look"})
	f("in order", []series.Sample{sample(metric.CacheExpired, 3, "a", "media")}, []Alert{warning, critical},
		Recommendation{high, "SpillwayJournalUnwritable fires: The journal of h:1 cannot be written"},
		Recommendation{medium, "SpillwaySlowResponse fires: see the alerts on the status page"},
		Recommendation{low, "Evict 3 entries of media that have expired: frees 3 inodes and their space"})
}

// TestAdvise: what the past advises stands last, and what stands for nothing goes.
func TestAdvise(t *testing.T) {
	target := Targets(user("a"))[0]
	target.Advise(nil)
	if diff := cmp.Diff([]Recommendation{{low, "System operating normally"}}, target.Recommendations); diff != "" {
		t.Errorf("without advice (-want +got):\n%s", diff)
	}
	target.Warn([]Alert{{"SpillwaySlowResponse", "warning", ""}})
	target.Advise([]string{"evict_cache relieved 0 of 14 runs"})
	want := []Recommendation{{medium, "SpillwaySlowResponse fires: see the alerts on the status page"}, {low, "evict_cache relieved 0 of 14 runs"}}
	if diff := cmp.Diff(want, target.Recommendations); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFailedSources: what cannot be read is not normal, and it is said what.
func TestFailedSources(t *testing.T) {
	failed := func(source, name string) series.Sample { return sample(metric.SourceSuccess, 0, source, "a", name) }
	targets := Targets(append(user("a"), failed("temp", "tts"), failed("cache", "media"), failed("heap", ""),
		sample(metric.SourceSuccess, 1, "probe", "a", ""), sample(metric.SourceSuccess, 0, "discovery", "", ""), sample(metric.SourceSuccess, 0, "log", "b", "l")))
	want := []Recommendation{
		{medium, "The folder of cache media cannot be read or does not exist: create it, or correct its dir; the status page says why"},
		{medium, "The source heap cannot be read: the status page says why"},
		{medium, "The folder of temp tts cannot be read or does not exist: create it, or correct its dir; the status page says why"},
	}
	if len(targets) != 2 || targets[1].Name != "b" || !targets[1].Newest.IsZero() {
		t.Fatalf("%+v", targets)
	}
	if diff := cmp.Diff(want, targets[0].Recommendations); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAppAndFolderAreNotAdded: a cache of which the service counts the entries too, under a name of its
// own, is one cache.
func TestAppAndFolderAreNotAdded(t *testing.T) {
	folder := []series.Sample{
		sample(metric.CacheEntries, 234, "a", "media"), sample(metric.CacheSize, 456<<20, "a", "media"), sample(metric.CacheDisk, 460<<20, "a", "media"),
		sample(metric.CacheMaxEntries, 1000, "a", "media"), sample(metric.CacheHitRatio, .5, "a", "media", "inferred"),
	}
	app := []series.Sample{
		sample(metric.CacheEntries, 230, "a", "app"), sample(metric.CacheSize, 450<<20, "a", "app"), sample(metric.CacheHitRatio, .87, "a", "app", "app"),
	}
	f := func(name string, samples []series.Sample, entries int64, size, hits string) {
		t.Helper()
		c := Targets(samples)[0].Report().Cache
		if c.Size != size || c.HitRate != hits || (c.Entries == nil) != (entries < 0) || c.Entries != nil && *c.Entries != entries {
			t.Errorf("%s: %+v", name, c)
		}
	}
	f("both", append(folder, app...), 234, "456MB", "87%")
	f("the folder", folder, 234, "456MB", "50%")
	f("the service", app, 230, "450MB", "87%")
	f("a folder that cannot be read", append([]series.Sample{sample(metric.CacheMaxEntries, 1000, "a", "media")}, app...), -1, "", "87%")
}

// TestNearlyAll: what is nearly all is not all.
func TestNearlyAll(t *testing.T) {
	r := Targets([]series.Sample{
		sample(metric.MemoryUsedRatio, .9999, "a"), sample(metric.CacheEntries, 1, "a", "c"), sample(metric.CacheHitRatio, .999, "a", "c", "app"),
	})[0].Report()
	if r.Memory.Percentage != "99.9%" || r.Cache.HitRate != "99%" {
		t.Errorf("%s, %s", r.Memory.Percentage, r.Cache.HitRate)
	}
	if got := Percent(1); got != "100.0%" {
		t.Errorf("all of it: %s", got)
	}
}

// TestHeapOfOneOfTwo: a heap that is not that of all processes says so.
func TestHeapOfOneOfTwo(t *testing.T) {
	f := func(read, processes float64, want string) {
		t.Helper()
		r := Targets(append(user("a"), sample(metric.HeapRead, read, "a", "node"), sample(metric.HeapProcesses, processes, "a", "node")))[0].Recommendations
		if len(r) != 1 || r[0] != (Recommendation{low, want}) {
			t.Errorf("%v of %v: %v, want %q", read, processes, r, want)
		}
	}
	f(1, 2, "The node heap is that of 1 of 2 processes: provider: node_agent reads all of them")
	f(1, 1, normal)
}
