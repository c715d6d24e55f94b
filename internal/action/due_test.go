package action

import (
	"os"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// What an action had to leave says when it may go: as soon as enough of it is old enough.
func TestDueAt(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	minute := units.Duration(time.Minute)
	base := func(dir string) policy.Common {
		return policy.Common{Name: "p", Dir: dir, Include: []string{"*"}, AgeBy: policy.AgeMtime, SizeBy: policy.SizeApparent, MinAge: &minute}
	}
	temp := func(p policy.Temp) func(dir string, o DirOptions) Action {
		return func(dir string, o DirOptions) Action {
			p.Common = base(dir)
			return newCleanTemp(o, []policy.Temp{p})
		}
	}
	cache := func(p policy.Cache) func(dir string, o DirOptions) Action {
		return func(dir string, o DirOptions) Action {
			p.Common, p.LRUBy = base(dir), policy.AgeMtime
			return newEvictCache(o, []policy.Cache{p})
		}
	}
	upload := func(p policy.Upload) func(dir string, o DirOptions) Action {
		return func(dir string, o DirOptions) Action {
			p.Common = base(dir)
			return newEnforceUploads(o, []policy.Upload{p})
		}
	}
	tests := []struct {
		name  string
		ages  []int // of files of 10 bytes, in seconds; one below zero is open
		due   int   // seconds from now; 0 = nothing becomes due
		inUse bool  // something may be free again at any time
		left  int   // after the run
		make  func(dir string, o DirOptions) Action
	}{
		{"within the limit", []int{10, 20, 30}, 0, false, 3, temp(policy.Temp{MaxFiles: 3})},
		{"over it, and all are young", []int{10, 20, 30, 40}, 30, false, 4, temp(policy.Temp{MaxFiles: 2})},
		{"what is old goes, the rest is due later", []int{10, 20, 70, 80}, 40, false, 2, temp(policy.Temp{MaxFiles: 1})},
		{"enough is old", []int{10, 20, 70, 80}, 0, false, 2, temp(policy.Temp{MaxFiles: 2})},
		{"expired and young", []int{10, 20}, 50, false, 2, temp(policy.Temp{MaxAge: units.Duration(5 * time.Second)})},
		{"expired and open", []int{-70, 80}, 0, true, 1, temp(policy.Temp{MaxAge: units.Duration(5 * time.Second)})},
		{"over the limit, and open", []int{-70, -80}, 0, true, 2, temp(policy.Temp{MaxFiles: 1})},
		{"another one goes in place of an open one", []int{-80, 70}, 0, false, 1, temp(policy.Temp{MaxFiles: 1})},
		{"what is young is enough without the open one", []int{-80, 20}, 40, false, 2, temp(policy.Temp{MaxFiles: 1})},
		{"what is young is not enough without the open one", []int{-80, 20}, 40, true, 2, cache(policy.Cache{MaxBytes: 5})},
		{"a cache at 260 %", []int{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, 55, false, 26, cache(policy.Cache{MaxBytes: 100})},
		{"a cache that lacks one", []int{5, 10, 15}, 45, false, 3, cache(policy.Cache{MaxBytes: 29})},
		{"an upload that is too large, and young", []int{25}, 35, false, 1, upload(policy.Upload{MaxFileBytes: 5})},
		{"uploads over the limit, and young", []int{25, 35}, 25, false, 2, upload(policy.Upload{MaxBytes: 15})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, dry := range []bool{true, false} {
				dir := realDir(t)
				for i, age := range tt.ages {
					path := dir + "/" + string(rune('a'+i))
					put(t, path, 10, 0)
					at := now.Add(-time.Duration(max(age, -age)) * time.Second)
					if err := os.Chtimes(path, at, at); err != nil {
						t.Fatal(err)
					}
					if age < 0 {
						f, err := os.Open(path)
						if err != nil {
							t.Fatal(err)
						}
						defer f.Close()
					}
				}
				o := dirOptions()
				o.Now = func() time.Time { return now }
				res, err := tt.make(dir, o).Run(t.Context(), Request{DryRun: dry})
				if err != nil {
					t.Fatal(err)
				}
				if due := res.DueAt.Sub(now); tt.due == 0 != res.DueAt.IsZero() ||
					tt.due > 0 && (due < time.Duration(tt.due)*time.Second || due > time.Duration(tt.due)*time.Second+100*time.Millisecond) {
					t.Errorf("dry run %v: due at %s, want %d s from now", dry, res.DueAt.Sub(now), tt.due)
				}
				if res.InUse != tt.inUse {
					t.Errorf("dry run %v: in use %v, want %v (%v)", dry, res.InUse, tt.inUse, res.Skipped)
				}
				if n := len(left(t, dir)); !dry && n != tt.left {
					t.Errorf("%d files are left, want %d", n, tt.left)
				}
			}
		})
	}
}
