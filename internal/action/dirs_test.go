package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func realDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func put(t testing.TB, path string, size int, age time.Duration) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// left returns the names below dir, sorted.
func left(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != policy.HoldingMarker {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, rel)
		}
		return nil
	})
	slices.Sort(out)
	return out
}

func common(dir string) policy.Common {
	floor := units.Duration(time.Second)
	return policy.Common{Name: "p", Dir: dir, Include: []string{"*"}, Keep: []string{".index"}, AgeBy: policy.AgeMtime, MinAge: &floor}
}

func dirOptions() DirOptions {
	return DirOptions{Target: "svc", Logger: slog.New(slog.DiscardHandler)}
}

// naming makes the OnFile of a request.
func naming(onFile func(path, why string)) func(PolicyResult, []byte, string) {
	return func(_ PolicyResult, path []byte, why string) { onFile(string(path), why) }
}

func TestCleanTemp(t *testing.T) {
	dir := realDir(t)
	put(t, dir+"/old.wav", 100, 2*time.Hour)
	put(t, dir+"/sub/old.wav", 100, 2*time.Hour)
	put(t, dir+"/young.wav", 100, time.Minute)
	put(t, dir+"/empty-old.wav", 0, 10*time.Minute)
	put(t, dir+"/empty-young.wav", 0, time.Minute)
	put(t, dir+"/.index", 5, 2*time.Hour)
	put(t, dir+"/held.wav", 100, 2*time.Hour)
	held, err := os.Open(dir + "/held.wav")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Hour), EmptyMaxAge: units.Duration(5 * time.Minute)}
	var planned, removed []string
	for _, dry := range []bool{true, false} {
		into := &removed
		if dry {
			into = &planned
		}
		a := newCleanTemp(dirOptions(), []policy.Temp{p})
		before := left(t, dir)
		res, err := a.Run(t.Context(), Request{DryRun: dry, OnFile: naming(func(path, why string) { *into = append(*into, path+" "+why) })})
		if err != nil {
			t.Fatal(err)
		}
		want := PolicyResult{
			Target: "svc", Policy: "p", Kind: policy.KindTemp, Dir: dir, Files: 3, Bytes: 200, Scanned: 6,
			FreedBytes: res.FreedBytes, Skipped: map[string]int64{"in_use": 1, "kept": 1}, Outcome: Done, InUse: true,
			InUseIncomplete: dry && res.Policies[0].InUseIncomplete, // as this user may see
		}
		if dry {
			want.Outcome = DryRun
			if diff := gocmp.Diff(before, left(t, dir)); diff != "" {
				t.Errorf("a dry run changed the folder (-before +after):\n%s", diff)
			}
		}
		if diff := gocmp.Diff([]PolicyResult{want}, res.Policies); diff != "" {
			t.Errorf("dry run %v: result (-want +got):\n%s", dry, diff)
		}
		if res.FreedBytes < 8192 {
			t.Errorf("freed %d bytes, want the two blocks of the two files", res.FreedBytes)
		}
	}
	if diff := gocmp.Diff(planned, removed); diff != "" {
		t.Errorf("the dry run named other files than the real run removed (-planned +removed):\n%s", diff)
	}
	if diff := gocmp.Diff([]string{".index", "empty-young.wav", "held.wav", "young.wav"}, left(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestCleanTempMaxFiles(t *testing.T) {
	dir := realDir(t)
	for i := range 10 {
		put(t, fmt.Sprintf("%s/f%02d", dir, i), 1, time.Duration(10+i)*time.Minute)
	}
	put(t, dir+"/now", 1, 0)
	p := policy.Temp{Common: common(dir), MaxFiles: 4}
	floor := units.Duration(time.Minute)
	p.MinAge = &floor
	res, err := newCleanTemp(dirOptions(), []policy.Temp{p}).Run(t.Context(), Request{})
	if err != nil || res.Files != 7 {
		t.Errorf("removed %d, %v, want 7", res.Files, err)
	}
	if diff := gocmp.Diff([]string{"f00", "f01", "f02", "now"}, left(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	p.MaxFiles = 1 // the three and the young one: only the three may go
	if res, _ = newCleanTemp(dirOptions(), []policy.Temp{p}).Run(t.Context(), Request{}); res.Files != 3 {
		t.Errorf("removed %d, want 3", res.Files)
	}
	p.MaxFiles = 0
	p.MaxAge = units.Duration(time.Nanosecond)
	if res, _ = newCleanTemp(dirOptions(), []policy.Temp{p}).Run(t.Context(), Request{}); res.Files != 0 || res.Skipped["too_young"] != 1 {
		t.Errorf("removed %d, skipped %v: want the file below the floor to stay and be counted", res.Files, res.Skipped)
	}
}

func TestMaxRemoveFraction(t *testing.T) {
	dir := realDir(t)
	for i := range 10 {
		put(t, fmt.Sprintf("%s/f%d", dir, i), 1, 2*time.Hour)
	}
	put(t, dir+"/young", 1, time.Minute)
	half := units.Ratio(.5)
	p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Hour)}
	p.MaxRemoveFraction = &half
	a := newCleanTemp(dirOptions(), []policy.Temp{p})
	res, _ := a.Run(t.Context(), Request{})
	if res.Outcome != Failed || res.Files != 0 || !strings.Contains(res.Policies[0].Error, "--force") || len(left(t, dir)) != 11 {
		t.Errorf("outcome %s, %d removed, error %q: want a refusal before the first file", res.Outcome, res.Files, res.Policies[0].Error)
	}
	if res, _ = a.Run(t.Context(), Request{Force: true}); res.Outcome != Done || res.Files != 10 {
		t.Errorf("forced: outcome %s, %d removed, want 10", res.Outcome, res.Files)
	}
}

func TestEvictOnlyWhenAsked(t *testing.T) {
	dir := realDir(t)
	fill := func(n int) {
		for i := range n {
			put(t, fmt.Sprintf("%s/f%02d", dir, i), 1, time.Duration(1+i)*time.Minute)
		}
	}
	p := policy.Cache{Common: common(dir), MaxEntries: 10}
	a := newEvictCache(dirOptions(), []policy.Cache{p})
	f := func(name string, files int, req Request, want int64) {
		t.Helper()
		os.RemoveAll(dir)
		fill(files)
		res, err := a.Run(t.Context(), req)
		if err != nil || res.Files != want {
			t.Errorf("%s: evicted %d, %v, want %d", name, res.Files, err, want)
		}
	}
	f("at its limit it is left alone", 10, Request{}, 0)
	f("above its limit it goes down to 70%", 11, Request{}, 4)
	f("relief goes down to 70% in any case", 10, Request{Relief: true}, 3)
	f("below 70% there is nothing to relieve", 7, Request{Relief: true}, 0)
	f("a step's own mark", 10, Request{EvictTo: .5}, 5)
	f("a dry run", 11, Request{DryRun: true}, 4)
	if got := len(left(t, dir)); got != 11 {
		t.Errorf("%d files after a dry run, want 11", got)
	}
}

// TestEvictSurvivorsEqualOracle: what an eviction leaves is what sorting everything would leave.
func TestEvictSurvivorsEqualOracle(t *testing.T) {
	dir := realDir(t)
	type file struct {
		name string
		at   time.Time
		size int64
	}
	now := time.Now().Truncate(time.Microsecond)
	rapid.Check(t, func(rt *rapid.T) {
		os.RemoveAll(dir)
		os.Mkdir(dir, 0o755)
		n := rapid.IntRange(0, 60).Draw(rt, "files")
		files := make([]file, n)
		distinct := rapid.SliceOfNDistinct(rapid.Int64Range(2, 1<<40), n, n, rapid.ID[int64]).Draw(rt, "ages in microseconds")
		for i := range files {
			files[i] = file{fmt.Sprintf("%d/f%d", i%3, i), now.Add(-time.Duration(distinct[i])*time.Microsecond - 2*time.Second), max(0, rapid.Int64Range(-2000, 9000).Draw(rt, "size"))}
			put(t, filepath.Join(dir, files[i].name), int(files[i].size), 0)
			if err := os.Chtimes(filepath.Join(dir, files[i].name), files[i].at, files[i].at); err != nil {
				rt.Fatal(err)
			}
		}
		p := policy.Cache{
			Common:     common(dir),
			MaxBytes:   units.Bytes(rapid.Int64Range(0, 200_000).Draw(rt, "max bytes")),
			MaxEntries: rapid.Int64Range(0, 60).Draw(rt, "max entries"),
		}
		p.SizeBy = policy.SizeApparent
		low := units.Ratio(rapid.Float64Range(.1, 1).Draw(rt, "evict to"))
		p.EvictTo = &low

		// The oracle: empty ones, the oldest first, until the number's low mark holds; then, of the
		// others alone, the oldest until both limits' low marks hold.
		slices.SortFunc(files, func(a, b file) int {
			return cmp.Or(cmp.Compare(min(a.size, 1), min(b.size, 1)), cmp.Compare(a.at.UnixNano(), b.at.UnixNano()))
		})
		var sum, full amount
		for _, f := range files {
			sum.add(f.size)
			if f.size > 0 {
				full.add(f.size)
			}
		}
		mark := func(sum amount) amount {
			target, err := cacheGoal(&dirRun{opts: &DirOptions{}}, &p, sum, 0)
			if err != nil {
				rt.Fatal(err)
			}
			return target.mark.over(sum)
		}
		need, needFull := mark(sum), mark(full)
		var gone amount
		var want []string
		for _, f := range files {
			switch {
			case f.size == 0 && need.files > 0:
				need.files--
			case f.size > 0 && !gone.enough(needFull):
				gone.add(f.size)
			default:
				want = append(want, f.name)
			}
		}
		slices.Sort(want)
		res, err := newEvictCache(dirOptions(), []policy.Cache{p}).Run(context.Background(), Request{})
		if err != nil || res.Outcome != Done {
			rt.Fatal(res.Outcome, err, res.Policies)
		}
		if diff := gocmp.Diff(want, left(t, dir)); diff != "" {
			rt.Fatalf("survivors (-oracle +got):\n%s", diff)
		}
	})
}

// TestEvictRefinesTheBoundary evicts from a burst that lies in one bucket of ages.
func TestEvictRefinesTheBoundary(t *testing.T) {
	const n = 6000
	for _, spread := range []time.Duration{time.Microsecond, 0} {
		dir := realDir(t)
		at := time.Now().Add(-24 * time.Hour)
		for i := range n {
			path := fmt.Sprintf("%s/%d/f%05d", dir, i%10, i)
			if i < 10 {
				os.MkdirAll(filepath.Dir(path), 0o755)
			}
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			when := at.Add(time.Duration(i) * spread)
			if err := os.Chtimes(path, when, when); err != nil {
				t.Fatal(err)
			}
		}
		p := policy.Cache{Common: common(dir), MaxEntries: 5000}
		half := units.Ratio(.5)
		p.EvictTo = &half
		res, err := newEvictCache(dirOptions(), []policy.Cache{p}).Run(t.Context(), Request{})
		names := left(t, dir)
		if err != nil || res.Files != n-2500 || len(names) != 2500 {
			t.Fatalf("spread %s: evicted %d, %v, left %d; want %d and 2500", spread, res.Files, err, len(names), n-2500)
		}
		if spread > 0 {
			for _, name := range names {
				if filepath.Base(name) < fmt.Sprintf("f%05d", n-2500) {
					t.Fatalf("%s is left, which is older than what was evicted", name)
				}
			}
		}
	}
}

// TestEvictTouchedBetweenPasses: what is used between the passes survives, and the second round
// takes the next oldest instead.
func TestEvictKeepsWhatIsInUse(t *testing.T) {
	dir := realDir(t)
	for i := range 10 {
		put(t, fmt.Sprintf("%s/f%d", dir, i), 1, time.Duration(20-i)*time.Minute)
	}
	held, err := os.Open(dir + "/f0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	p := policy.Cache{Common: common(dir), MaxEntries: 9}
	half := units.Ratio(.5)
	p.EvictTo = &half
	res, err := newEvictCache(dirOptions(), []policy.Cache{p}).Run(t.Context(), Request{})
	if err != nil || res.Files != 6 || res.Skipped["in_use"] != 1 {
		t.Errorf("evicted %d, skipped %v, %v; want 6 and one in use", res.Files, res.Skipped, err)
	}
	if diff := gocmp.Diff([]string{"f0", "f7", "f8", "f9"}, left(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestDirActionsStop(t *testing.T) {
	dir := realDir(t)
	for i := range 2000 {
		put(t, fmt.Sprintf("%s/f%d", dir, i), 0, time.Hour)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Minute)}
	n := 0
	res, err := newCleanTemp(dirOptions(), []policy.Temp{p}).Run(ctx, Request{OnFile: naming(func(string, string) {
		if n++; n == 100 {
			cancel()
		}
	})})
	if !errors.Is(err, context.Canceled) || res.Outcome != Partial || res.Files < 100 || res.Files > 600 {
		t.Errorf("outcome %s, %d files, %v; want partial soon after the cancel", res.Outcome, res.Files, err)
	}
}

// TestDirActionsStopBetweenPolicies: a cancelled action does not begin with the next folder, however
// small it is, and stops in a small one before the next file.
func TestDirActionsStopBetweenPolicies(t *testing.T) {
	dirs := []string{realDir(t), realDir(t)}
	var temps []policy.Temp
	for _, dir := range dirs {
		for i := range 5 {
			put(t, fmt.Sprintf("%s/f%d", dir, i), 0, time.Hour)
		}
		temps = append(temps, policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Minute)})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res, err := newCleanTemp(dirOptions(), temps).Run(ctx, Request{OnFile: naming(func(string, string) { cancel() })})
	if !errors.Is(err, context.Canceled) || res.Outcome != Partial || res.Files != 1 || len(left(t, dirs[0])) != 4 || len(left(t, dirs[1])) != 5 {
		t.Errorf("outcome %s, %d files, %v; left %d and %d, want 4 and 5", res.Outcome, res.Files, err, len(left(t, dirs[0])), len(left(t, dirs[1])))
	}
	if res, err = newCleanTemp(dirOptions(), temps).Run(ctx, Request{}); !errors.Is(err, context.Canceled) || res.Outcome != Partial {
		t.Errorf("cancelled before it began: %s, %v, want partial", res.Outcome, err)
	}
}

func TestDirActionsOnTrouble(t *testing.T) {
	dir := realDir(t)
	p := policy.Temp{Common: common(dir + "/missing"), MaxAge: units.Duration(time.Minute)}
	res, err := newCleanTemp(dirOptions(), []policy.Temp{p}).Run(t.Context(), Request{})
	if err != nil || res.Outcome != Done || res.Files != 0 {
		t.Errorf("a folder that does not exist: %s, %v, want done with nothing", res.Outcome, err)
	}
	put(t, dir+"/real/f", 1, time.Hour)
	if err := os.Symlink(dir+"/real", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	p.Dir = dir + "/link"
	res, _ = newCleanTemp(dirOptions(), []policy.Temp{p}).Run(t.Context(), Request{})
	if res.Outcome != Failed || len(left(t, dir+"/real")) != 1 {
		t.Errorf("a root that became a link: %s, want failed and nothing removed", res.Outcome)
	}
	p.Dir = dir + "/real"
	immutable(t, dir+"/real/f")
	res, _ = newCleanTemp(dirOptions(), []policy.Temp{p}).Run(t.Context(), Request{})
	if res.Outcome != Partial || res.Skipped["error_EPERM"] != 1 {
		t.Errorf("an immutable file: %s, skipped %v, want partial and error_EPERM", res.Outcome, res.Skipped)
	}
}

// immutable sets the flag that even root respects.
func immutable(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	set := func(flags int) error { return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags) }
	if err := set(unix.STATX_ATTR_IMMUTABLE); err != nil {
		f.Close()
		t.Skipf("no immutable files here: %v", err)
	}
	f.Close()
	t.Cleanup(func() {
		g, err := os.Open(path)
		if err == nil {
			unix.IoctlSetPointerInt(int(g.Fd()), unix.FS_IOC_SETFLAGS, 0)
			g.Close()
		}
	})
}

// BenchmarkFirstUser is a cache of 1,000 entries that goes down to 700, and 592 empty files.
func BenchmarkFirstUser(b *testing.B) {
	cacheDir, tempDir := realDir(b), realDir(b)
	cache := policy.Cache{Common: common(cacheDir), MaxEntries: 999}
	low := units.Ratio(.7008)
	cache.EvictTo = &low
	temp := policy.Temp{Common: common(tempDir), EmptyMaxAge: units.Duration(5 * time.Minute)}
	for _, bench := range []struct {
		name   string
		action Action
		want   int64
	}{
		{"evict", newEvictCache(dirOptions(), []policy.Cache{cache}), 300},
		{"clean", newCleanTemp(dirOptions(), []policy.Temp{temp}), 592},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for i := range 1000 {
					put(b, fmt.Sprintf("%s/f%d", cacheDir, i), 0, time.Duration(1+i)*time.Minute)
				}
				for i := range 592 {
					put(b, fmt.Sprintf("%s/f%d", tempDir, i), 0, time.Hour)
				}
				b.StartTimer()
				if res, err := bench.action.Run(b.Context(), Request{}); err != nil || res.Files != bench.want {
					b.Fatal(res, err)
				}
			}
		})
	}
}

func BenchmarkEvict100k(b *testing.B) {
	const n = 100_000
	b.ReportAllocs()
	dir := realDir(b)
	p := policy.Cache{Common: common(dir), MaxEntries: n - 1}
	a := newEvictCache(dirOptions(), []policy.Cache{p})
	at := time.Now().Add(-240 * time.Hour)
	for b.Loop() {
		b.StopTimer()
		for i := range n {
			if i%100 == 0 {
				os.MkdirAll(fmt.Sprintf("%s/%d", dir, i/100), 0o755)
			}
			path := fmt.Sprintf("%s/%d/%d", dir, i/100, i)
			if _, err := os.Lstat(path); err == nil {
				continue
			}
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				b.Fatal(err)
			}
			when := at.Add(time.Duration(i*7919%n) * time.Second)
			os.Chtimes(path, when, when)
		}
		b.StartTimer()
		res, err := a.Run(b.Context(), Request{})
		if err != nil || res.Files < n*29/100 {
			b.Fatal(res.Files, err)
		}
	}
}
