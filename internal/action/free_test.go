package action

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// TestEvictForFreeSpace: entries are evicted when the disk is fuller than allowed, whatever its own
// limits are, oldest first, also in a dry run; and stays when there is room.
func TestEvictForFreeSpace(t *testing.T) {
	const files, size = 20, 4096
	for _, tt := range []struct {
		name   string
		change func(*policy.Cache)
		free   policy.Free // before the run
		left   int
	}{
		{"room enough", func(p *policy.Cache) { p.MinFreeBytes = 10 * size }, policy.Free{Bytes: 10 * size, Inodes: 5}, files},
		{"four files too little", func(p *policy.Cache) { p.MinFreeBytes = 10 * size }, policy.Free{Bytes: 6 * size, Inodes: 5}, 16},
		{"and further down", func(p *policy.Cache) { p.MinFreeBytes = 10 * size; p.EvictTo = new(units.Ratio(.5)) }, policy.Free{Bytes: 6 * size}, 8},
		{"six inodes too little", func(p *policy.Cache) { p.MinFreeInodes = 10 }, policy.Free{Bytes: size, Inodes: 4}, 14},
		{"next to a limit of its own", func(p *policy.Cache) { p.MinFreeInodes = 10; p.MaxEntries = 11 }, policy.Free{Inodes: 100}, 11},
		{"there never was so much", func(p *policy.Cache) { p.MinFreeBytes = 1000 * size }, policy.Free{Bytes: 6 * size}, 0},
		{"some are expired", func(p *policy.Cache) {
			p.MinFreeBytes = 10 * size
			p.MaxAge = units.Duration(14*time.Hour + time.Minute)
		}, policy.Free{Bytes: 2 * size}, 12},
	} {
		for _, dry := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", tt.name, dry), func(t *testing.T) {
				dir := realDir(t)
				for i := range files {
					put(t, filepath.Join(dir, fmt.Sprintf("%02d.bin", i)), size, time.Duration(i+1)*time.Hour)
				}
				p := policy.Cache{Common: common(dir), EvictTo: new(units.Ratio(1))}
				p.AgeBy = policy.AgeMtime
				tt.change(&p)
				o := dirOptions()
				o.Free = func(string) (policy.Free, error) {
					gone := int64(files - len(left(t, dir)))
					return policy.Free{Bytes: tt.free.Bytes + gone*size, Inodes: tt.free.Inodes + gone}, nil
				}
				res, err := newEvictCache(o, []policy.Cache{p}).Run(t.Context(), Request{DryRun: dry})
				if err != nil {
					t.Fatal(err)
				}
				if res.Files != int64(files-tt.left) {
					t.Errorf("%d files, want %d: %+v", res.Files, files-tt.left, res)
				}
				names := left(t, dir)
				if want := tt.left; !dry && (len(names) != want || want > 0 && names[want-1] != fmt.Sprintf("%02d.bin", want-1)) {
					t.Errorf("left %v, want the %d youngest", names, want)
				}
			})
		}
	}
	p := policy.Cache{Common: common(realDir(t)), MinFreeBytes: 1}
	o := dirOptions()
	o.Free = func(string) (policy.Free, error) { return policy.Free{}, errors.New("stale handle") }
	if res, err := newEvictCache(o, []policy.Cache{p}).Run(t.Context(), Request{}); err != nil || res.Outcome != Failed || res.Files != 0 {
		t.Errorf("free space that cannot be read: %+v, %v", res, err)
	}
}
