package action

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// holding opens files until the test ends.
func holding(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
	}
}

// TestExpiredInUsePushesNothingOut: a file that is due for itself and in use goes as soon as it is closed, so
// that it takes no good one with it.
func TestExpiredInUsePushesNothingOut(t *testing.T) {
	const good, held = 8, 4
	for kind, make := range map[string]func(dir string, o DirOptions) Action{
		"cache entries": func(dir string, o DirOptions) Action {
			return newEvictCache(o, []policy.Cache{{Common: common(dir), MaxEntries: 10, MaxAge: units.Duration(24 * time.Hour)}})
		},
		"cache bytes": func(dir string, o DirOptions) Action {
			p := policy.Cache{Common: common(dir), MaxBytes: 1000, MaxAge: units.Duration(24 * time.Hour)}
			p.SizeBy = policy.SizeApparent
			return newEvictCache(o, []policy.Cache{p})
		},
		"temp": func(dir string, o DirOptions) Action {
			return newCleanTemp(o, []policy.Temp{{Common: common(dir), MaxFiles: 10, MaxAge: units.Duration(24 * time.Hour)}})
		},
		"uploads": func(dir string, o DirOptions) Action {
			p := policy.Upload{Common: common(dir), MaxBytes: 1000, MaxAge: units.Duration(24 * time.Hour)}
			p.SizeBy = policy.SizeApparent
			return newEnforceUploads(o, []policy.Upload{p})
		},
	} {
		t.Run(kind, func(t *testing.T) {
			dir := realDir(t)
			for i := range good {
				put(t, fmt.Sprintf("%s/good%d", dir, i), 100, time.Hour)
			}
			for i := range held {
				put(t, fmt.Sprintf("%s/old%d", dir, i), 100, 48*time.Hour)
				holding(t, fmt.Sprintf("%s/old%d", dir, i))
			}
			for _, dry := range []bool{true, false} {
				got, res := named(t, dry, Request{}, func(o DirOptions) Action { return make(dir, o) })
				if len(got) != 0 || res.Skipped["in_use"] != held || !res.InUse {
					t.Errorf("dry run %v: %v go, skipped %v, in use %v; want none, and four in use", dry, got, res.Skipped, res.InUse)
				}
			}
		})
	}
}

