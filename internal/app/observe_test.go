package app

import (
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/ledger"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func TestTempReadingLeavesOutWhatIsHeld(t *testing.T) {
	p := func(v float64) *float64 { return &v }
	f := func(name string, d health.Temp, want series.Level) {
		t.Helper()
		if r := tempReading(&d, 2); r.Level != want || !r.Known {
			t.Errorf("%s: level %v, known %v, want %v", name, r.Level, r.Known, want)
		}
	}
	f("only what was left is due", health.Temp{Files: p(39), Expired: p(2), MaxFiles: p(100)}, series.LevelNormal)
	f("one more is due", health.Temp{Files: p(39), Expired: p(3), MaxFiles: p(100)}, series.LevelWarning)
	f("too many files", health.Temp{Files: p(101), Expired: p(0), MaxFiles: p(100)}, series.LevelWarning)
	if r := tempReading(&health.Temp{}, 0); r.Known {
		t.Error("a folder that could not be read gives a reading")
	}
}

func TestCacheReading(t *testing.T) {
	p := func(v float64) *float64 { return &v }
	if r := cacheReading(&health.Cache{Entries: p(5), SizeBytes: p(1), UsedRatio: p(1)}); r.Level != series.LevelNormal || !r.Known {
		t.Errorf("at its limit: %+v, want normal", r)
	}
	if r := cacheReading(&health.Cache{Entries: p(5), SizeBytes: p(1), UsedRatio: p(1.01)}); r.Level != series.LevelWarning {
		t.Errorf("over its limit: %+v, want warning", r)
	}
	if r := worse(cacheReading(&health.Cache{}), cacheReading(&health.Cache{Entries: p(5), SizeBytes: p(1), UsedRatio: p(.1)})); !r.Known {
		t.Error("a cache that cannot be read hides one that can")
	}
}

func TestMemoryReadingRises(t *testing.T) {
	a := &App{}
	a.parts.store = series.NewStore(series.Options{})
	a.graph.Store(&graph{cfg: config.Default()})
	f := func(name string, used float64, growth *float64, want bool) {
		t.Helper()
		var b series.Batch
		b.Reset(time.Now())
		b.Set(metric.MemoryUsed, used, "app")
		b.Set(metric.MemoryLimit, 1000, "app")
		b.Set(metric.MemoryUsedRatio, used/1000, "app")
		if growth != nil {
			b.Set(metric.MemoryFastGrowth, *growth, "app")
		}
		a.parts.store.Commit(&b)
		r := (observer{a}).memory("app")
		if !r.Known || r.Rising != want {
			t.Errorf("%s: %+v, want rising %v", name, r, want)
		}
		if ratio, ok := ledger.MemoryRatio(r.Text); !ok || ratio != .72 {
			t.Errorf("the ledger reads %v, %v from %q", ratio, ok, r.Text)
		}
		a.parts.store.Forget(&b)
	}
	p := func(v float64) *float64 { return &v }
	f("fast", 720, p(10), true)
	f("slowly", 720, p(4), false)
	f("falls", 720, p(-10), false)
	f("does not change", 720, p(0), false)
	f("growth unknown", 720, nil, false)
}

// TestPeakIsOfTheLastSweeps: a spike between two sweeps, and a peak that is long past, are nothing
// that a value has been falling from.
func TestPeakIsOfTheLastSweeps(t *testing.T) {
	a := &App{parts: parts{store: series.NewStore(series.Options{Window: 10})}}
	one := units.Ratio(1)
	levels := config.Levels{Warning: &one, Critical: &one, Emergency: &one}
	a.graph.Store(&graph{cfg: &config.Config{Window: 10, Thresholds: config.Thresholds{Memory: &levels, Heap: &levels}}})
	var sweep, spike series.Batch
	at := time.UnixMilli(1_700_000_000_000)
	for _, ratio := range []float64{.5, .9, .6, .7, .8} {
		at = at.Add(5 * time.Second)
		sweep.Reset(at)
		sweep.Set(metric.MemoryUsedRatio, ratio, "a")
		sweep.Set(metric.HeapUsedRatio, ratio, "a", "node")
		a.parts.store.Commit(&sweep)
		spike.Reset(at.Add(time.Second))
		spike.Set(metric.MemoryUsedRatio, .99, "a")
		a.parts.store.Refine(&sweep, &spike)
	}
	spike.Reset(at.Add(2 * time.Second))
	spike.Set(metric.MemoryUsedRatio, .75, "a")
	a.parts.store.Refine(&sweep, &spike)
	for _, s := range []dispatch.Subject{subject.Memory, subject.Heap} {
		f := observer{a}.memory
		if s == subject.Heap {
			f = observer{a}.heap
		}
		if r := f("a"); r.Peak != .8 {
			t.Errorf("%s: peak %v, want that of the last two sweeps, .8", s, r.Peak)
		}
	}
	if r := (observer{a}).memory("a"); r.Ratio != .75 {
		t.Errorf("ratio %v, want the newest, .75", r.Ratio)
	}
}
