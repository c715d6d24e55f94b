package action

import (
	"path/filepath"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// opens is what a watch remembers.
type opens struct {
	last            map[string]time.Time
	paused, resumed int
}

func (o *opens) LastUseNs(path []byte) int64 {
	if at, ok := o.last[string(path)]; ok {
		return at.UnixNano()
	}
	return 0
}

func (o *opens) CatchUp() {}

func (o *opens) Pause() func() {
	o.paused++
	return func() { o.resumed++ }
}

// TestEvictionByObservedOpens: a file that was read in the last hour survives although its times
// on disk are the oldest, as on a noatime mount; with lru_by: mtime they alone decide.
func TestEvictionByObservedOpens(t *testing.T) {
	for _, tt := range []struct {
		name, lru string
		want      []string
	}{
		{"atime", "", []string{"b.bin", "sub/a.bin"}},
		{"mtime", policy.AgeMtime, []string{"b.bin", "c.bin"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := realDir(t)
			put(t, filepath.Join(dir, "sub/a.bin"), 1, 72*time.Hour)
			put(t, filepath.Join(dir, "b.bin"), 1, 24*time.Hour)
			put(t, filepath.Join(dir, "c.bin"), 1, 48*time.Hour)
			put(t, filepath.Join(dir, "d.bin"), 1, 60*time.Hour)
			seen := &opens{last: map[string]time.Time{"sub/a.bin": time.Now().Add(-time.Hour), "a.bin": time.Now()}}
			o := dirOptions()
			o.Opens = map[string]Opens{"test": seen}
			p := policy.Cache{Common: common(dir), MaxEntries: 3, LRUBy: tt.lru, EvictTo: new(units.Ratio(2. / 3))}
			p.Name, p.AgeBy = "test", policy.AgeMtime
			if _, err := newEvictCache(o, []policy.Cache{p}).Run(t.Context(), Request{}); err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tt.want, left(t, dir)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if seen.paused != 1 || seen.resumed != 1 {
				t.Errorf("the watch was paused %d and resumed %d times, want once", seen.paused, seen.resumed)
			}
		})
	}
}