// TestCacheYoungExpiredPushesNothingOut: an entry over max_age that min_age still protects goes by itself.
func TestCacheYoungExpiredPushesNothingOut(t *testing.T) {
	dir := realDir(t)
	for i := range 10 {
		put(t, fmt.Sprintf("%s/good%d", dir, i), 100, 5*time.Second)
		put(t, fmt.Sprintf("%s/old%d", dir, i), 100, 30*time.Second)
	}
	p := policy.Cache{Common: common(dir), MaxEntries: 10, MaxAge: units.Duration(20 * time.Second)}
	p.MinAge = new(units.Duration(time.Minute))
	low := units.Ratio(1)
	p.EvictTo = &low
	run := func(o DirOptions) Result {
		res, err := newEvictCache(o, []policy.Cache{p}).Run(t.Context(), Request{})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if res := run(dirOptions()); res.Files != 0 || res.Skipped["too_young"] != 10 || res.DueAt.IsZero() {
		t.Errorf("%+v, want ten that are too young and due later", res)
	}
	if res := run(later(35 * time.Second)); res.Files != 10 || countPrefix(left(t, dir), "good") != 10 {
		t.Errorf("later %d go, left %v; want the ten old ones gone", res.Files, left(t, dir))
	}
}

// TestShortOfInodesYoungEmptyOnesFirst: where inodes are short, and enough files without content are merely
// too young, no good one goes.
func TestShortOfInodesYoungEmptyOnesFirst(t *testing.T) {
	dir := firstUser(t, 60, 592, time.Hour, 30*time.Second)
	all := units.Ratio(1)
	cache := policy.Cache{Common: common(dir), MinFreeInodes: 1000, EvictTo: &all}
	temp := policy.Temp{Common: common(dir), MinFreeInodes: 1000}
	cache.MinAge, temp.MinAge = new(units.Duration(time.Minute)), new(units.Duration(time.Minute))
	for name, make := range map[string]func(o DirOptions) Action{
		"cache": func(o DirOptions) Action { return newEvictCache(o, []policy.Cache{cache}) },
		"temp":  func(o DirOptions) Action { return newCleanTemp(o, []policy.Temp{temp}) },
	} {
		got, res := named(t, false, Request{}, func(o DirOptions) Action {
			o.Free = func(string) (policy.Free, error) { return policy.Free{Bytes: 1 << 40, Inodes: 900}, nil }
			return make(o)
		})
		if len(got) != 0 || res.DueAt.IsZero() || res.Policies[0].MissingEntries != 100 || res.Outcome != Partial {
			t.Errorf("%s: %d go, %+v; want none, and 100 missing until they are old enough", name, len(got), res.Policies[0])
		}
	}
}

// TestTempLimits: every limit of a folder of temporary files, and how far a clean-up goes.
func TestTempLimits(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*policy.Temp)
		req  Request
		gone int
	}{
		{"the number", func(p *policy.Temp) { p.MaxFiles = 90 }, Request{}, 10},
		{"the number, to 80%", func(p *policy.Temp) { p.MaxFiles, p.CleanTo = 90, new(units.Ratio(.8)) }, Request{}, 28},
		{"the size", func(p *policy.Temp) { p.MaxBytes = 9000 }, Request{}, 10},
		{"the size, to 80%", func(p *policy.Temp) { p.MaxBytes, p.CleanTo = 9000, new(units.Ratio(.8)) }, Request{}, 28},
		{"within the limits", func(p *policy.Temp) { p.MaxBytes, p.CleanTo = 10_000, new(units.Ratio(.8)) }, Request{}, 0},
		{"within the limits, under pressure", func(p *policy.Temp) { p.MaxBytes, p.CleanTo = 10_000, new(units.Ratio(.8)) }, Request{Relief: true}, 0},
		{"free space", func(p *policy.Temp) { p.MinFreeBytes = 2500 }, Request{}, 15},
		{"free space, to 80%", func(p *policy.Temp) { p.MinFreeBytes, p.CleanTo = 2500, new(units.Ratio(.8)) }, Request{}, 32},
		{"enough free space", func(p *policy.Temp) { p.MinFreeBytes = 1000 }, Request{}, 0},
		{"free inodes", func(p *policy.Temp) { p.MinFreeInodes = 60 }, Request{}, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := realDir(t)
			for i := range 100 {
				put(t, fmt.Sprintf("%s/f%02d", dir, i), 100, time.Duration(200-i)*time.Hour)
			}
			p := policy.Temp{Common: common(dir)}
			p.SizeBy = policy.SizeApparent
			tt.set(&p)
			for _, dry := range []bool{true, false} {
				got, res := named(t, dry, tt.req, func(o DirOptions) Action {
					o.Free = func(string) (policy.Free, error) { return policy.Free{Bytes: 1000, Inodes: 50}, nil }
					return newCleanTemp(o, []policy.Temp{p})
				})
				if len(got) != tt.gone || tt.gone > 0 && (got[0] != "over_limit f00" || got[tt.gone-1] != fmt.Sprintf("over_limit f%02d", tt.gone-1)) {
					t.Errorf("dry run %v: %d go, want the oldest %d", dry, len(got), tt.gone)
				}
				if res.Policies[0].MissingBytes != 0 || res.Policies[0].MissingEntries != 0 || res.Over {
					t.Errorf("dry run %v: %+v, nothing is missing", dry, res.Policies[0])
				}
			}
		})
	}
}

