package action

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// shards makes so many empty folders, two levels deep.
func shards(t *testing.T, dir string, n int) {
	t.Helper()
	for i := range n {
		if err := os.MkdirAll(filepath.Join(dir, fmt.Sprintf("%02x", i/16), fmt.Sprintf("%02x", i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func folders(t *testing.T, dir string) (n int64) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != dir {
			n++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCleanTempRemovesEmptyFolders: those that are old enough go by default, and are counted; in a dry run
// they are counted alone.
func TestCleanTempRemovesEmptyFolders(t *testing.T) {
	no := false
	for name, c := range map[string]struct {
		change func(*policy.Temp, *DirOptions)
		dry    bool
		gone   int64
	}{
		"by default":    {gone: 34},
		"dry run":       {dry: true, gone: 34},
		"not wanted":    {change: func(p *policy.Temp, _ *DirOptions) { p.RemoveEmptyDirs = &no }},
		"not recursive": {change: func(p *policy.Temp, _ *DirOptions) { p.Recursive = &no }},
		"excluded":      {change: func(p *policy.Temp, _ *DirOptions) { p.Exclude = []string{"./00/"} }, gone: 17},
		"kept":          {change: func(p *policy.Temp, _ *DirOptions) { p.Keep = []string{"1?"} }, gone: 17},
		"named":         {change: func(p *policy.Temp, o *DirOptions) { o.Places = []string{p.Dir + "/01"} }, gone: 17},
		"of an entry":   {change: func(p *policy.Temp, _ *DirOptions) { p.Entry = policy.EntryDir }},
		"young":         {change: func(_ *policy.Temp, o *DirOptions) { o.Now = time.Now }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := realDir(t)
			shards(t, dir, 32)
			put(t, filepath.Join(dir, "full", "f.bin"), 1, time.Minute)
			p := policy.Temp{Common: common(dir), MaxAge: units.Duration(48 * time.Hour)}
			o := dirOptions()
			o.Now = func() time.Time { return time.Now().Add(time.Hour) }
			if c.change != nil {
				c.change(&p, &o)
			}
			res, err := NewDirs(o, policy.KindTemp, &policy.Folders{TempDirs: []policy.Temp{p}}).Run(t.Context(), Request{DryRun: c.dry})
			if err != nil {
				t.Fatal(err)
			}
			left := int64(35)
			if !c.dry {
				left -= c.gone
			}
			if got := res.Policies[0].Folders; got != c.gone || folders(t, dir) != left {
				t.Errorf("%d folders counted and %d left, want %d and %d", got, folders(t, dir), c.gone, left)
			}
		})
	}
}

// TestEvictCountsFoldersAsInodes: a sharded cache that is short of inodes loses its empty shards before it loses a
// file, and no file where they are enough.
func TestEvictCountsFoldersAsInodes(t *testing.T) {
	for _, dry := range []bool{true, false} {
		for free, files := range map[int64]int64{66: 0, 60: 6} { // of 100 that must be free; the shards are 34
			dir := realDir(t)
			shards(t, dir, 32)
			for i := range 20 {
				put(t, filepath.Join(dir, "full", fmt.Sprintf("%02d.bin", i)), 1, time.Duration(i+1)*time.Hour)
			}
			p := policy.Cache{Common: common(dir), MinFreeInodes: 100, EvictTo: new(units.Ratio(1))}
			o := dirOptions()
			o.Now = func() time.Time { return time.Now().Add(time.Hour) }
			all := folders(t, dir) + 20
			o.Free = func(string) (policy.Free, error) {
				return policy.Free{Bytes: 1 << 40, Inodes: free + all - folders(t, dir) - int64(len(left(t, filepath.Join(dir, "full"))))}, nil
			}
			res, err := newEvictCache(o, []policy.Cache{p}).Run(t.Context(), Request{DryRun: dry})
			if err != nil || res.Files != files || res.Policies[0].Folders != 34 {
				t.Errorf("dry run %v, %d free: %d files and %d folders, %v; want %d files and 34 folders", dry, free, res.Files, res.Policies[0].Folders, err, files)
			}
		}
	}
}
