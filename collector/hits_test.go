package collector

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// TestInferredHits samples a cache, also in a sub-folder that is made later, and compares what is
// published with what was done.
func TestInferredHits(t *testing.T) {
	b := newDirBench(t)
	b.file("a.json", 10, time.Hour)
	pool := hitrate.NewPool(time.Now, nil)
	t.Cleanup(func() { pool.Close() })
	p := policy.Cache{Common: b.common(), MaxEntries: 100, HitRate: policy.HitRateInferred, MinHitRate: new(units.Ratio(.5))}
	names, err := p.Compile()
	if err != nil {
		t.Fatal(err)
	}
	h, err := pool.Get(hitrate.Cache{Name: "media", Dir: b.dir}, names.Select)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	src, err := newCache("svc", p, h, 3)
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string, times int) {
		t.Helper()
		for range times {
			if _, err := os.ReadFile(filepath.Join(b.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	sample := func(want string) {
		t.Helper()
		h.Pause()() // takes what the kernel has gathered
		b.now = b.now.Add(30 * time.Second)
		if err := b.sample(t.Context(), src); err != nil {
			t.Fatal(err)
		}
		families := []string{"spillway_cache_hits_total", "spillway_cache_misses_total", "spillway_cache_hit_ratio", "spillway_cache_min_hit_ratio"}
		if err := testutil.CollectAndCompare(NewExporter(b.store), strings.NewReader(want), families...); err != nil {
			t.Error(err)
		}
	}
	const head = `# HELP spillway_cache_hits_total Requests answered from the cache.
# TYPE spillway_cache_hits_total counter
spillway_cache_hits_total{cache="media",source="inferred",target="svc"} HITS
# HELP spillway_cache_min_hit_ratio Configured minimum hit ratio.
# TYPE spillway_cache_min_hit_ratio gauge
spillway_cache_min_hit_ratio{cache="media",target="svc"} 0.5
# HELP spillway_cache_misses_total Requests not answered from the cache; for source="inferred", entries that were written.
# TYPE spillway_cache_misses_total counter
spillway_cache_misses_total{cache="media",source="inferred",target="svc"} MISSES
`
	const ratio = `# HELP spillway_cache_hit_ratio Share of requests that were hits over the sampling window; absent when there were no requests.
# TYPE spillway_cache_hit_ratio gauge
spillway_cache_hit_ratio{cache="media",source="inferred",target="svc"} RATIO
`
	want := func(hits, misses, r string) string {
		text := head
		if r != "" {
			text += strings.ReplaceAll(ratio, "RATIO", r)
		}
		return strings.NewReplacer("HITS", hits, "MISSES", misses).Replace(text)
	}
	sample(want("0", "0", ""))
	read("a.json", 3)
	b.file("b.json", 10, time.Minute)
	sample(want("3", "1", "0.75"))
	b.file("sub/c.json", 10, time.Minute) // its folder is followed from this scan on
	sample(want("3", "1", "0.75"))
	read("sub/c.json", 2)
	sample(want("5", "1", "1")) // the window has left the first samples
	sample(want("5", "1", "1"))
	sample(want("5", "1", ""))
}

func TestHitWindow(t *testing.T) {
	w := newHitWindow(100)
	f := func(hits, misses, want float64, wantOK bool) {
		t.Helper()
		if got, ok := w.add(hits, misses); ok != wantOK || got != want {
			t.Errorf("add(%v, %v) = %v, %v, want %v, %v", hits, misses, got, ok, want, wantOK)
		}
	}
	f(100, 100, 0, false)
	f(103, 101, .75, true)
	f(1, 1, .5, true) // the application was started anew
	f(1, 1, .5, true)
	w.clear()
	f(7, 7, 0, false)
}