// TestHonestEnds: a run that leaves a folder over its limit is partial and says what is missing; one that
// does not get down to its mark, but below the limit, says so and is done.
func TestHonestEnds(t *testing.T) {
	kinds := map[string]func(dir string, o DirOptions) Action{
		"cache": func(dir string, o DirOptions) Action {
			low := units.Ratio(.5)
			p := policy.Cache{Common: common(dir), MaxBytes: 1000, MaxEntries: 10, EvictTo: &low}
			p.SizeBy = policy.SizeApparent
			return newEvictCache(o, []policy.Cache{p})
		},
		"temp": func(dir string, o DirOptions) Action {
			p := policy.Temp{Common: common(dir), MaxBytes: 1000, MaxFiles: 10, CleanTo: new(units.Ratio(.5))}
			p.SizeBy = policy.SizeApparent
			return newCleanTemp(o, []policy.Temp{p})
		},
		"uploads": func(dir string, o DirOptions) Action {
			p := policy.Upload{Common: common(dir), MaxBytes: 1000}
			p.SizeBy = policy.SizeApparent
			return newEnforceUploads(o, []policy.Upload{p})
		},
	}
	for kind, make := range kinds {
		bytes, entries := int64(1500), int64(15)
		if kind == "uploads" {
			bytes, entries = 1000, 0
		}
		t.Run(kind+" all in use", func(t *testing.T) {
			dir := realDir(t)
			for i := range 20 {
				put(t, fmt.Sprintf("%s/f%02d", dir, i), 100, time.Hour)
				holding(t, fmt.Sprintf("%s/f%02d", dir, i))
			}
			for _, dry := range []bool{true, false} {
				res, err := make(dir, dirOptions()).Run(t.Context(), Request{DryRun: dry})
				p := &res.Policies[0]
				if err != nil || p.MissingBytes != bytes || p.MissingEntries != entries || !res.Over || !res.InUse || res.Files != 0 {
					t.Errorf("dry run %v: %+v, %v; want %d bytes and %d entries missing, in use", dry, p, err, bytes, entries)
				}
				if dry && p.Outcome != DryRun || !dry && (p.Outcome != Partial || res.Outcome != Partial ||
					!strings.Contains(p.Error, "1000B") || !strings.Contains(res.Detail, "over the limit could not be removed (in_use=20)")) {
					t.Errorf("dry run %v: %s, %q, detail %q; want it partial", dry, p.Outcome, p.Error, res.Detail)
				}
			}
		})
		t.Run(kind+" all too young", func(t *testing.T) {
			dir := realDir(t)
			for i := range 20 {
				put(t, fmt.Sprintf("%s/f%02d", dir, i), 100, 0)
			}
			res, err := make(dir, dirOptions()).Run(t.Context(), Request{})
			if p := &res.Policies[0]; err != nil || p.Outcome != Partial || p.MissingBytes != bytes || p.DueAt.IsZero() {
				t.Errorf("%+v, %v; want it partial and due later", p, err)
			}
		})
		t.Run(kind+" down to the limit", func(t *testing.T) {
			dir := realDir(t)
			for i := range 20 {
				put(t, fmt.Sprintf("%s/f%02d", dir, i), 100, time.Hour)
				if i < 10 {
					holding(t, fmt.Sprintf("%s/f%02d", dir, i))
				}
			}
			res, err := make(dir, dirOptions()).Run(t.Context(), Request{})
			p := &res.Policies[0]
			if err != nil || p.Outcome != Done || p.Files != 10 || res.Over || p.MissingBytes != max(bytes-1000, 0) {
				t.Errorf("%+v, %v; want it done, with what is missing to the mark", p, err)
			}
		})
		t.Run(kind+" expired and held", func(t *testing.T) {
			dir := realDir(t)
			for i := range 20 {
				put(t, fmt.Sprintf("%s/f%02d", dir, i), 100, time.Hour)
			}
			res, err := make(dir, dirOptions()).Run(t.Context(), Request{})
			if p := &res.Policies[0]; err != nil || p.Outcome != Done || p.MissingBytes+p.MissingEntries != 0 || p.Error != "" {
				t.Errorf("%+v, %v; want it done", p, err)
			}
		})
	}
}

// TestHeldExpiredIsMissing: a cache that is over its size by what is due and in use alone is over it.
func TestHeldExpiredIsMissing(t *testing.T) {
	dir := realDir(t)
	put(t, dir+"/old", 2000, 48*time.Hour)
	put(t, dir+"/good", 500, time.Hour)
	holding(t, dir+"/old")
	p := policy.Cache{Common: common(dir), MaxBytes: 1000, MaxAge: units.Duration(24 * time.Hour)}
	p.SizeBy = policy.SizeApparent
	res, err := newEvictCache(dirOptions(), []policy.Cache{p}).Run(t.Context(), Request{})
	if r := &res.Policies[0]; err != nil || r.Outcome != Partial || r.MissingBytes != 1800 || !slices.Equal(left(t, dir), []string{"good", "old"}) {
		t.Errorf("%+v, %v, left %v; want it partial with 1800 bytes missing", r, err, left(t, dir))
	}
}

// TestEmptyLogsPushOutNoGoodOnes: rotated logs without content do not count among those that are kept.
func TestEmptyLogsPushOutNoGoodOnes(t *testing.T) {
	dir, p, o := logPolicy(t)
	p.KeepFiles = new(int64(5))
	now := time.Now().UTC()
	for i := range 10 {
		size := 0
		if i >= 5 {
			size = 100
		}
		put(t, dir+"/"+policy.RotatedName("app.log", now.Add(-time.Duration(i+1)*time.Hour), 1, false), size, time.Duration(i+1)*time.Hour)
	}
	got, _ := named(t, false, Request{}, func(DirOptions) Action { return newRotateLogs(o, []policy.Log{p}) })
	good := 0
	for _, name := range left(t, dir) {
		if info, err := os.Stat(dir + "/" + name); err == nil && info.Size() > 0 {
			good++
		}
	}
	if good != 5 || len(got) != 5 {
		t.Errorf("%v went, %d good ones are left; want the five empty ones gone", got, good)
	}
}
