package action

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// named runs an action made by make and returns the files that it names, sorted, with the result.
func named(t testing.TB, dry bool, req Request, make func(DirOptions) Action) ([]string, Result) {
	t.Helper()
	var names []string
	req.DryRun, req.OnFile = dry, naming(func(path, why string) { names = append(names, why+" "+path) })
	res, err := make(dirOptions()).Run(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(names)) != res.Files {
		t.Errorf("%d files were named, %d counted", len(names), res.Files)
	}
	slices.Sort(names)
	return names, res
}

// TestEvictPassesOverWhatStays: files that may not go are passed over and the next oldest go
// instead, however many there are, and the dry run names the same files and counts the same skips.
func TestEvictPassesOverWhatStays(t *testing.T) {
	const n, held, linked, young = 300, 60, 20, 20
	dir, away := realDir(t), realDir(t)
	var want []string
	for i := range n {
		path := fmt.Sprintf("%s/%d/f%03d", dir, i%3, i)
		put(t, path, 1, time.Duration(n-i)*time.Hour)
		switch {
		case i < held:
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
		case i < held+linked:
			if err := os.Link(path, fmt.Sprintf("%s/%d", away, i)); err != nil {
				t.Fatal(err)
			}
		case i < held+linked+100:
			want = append(want, fmt.Sprintf("over_limit %d/f%03d", i%3, i))
		}
	}
	for i := range young {
		put(t, fmt.Sprintf("%s/young%d", dir, i), 1, 0)
	}
	slices.Sort(want)
	p := policy.Cache{Common: common(dir), MaxEntries: n + young - 100}
	all := units.Ratio(1)
	p.EvictTo = &all
	floor := units.Duration(time.Minute)
	p.MinAge = &floor
	action := func(o DirOptions) Action { return newEvictCache(o, []policy.Cache{p}) }
	for _, dry := range []bool{true, false} {
		got, res := named(t, dry, Request{}, action)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("dry run %v (-want +got):\n%s", dry, diff)
		}
		if diff := gocmp.Diff(map[string]int64{"in_use": held, "hardlink": linked}, res.Skipped); diff != "" {
			t.Errorf("dry run %v: skipped (-want +got):\n%s", dry, diff)
		}
	}
}

