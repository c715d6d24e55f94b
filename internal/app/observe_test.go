package app

import (
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

func TestTempReadingLeavesOutWhatIsHeld(t *testing.T) {
	p := func(v float64) *float64 { return &v }
	h := newHeldFiles()
	h.note([]action.PolicyResult{{Target: "a", Kind: policy.KindTemp, Policy: "tts", Skipped: map[string]int64{"in_use": 1, "hardlink": 1}}})
	f := func(name string, d health.Temp, want series.Level) {
		t.Helper()
		if r := tempReading(&d, h.of("a", policy.KindTemp, "tts")); r.Level != want || !r.Known {
			t.Errorf("%s: level %v, known %v, want %v", name, r.Level, r.Known, want)
		}
	}
	f("only what is held is due", health.Temp{Files: p(39), Expired: p(2), MaxFiles: p(100)}, series.LevelNormal)
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