// TestEvictBehindManyThatStay: where far more than is needed stays, in places far apart, what comes
// behind it goes in the same run.
func TestEvictBehindManyThatStay(t *testing.T) {
	for _, held := range []bool{true, false} {
		dir, away := realDir(t), realDir(t)
		const n, stay = 300, 200
		for i := range n {
			path := fmt.Sprintf("%s/f%03d", dir, i)
			put(t, path, 1, time.Duration(2*n-i)*10*time.Hour)
			switch {
			case i >= stay:
			case held:
				f, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
			default:
				if err := os.Link(path, fmt.Sprintf("%s/%d", away, i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		all := units.Ratio(1)
		p := policy.Cache{Common: common(dir), MaxEntries: n - 2, EvictTo: &all}
		for _, dry := range []bool{true, false} {
			got, res := named(t, dry, Request{}, func(o DirOptions) Action { return newEvictCache(o, []policy.Cache{p}) })
			if !slices.Equal(got, []string{"over_limit f200", "over_limit f201"}) {
				t.Errorf("held %v, dry run %v: evicted %v, skipped %v; want the two behind those that stay", held, dry, got, res.Skipped)
			}
		}
	}
}

// TestEvictCountsWhatIsAdded: files that appear after they were counted are counted all the same.
func TestEvictCountsWhatIsAdded(t *testing.T) {
	dir := realDir(t)
	const n, keep = 40, 30
	for i := range n {
		put(t, fmt.Sprintf("%s/f%02d", dir, i), 1, time.Duration(100-i)*time.Hour)
	}
	all := units.Ratio(1)
	p := policy.Cache{Common: common(dir), MaxEntries: keep, EvictTo: &all, MaxAge: units.Duration(99*time.Hour + time.Minute)}
	p.MaxRemoveFraction = &all // so that there is a pass that counts before the first file goes
	added := false
	adding := naming(func(string, string) {
		if !added {
			added = true
			for i := range 5 {
				put(t, fmt.Sprintf("%s/new%d", dir, i), 1, time.Hour)
			}
		}
	})
	if res, err := newEvictCache(dirOptions(), []policy.Cache{p}).Run(t.Context(), Request{OnFile: adding}); err != nil || res.Files != n+5-keep || len(left(t, dir)) != keep {
		t.Errorf("evicted %d, %v, left %d; want %d left", res.Files, err, len(left(t, dir)), keep)
	}
}

// TestEvictRounds: where the whole edge of an eviction is in use, a further round goes on behind it.
func TestEvictRounds(t *testing.T) {
	dir := realDir(t)
	at := time.Now().Add(-48 * time.Hour)
	for i := range 40 { // five bursts of eight, each within one bucket of ages
		path := fmt.Sprintf("%s/f%02d", dir, i)
		put(t, path, 1, 0)
		when := at.Add(time.Duration(i/8) * 6 * time.Hour)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
		if i < 20 {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
		}
	}
	p := policy.Cache{Common: common(dir), MaxEntries: 38}
	all := units.Ratio(1)
	p.EvictTo = &all
	for _, dry := range []bool{true, false} {
		got, res := named(t, dry, Request{}, func(o DirOptions) Action { return newEvictCache(o, []policy.Cache{p}) })
		if len(got) != 2 || res.Skipped["in_use"] < 16 {
			t.Errorf("dry run %v: evicted %v, skipped %v; want two of the third burst", dry, got, res.Skipped)
		}
		for _, name := range got {
			if name < "over_limit f20" || name > "over_limit f23" {
				t.Errorf("dry run %v: %s is not of the oldest that no one holds", dry, name)
			}
		}
	}
}

// TestEvictDryRunNamesWhatGoes: for random caches with many equal ages, held, linked and empty
// files and both limits, the dry run names what the run then removes, and nothing else goes.
func TestEvictDryRunNamesWhatGoes(t *testing.T) {
	dir, away := realDir(t), realDir(t)
	serial := 0
	rapid.Check(t, func(rt *rapid.T) {
		os.RemoveAll(dir)
		os.Mkdir(dir, 0o755)
		var held []*os.File
		defer func() {
			for _, f := range held {
				f.Close()
			}
		}()
		now := time.Now().Truncate(time.Second)
		for i := range rapid.IntRange(0, 40).Draw(rt, "files") {
			path := fmt.Sprintf("%s/%d/f%d", dir, i%3, i)
			put(t, path, rapid.IntRange(0, 9000).Draw(rt, "size"), 0)
			when := now.Add(-time.Duration(rapid.IntRange(0, 6).Draw(rt, "hours")) * time.Hour)
			if err := os.Chtimes(path, when, when); err != nil {
				rt.Fatal(err)
			}
			switch rapid.IntRange(0, 5).Draw(rt, "kind") {
			case 0:
				f, err := os.Open(path)
				if err != nil {
					rt.Fatal(err)
				}
				held = append(held, f)
			case 1:
				serial++
				if err := os.Link(path, fmt.Sprintf("%s/%d", away, serial)); err != nil {
					rt.Fatal(err)
				}
			}
		}
		floor := units.Duration(time.Minute)
		low := units.Ratio(rapid.Float64Range(.1, 1).Draw(rt, "evict to"))
		p := policy.Cache{
			Common: common(dir), EvictTo: &low,
			MaxBytes:   units.Bytes(rapid.Int64Range(0, 100_000).Draw(rt, "max bytes")),
			MaxEntries: rapid.Int64Range(0, 40).Draw(rt, "max entries"),
			MaxAge:     units.Duration(time.Duration(rapid.IntRange(0, 6).Draw(rt, "max age")) * time.Hour),
		}
		p.MinAge = &floor
		if rapid.Bool().Draw(rt, "links") {
			p.Links = policy.LinksRemove
		}
		action := func(o DirOptions) Action { return newEvictCache(o, []policy.Cache{p}) }
		req := Request{Relief: rapid.Bool().Draw(rt, "relief")}
		before := left(t, dir)
		planned, plan := named(t, true, req, action)
		if diff := gocmp.Diff(before, left(t, dir)); diff != "" {
			rt.Fatalf("the dry run changed the folder:\n%s", diff)
		}
		removed, res := named(t, false, req, action)
		if diff := gocmp.Diff(planned, removed); diff != "" {
			rt.Fatalf("(-planned +removed):\n%s", diff)
		}
		if plan.Bytes != res.Bytes || plan.FreedBytes != res.FreedBytes || len(before)-len(left(t, dir)) != len(removed) {
			rt.Fatalf("planned %+v, did %+v", plan, res)
		}
		if diff := gocmp.Diff(plan.Skipped, res.Skipped); diff != "" {
			rt.Fatalf("skipped (-planned +run):\n%s", diff)
		}
	})
}

// TestEvictMany compares with sorting at sizes that need the histogram and its refinement: a
// burst, equal ages, and ages spread over days.
func TestEvictMany(t *testing.T) {
	const n, keep = 20_000, 2_000
	random := rand.New(rand.NewPCG(1, 2))
	for name, age := range map[string]func() time.Duration{
		"spread":         func() time.Duration { return time.Hour + time.Duration(random.Int64N(int64(240*time.Hour))) },
		"burst of 1 s":   func() time.Duration { return 30*time.Hour + time.Duration(random.Int64N(int64(time.Second))) },
		"whole seconds":  func() time.Duration { return 30*time.Hour + time.Duration(random.Int64N(10))*time.Second },
		"all of one age": func() time.Duration { return 30 * time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			dir := realDir(t)
			now := time.Now().Truncate(time.Second)
			ages := make([]time.Duration, n)
			for i := range n {
				folder := fmt.Sprintf("%s/%d", dir, i%8)
				if i < 8 {
					os.Mkdir(folder, 0o755)
				}
				path := fmt.Sprintf("%s/%d", folder, i)
				if err := os.WriteFile(path, nil, 0o644); err != nil {
					t.Fatal(err)
				}
				ages[i] = age()
				if err := os.Chtimes(path, now.Add(-ages[i]), now.Add(-ages[i])); err != nil {
					t.Fatal(err)
				}
			}
			p := policy.Cache{Common: common(dir), MaxEntries: keep}
			all := units.Ratio(1)
			p.EvictTo = &all
			action := func(o DirOptions) Action { return newEvictCache(o, []policy.Cache{p}) }
			planned, _ := named(t, true, Request{}, action)
			removed, _ := named(t, false, Request{}, action)
			if !slices.Equal(planned, removed) {
				t.Errorf("the dry run named other files than the run: %d and %d", len(planned), len(removed))
			}
			if len(removed) != n-keep {
				t.Fatalf("evicted %d, want %d", len(removed), n-keep)
			}
			slices.Sort(ages)
			slices.Reverse(ages)
			youngest := ages[n-keep-1] // of those that had to go
			for _, name := range left(t, dir) {
				info, err := os.Lstat(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				if now.Sub(info.ModTime()) > youngest {
					t.Fatalf("%s is left, older than %s, which went", name, youngest)
				}
			}
		})
	}
}

// TestMaxRemoveFractionOfACache counts files also where only bytes are limited.
func TestMaxRemoveFractionOfACache(t *testing.T) {
	dir := realDir(t)
	for i := range 100 {
		put(t, fmt.Sprintf("%s/f%d", dir, i), 4096, time.Duration(1+i)*time.Hour)
	}
	f := func(maxBytes int64, maxAge time.Duration, fraction float64, want Outcome) {
		t.Helper()
		all, share := units.Ratio(1), units.Ratio(fraction)
		p := policy.Cache{Common: common(dir), MaxBytes: units.Bytes(maxBytes), MaxAge: units.Duration(maxAge), EvictTo: &all}
		p.MaxRemoveFraction = &share
		before := len(left(t, dir))
		for _, dry := range []bool{true, false} {
			res, err := newEvictCache(dirOptions(), []policy.Cache{p}).Run(t.Context(), Request{DryRun: dry})
			if err != nil || (res.Outcome == Failed) != (want == Failed) {
				t.Errorf("%d bytes, age %s, %v: dry run %v is %s, %v; want %s", maxBytes, maxAge, fraction, dry, res.Outcome, err, want)
			}
		}
		if gone := before - len(left(t, dir)); (gone == 0) != (want == Failed) {
			t.Errorf("%d bytes, age %s, %v: %d files went", maxBytes, maxAge, fraction, gone)
		}
	}
	f(40*4096, 0, .5, Failed)
	f(40*4096, 81*time.Hour, .5, Failed)
	f(60*4096, 81*time.Hour, .5, Done) // twenty by age, twenty by bytes
}

// TestCleanTempPassesOverWhatIsHeld: expired files that are in use go once they are closed, and take no others
// with them.
func TestCleanTempPassesOverWhatIsHeld(t *testing.T) {
	dir := realDir(t)
	for i := range 10 {
		path := fmt.Sprintf("%s/f%d", dir, i)
		put(t, path, 1, time.Duration(20-i)*time.Hour)
		if i < 5 {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
		}
	}
	p := policy.Temp{Common: common(dir), MaxFiles: 7, MaxAge: units.Duration(15*time.Hour + time.Minute)}
	for _, dry := range []bool{true, false} {
		got, res := named(t, dry, Request{}, func(o DirOptions) Action { return newCleanTemp(o, []policy.Temp{p}) })
		if len(got) != 0 || res.Skipped["in_use"] != 5 || res.Policies[0].MissingEntries != 3 {
			t.Errorf("dry run %v: %v go, %+v; want none, and three missing", dry, got, res.Policies[0])
		}
	}
}

// TestLeftoversAreSwept: what a killed strict run had judged and moved away goes with the next run,
// whatever is not it stays; a dry run leaves both.
func TestLeftoversAreSwept(t *testing.T) {
	dir := realDir(t)
	private := filepath.Join(dir, policy.HoldingName)
	put(t, private+"/x", 5, time.Hour)
	os.Chmod(private, 0o700)
	put(t, private+"/"+policy.HoldingMarker, 0, 0)
	var st unix.Stat_t
	if err := unix.Stat(private+"/x", &st); err != nil {
		t.Fatal(err)
	}
	held := fmt.Sprintf("%s/%d-%d-%d-77-1", private, st.Ino, st.Size, st.Mtim.Nano())
	if err := os.Rename(private+"/x", held); err != nil {
		t.Fatal(err)
	}
	put(t, private+"/1-2-3-77-2", 5, time.Hour)
	for _, dry := range []bool{true, false} {
		p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Minute)}
		got, _ := named(t, dry, Request{}, func(o DirOptions) Action { return newCleanTemp(o, []policy.Temp{p}) })
		if _, err := os.Lstat(held); (err == nil) != dry || len(got) > 0 {
			t.Errorf("dry run %v: the leftover: %v, named %v", dry, err, got)
		}
	}
	if _, err := os.Lstat(private + "/1-2-3-77-2"); err != nil {
		t.Errorf("a file that no one had judged: %v", err)
	}
}

// TestEvictPassesOverWhatIsHeld: expired entries that are in use go once they are closed, and take no others
// with them.
func TestEvictPassesOverWhatIsHeld(t *testing.T) {
	dir := realDir(t)
	for i := range 10 {
		path := fmt.Sprintf("%s/f%d", dir, i)
		put(t, path, 1, time.Duration(20-i)*time.Hour)
		if i < 5 {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
		}
	}
	all := units.Ratio(1)
	p := policy.Cache{Common: common(dir), MaxEntries: 7, MaxAge: units.Duration(15*time.Hour + time.Minute), EvictTo: &all}
	for _, dry := range []bool{true, false} {
		got, res := named(t, dry, Request{}, func(o DirOptions) Action { return newEvictCache(o, []policy.Cache{p}) })
		if len(got) != 0 || res.Skipped["in_use"] != 5 || res.Policies[0].MissingEntries != 3 {
			t.Errorf("dry run %v: %v go, %+v; want none, and three missing", dry, got, res.Policies[0])
		}
	}
}
