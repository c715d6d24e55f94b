package action

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// at sets both times of a file or folder.
func at(t testing.TB, path string, when time.Time) {
	t.Helper()
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
}

// aged sets the times of all folders below dir to what the files in them leave open: long ago.
func aged(t testing.TB, dir string) {
	t.Helper()
	long := time.Now().Add(-1000 * time.Hour)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != dir {
			at(t, path, long)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// entriesOf runs an action on entries, dry first, and returns what it named, sorted, and its result.
// Both runs have to name the same.
func entriesOf(t testing.TB, req Request, make func() Action) (names []string, res Result) {
	t.Helper()
	var planned []string
	for _, dry := range []bool{true, false} {
		names = nil
		req.DryRun = dry
		req.OnFile = func(p PolicyResult, path []byte, why string) {
			line := why + " " + string(path)
			if p.EntryFiles != nil {
				line += fmt.Sprintf(" %d", *p.EntryFiles)
			}
			names = append(names, line)
		}
		var err error
		if res, err = make().Run(context.Background(), req); err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		if dry {
			planned = names
		}
	}
	if diff := gocmp.Diff(planned, names); diff != "" {
		t.Errorf("the dry run named other entries than the real run (-planned +removed):\n%s", diff)
	}
	return names, res
}

func wantNames(t testing.TB, want, got []string) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// TestDirectoriesAsEntries: a directory goes with all that is in it when its newest thing is due, and
// else stays as a whole.
func TestDirectoriesAsEntries(t *testing.T) {
	dir := realDir(t)
	put(t, dir+"/loose.wav", 100, 9*time.Hour)
	put(t, dir+"/old/a.wav", 100, 9*time.Hour)
	put(t, dir+"/old/deep/.hidden", 50, 8*time.Hour)
	put(t, dir+"/arriving/chunk1", 100, 9*time.Hour)
	put(t, dir+"/arriving/deep/chunk2", 100, time.Minute)
	put(t, dir+"/held/a", 100, 9*time.Hour)
	put(t, dir+"/keep/a", 100, 9*time.Hour)
	for _, empty := range []string{"empty", "emptied"} {
		if err := os.MkdirAll(dir+"/"+empty, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	aged(t, dir)
	at(t, dir+"/emptied", time.Now().Add(-time.Minute)) // its job has ended just now
	held, err := os.Open(dir + "/held/a")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Hour)}
	p.Entry, p.Keep = policy.EntryDir, []string{"keep"}
	got, res := entriesOf(t, Request{}, func() Action { return newCleanTemp(dirOptions(), []policy.Temp{p}) })
	wantNames(t, []string{"expired empty 0", "expired old 2"}, got)
	one := res.Policies[0]
	want := PolicyResult{
		Target: "svc", Policy: "p", Kind: policy.KindTemp, Dir: dir, Entry: "dir", Entries: 2, Files: 2, Bytes: 150, FreedBytes: one.FreedBytes,
		Scanned: 5, Skipped: map[string]int64{"in_use": 1, "kept": 1, "above_depth": 1}, Outcome: Done, InUse: true,
	}
	if diff := gocmp.Diff(want, one); diff != "" || one.FreedBytes < 8192 {
		t.Errorf("freed %d, result (-want +got):\n%s", one.FreedBytes, diff)
	}
	if res.Detail != "removed from p: 2 entries with 2 files" {
		t.Errorf("detail %q", res.Detail)
	}
	wantNames(t, []string{"arriving/chunk1", "arriving/deep/chunk2", "held/a", "keep/a", "loose.wav"}, left(t, dir))
	if _, err := os.Stat(dir + "/old"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of what was removed: %v", err)
	}
}

// TestEntriesOfTwoLevels: with a depth of 2 the directories above are not entries, and stay.
func TestEntriesOfTwoLevels(t *testing.T) {
	dir := realDir(t)
	for _, user := range []string{"ann", "bob"} {
		for i := range 3 {
			put(t, fmt.Sprintf("%s/%s/job%d/out/x", dir, user, i), 10, time.Duration(10*i+1)*time.Hour)
		}
		put(t, dir+"/"+user+"/notes", 10, 999*time.Hour)
	}
	aged(t, dir)
	p := policy.Cache{Common: common(dir), MaxEntries: 4, EvictTo: new(units.Ratio(1))}
	p.Entry, p.Depth, p.Include = policy.EntryDir, 2, []string{"job*"}
	got, res := entriesOf(t, Request{}, func() Action { return newEvictCache(dirOptions(), []policy.Cache{p}) })
	wantNames(t, []string{"over_limit ann/job2 1", "over_limit bob/job2 1"}, got)
	if res.Skipped["above_depth"] != 2 || res.Policies[0].Scanned != 6 {
		t.Errorf("skipped %v of %d", res.Skipped, res.Policies[0].Scanned)
	}
}

// TestTriplesGoTogether: of ten videos with their data and picture, five were played lately. Only the
// video is read when it is played, and it keeps the other two.
func TestTriplesGoTogether(t *testing.T) {
	dir := realDir(t)
	var want []string
	for i := range 10 {
		for _, ext := range []string{"mp4", "json", "jpg"} {
			path := fmt.Sprintf("%s/video%d.%s", dir, i, ext)
			put(t, path, 1000, time.Duration(100+i)*time.Hour)
			if i%2 == 0 && ext == "mp4" {
				if err := os.Chtimes(path, time.Now().Add(-time.Hour), time.Now().Add(-time.Duration(100+i)*time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			if i%2 == 0 {
				want = append(want, filepath.Base(path))
			}
		}
	}
	slices.Sort(want)
	p := policy.Cache{Common: common(dir), MaxEntries: 5, EvictTo: new(units.Ratio(1))}
	p.Group = policy.GroupStem
	got, res := entriesOf(t, Request{}, func() Action { return newEvictCache(dirOptions(), []policy.Cache{p}) })
	if len(got) != 5 || res.Files != 15 || got[0] != "over_limit video1 3" || res.Policies[0].Entries != 5 {
		t.Errorf("%v went, %d files", got, res.Files)
	}
	wantNames(t, want, left(t, dir))
}

// TestObservedOpensOfAGroup: what was seen of one member counts for all, whatever the times on disk.
func TestObservedOpensOfAGroup(t *testing.T) {
	dir := realDir(t)
	for i, name := range []string{"a", "b", "c"} {
		put(t, fmt.Sprintf("%s/sub/%s.mp4", dir, name), 1, time.Duration(100-i)*time.Hour)
		put(t, fmt.Sprintf("%s/sub/%s.json", dir, name), 1, time.Duration(200-i)*time.Hour)
	}
	o := dirOptions()
	o.Opens = map[string]Opens{"p": &opens{last: map[string]time.Time{"sub/a.json": time.Now().Add(-time.Minute)}}}
	p := policy.Cache{Common: common(dir), MaxEntries: 2, EvictTo: new(units.Ratio(1))}
	p.Group = policy.GroupStem
	got, _ := entriesOf(t, Request{}, func() Action { return newEvictCache(o, []policy.Cache{p}) })
	wantNames(t, []string{"over_limit sub/b 2"}, got)
}

// TestAGroupGoesAsAWhole: one member in use, linked elsewhere or too young keeps the others.
func TestAGroupGoesAsAWhole(t *testing.T) {
	dir, away := realDir(t), realDir(t)
	for _, name := range []string{"free", "held", "linked", "young"} {
		for _, ext := range []string{"1", "2", "3"} {
			put(t, dir+"/"+name+".part"+ext, 10, 2*time.Hour)
		}
	}
	at(t, dir+"/young.part3", time.Now())
	held, err := os.Open(dir + "/held.part2")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := os.Link(dir+"/linked.part1", away+"/x"); err != nil {
		t.Fatal(err)
	}
	p := policy.Upload{Common: common(dir), MaxAge: units.Duration(time.Hour)}
	p.Group = `(.+)\.part\d+`
	got, res := entriesOf(t, Request{}, func() Action { return newEnforceUploads(dirOptions(), []policy.Upload{p}) })
	wantNames(t, []string{"expired free 3"}, got)
	if diff := gocmp.Diff(map[string]int64{"in_use": 1, "hardlink": 1}, res.Skipped); diff != "" || len(left(t, dir)) != 9 {
		t.Errorf("left %v, skipped (-want +got):\n%s", left(t, dir), diff)
	}
}

// TestSegmentsOfAStream: the first segment of a stream is old and is needed as long as the newest is.
func TestSegmentsOfAStream(t *testing.T) {
	dir := realDir(t)
	for _, show := range []string{"live", "ended"} {
		age := 0 * time.Hour
		if show == "ended" {
			age = 3 * time.Hour
		}
		put(t, dir+"/"+show+"-init.mp4", 100, age+5*time.Hour)
		for i := range 6 {
			put(t, fmt.Sprintf("%s/%s-%05d.m4s", dir, show, i), 1000, age+time.Duration(6-i)*10*time.Minute)
		}
		put(t, dir+"/"+show+"-manifest.mpd", 10, age+10*time.Minute)
	}
	p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Hour)}
	p.Include = []string{"*", "*.mpd"} // a playlist stays unless it is named
	p.Group = `(.+)-(?:init\.mp4|\d+\.m4s|manifest\.mpd)`
	got, _ := entriesOf(t, Request{}, func() Action { return newCleanTemp(dirOptions(), []policy.Temp{p}) })
	wantNames(t, []string{"expired ended 8"}, got)
	if names := left(t, dir); len(names) != 8 || !slices.Contains(names, "live-init.mp4") {
		t.Errorf("left %v", names)
	}
}

// TestUploadInChunks: an upload that is still arriving stays alongside a dead one, by folder.
func TestUploadInChunks(t *testing.T) {
	dir := realDir(t)
	for i := range 5 {
		put(t, fmt.Sprintf("%s/dead/%d.part", dir, i), 100, 30*time.Hour)
		put(t, fmt.Sprintf("%s/arriving/%d.part", dir, i), 100, time.Duration(50-10*i)*time.Hour+time.Second)
	}
	aged(t, dir)
	at(t, dir+"/arriving/4.part", time.Now())
	p := policy.Upload{Common: common(dir), MaxAge: units.Duration(24 * time.Hour)}
	p.Entry = policy.EntryDir
	got, _ := entriesOf(t, Request{}, func() Action { return newEnforceUploads(dirOptions(), []policy.Upload{p}) })
	wantNames(t, []string{"expired dead 5"}, got)
	if len(left(t, dir)) != 5 {
		t.Errorf("left %v", left(t, dir))
	}
}

// modelCache makes a cache of models as the hub of Hugging Face does: blobs by their hash, and snapshots
// of links to them. Blob i is i*10 hours old; each snapshot i links blob i.
func modelCache(t *testing.T) string {
	t.Helper()
	dir := realDir(t)
	for i := range 4 {
		put(t, fmt.Sprintf("%s/m/blobs/%040d", dir, i), 1000, time.Duration(10*i+1)*time.Hour)
		snapshot := fmt.Sprintf("%s/m/snapshots/rev%d", dir, i)
		if err := os.MkdirAll(snapshot, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(fmt.Sprintf("../../blobs/%040d", i), snapshot+"/model.bin"); err != nil {
			t.Fatal(err)
		}
	}
	put(t, dir+"/m/refs/main", 3, time.Minute)
	return dir
}

// TestLinksIntoEntries: what a link points to stays, or the link goes with it; and a model goes as a
// whole with its own links.
func TestLinksIntoEntries(t *testing.T) {
	f := func(name string, change func(*policy.Cache, string), want []string, links int64, skipped map[string]int64) {
		t.Helper()
		dir := modelCache(t)
		p := policy.Cache{Common: common(dir), MaxAge: units.Duration(15 * time.Hour)}
		change(&p, dir)
		got, res := entriesOf(t, Request{}, func() Action { return newEvictCache(dirOptions(), []policy.Cache{p}) })
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := gocmp.Diff(skipped, res.Skipped); diff != "" || res.Policies[0].Links != links {
			t.Errorf("%s: %d links, skipped (-want +got):\n%s", name, res.Policies[0].Links, diff)
		}
		dangling := 0
		filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type()&os.ModeSymlink != 0 {
				if _, err := os.Stat(path); err != nil {
					dangling++
				}
			}
			return nil
		})
		if dangling > 0 {
			t.Errorf("%s: %d links lead nowhere", name, dangling)
		}
	}
	blob := func(i int) string { return fmt.Sprintf("expired m/blobs/%040d", i) }
	f("keep", func(p *policy.Cache, _ string) { p.LinksInto = policy.LinksIntoKeep }, nil, 0, map[string]int64{"linked": 2, "symlink": 4})
	f("remove", func(p *policy.Cache, _ string) { p.LinksInto = policy.LinksIntoRemove }, []string{blob(2), blob(3)}, 2, map[string]int64{"symlink": 4})
	f("absolute links", func(p *policy.Cache, dir string) {
		p.LinksInto = policy.LinksIntoKeep
		os.Remove(dir + "/m/snapshots/rev3/model.bin")
		os.Symlink(fmt.Sprintf("%s/m/blobs/%040d", dir, 3), dir+"/m/snapshots/rev3/model.bin")
		os.Remove(dir + "/m/snapshots/rev2/model.bin")
	}, []string{blob(2)}, 0, map[string]int64{"linked": 1, "symlink": 3})
	f("a young model", func(p *policy.Cache, _ string) { p.Entry = policy.EntryDir }, nil, 0, map[string]int64{})
	f("an old model", func(p *policy.Cache, dir string) {
		p.Entry = policy.EntryDir
		for _, path := range []string{"/m/refs/main", fmt.Sprintf("/m/blobs/%040d", 0), fmt.Sprintf("/m/blobs/%040d", 1)} {
			at(t, dir+path, time.Now().Add(-30*time.Hour))
		}
		aged(t, dir)
	}, []string{"expired m 5"}, 0, map[string]int64{})
}

// TestACurrentReleaseStays: the usual link to the release in use keeps it, although it is old.
func TestACurrentReleaseStays(t *testing.T) {
	dir := realDir(t)
	for i := range 4 {
		put(t, fmt.Sprintf("%s/v%d/bin/app", dir, i), 10, time.Duration(100-i)*time.Hour)
	}
	aged(t, dir)
	if err := os.Symlink("v1/bin", dir+"/current"); err != nil {
		t.Fatal(err)
	}
	p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Hour)}
	p.Entry, p.LinksInto, p.KeepNewest, p.Include = policy.EntryDir, policy.LinksIntoKeep, 1, []string{"v*"}
	got, res := entriesOf(t, Request{}, func() Action { return newCleanTemp(dirOptions(), []policy.Temp{p}) })
	wantNames(t, []string{"expired v0 1", "expired v2 1"}, got)
	if diff := gocmp.Diff(map[string]int64{"linked": 1, "newest": 1}, res.Skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
}

// TestKeepNewestFiles: without any other key the entries are files.
func TestKeepNewestFiles(t *testing.T) {
	dir := realDir(t)
	for i := range 6 {
		put(t, fmt.Sprintf("%s/dump%d", dir, i), 10, time.Duration(10+i)*time.Hour)
	}
	p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Hour), MaxFiles: 1}
	p.KeepNewest = 2
	got, res := entriesOf(t, Request{}, func() Action { return newCleanTemp(dirOptions(), []policy.Temp{p}) })
	wantNames(t, []string{"expired dump2", "expired dump3", "expired dump4", "expired dump5"}, got)
	if res.Skipped["newest"] != 2 || res.Policies[0].Entries != 0 || res.Files != 4 {
		t.Errorf("%+v", res.Policies[0])
	}
}

// TestFractionOfEntries: the share is of entries, however many files one has.
func TestFractionOfEntries(t *testing.T) {
	dir := realDir(t)
	for i := range 100 {
		put(t, fmt.Sprintf("%s/big/%d", dir, i), 1, 9*time.Hour)
	}
	for i := range 3 {
		put(t, fmt.Sprintf("%s/small%d/x", dir, i), 1, time.Minute)
	}
	aged(t, dir)
	p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Hour)}
	p.Entry, p.MaxRemoveFraction = policy.EntryDir, new(units.Ratio(.2))
	res, _ := newCleanTemp(dirOptions(), []policy.Temp{p}).Run(t.Context(), Request{})
	if res.Outcome != Failed || !strings.Contains(res.Detail, "1 of 4 entries") || len(left(t, dir)) != 103 {
		t.Errorf("%s: %s", res.Outcome, res.Detail)
	}
	p.MaxRemoveFraction = new(units.Ratio(.25))
	if res, _ = newCleanTemp(dirOptions(), []policy.Temp{p}).Run(t.Context(), Request{}); res.Outcome != Done || res.Files != 100 {
		t.Errorf("%s: %s, %d files", res.Outcome, res.Detail, res.Files)
	}
}

// TestUnreadableEntryStays: of what could not be read no one knows how old it is.
func TestUnreadableEntryStays(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := realDir(t)
	put(t, dir+"/job/in/x", 1, 9*time.Hour)
	put(t, dir+"/job/y", 1, 9*time.Hour)
	aged(t, dir)
	if err := os.Chmod(dir+"/job/in", 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir+"/job/in", 0o755)
	p := policy.Temp{Common: common(dir), MaxAge: units.Duration(time.Hour)}
	p.Entry = policy.EntryDir
	res, _ := newCleanTemp(dirOptions(), []policy.Temp{p}).Run(t.Context(), Request{})
	if res.Files != 0 || res.Outcome != Partial || res.Skipped["error_EACCES"] == 0 {
		t.Errorf("%+v", res.Policies[0])
	}
}

// evenly returns numbers that are spread evenly, other than those that rapid draws.
func evenly(rt *rapid.T) *rand.Rand { return rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)) }

// drawEntries makes random entries below dir, as directories or groups, and says what they are as one.
func drawEntries(t *testing.T, rt *rapid.T, dir string, dirs bool, now time.Time) (list []tempFile, closeAll func()) {
	var open []*os.File
	n := rapid.IntRange(0, 14).Draw(rt, "entries")
	rng := evenly(rt)
	ages := rng.Perm(600) // in seconds: rapid's own numbers are small as a rule
	for i := range n {
		one := tempFile{name: fmt.Sprintf("%d/e%d", i%3, i)}
		files := rapid.IntRange(1, 3).Draw(rt, "files")
		for j := range files {
			path := fmt.Sprintf("%s/%s.%d", dir, one.name, j)
			if dirs {
				path = fmt.Sprintf("%s/%s/%s%d", dir, one.name, []string{"", "in/", "in/deep/"}[j], j)
			}
			size := max(0, rapid.IntRange(-2, 2).Draw(rt, "size"))
			put(t, path, size, 0)
			when := now.Add(-time.Duration(ages[3*i+j]*1000+rng.IntN(1000)) * time.Millisecond)
			at(t, path, when)
			one.size += size
			if when.After(one.at) {
				one.at = when
			}
			if rapid.IntRange(0, 19).Draw(rt, "held") == 0 {
				f, err := os.Open(path)
				if err != nil {
					rt.Fatal(err)
				}
				open = append(open, f)
				one.held = true
			}
		}
		if !dirs && files == 1 {
			one.name += ".0"
		}
		list = append(list, one)
	}
	aged(t, dir)
	return list, func() {
		for _, f := range open {
			f.Close()
		}
	}
}

// TestEntriesEqualOracle: over random directories and groups the plan and the run take what sorting takes,
// with each entry as one file.
func TestEntriesEqualOracle(t *testing.T) {
	dir := realDir(t)
	now := time.Now().Truncate(time.Microsecond)
	rapid.Check(t, func(rt *rapid.T) {
		os.RemoveAll(dir)
		os.Mkdir(dir, 0o755)
		dirs := rapid.Bool().Draw(rt, "directories")
		list, closeAll := drawEntries(t, rt, dir, dirs, now)
		defer closeAll()
		seconds := func(name string) units.Duration {
			return units.Duration(time.Duration(rapid.IntRange(0, 600).Draw(rt, name)) * time.Second)
		}
		p := policy.Temp{Common: common(dir), MaxAge: seconds("max age"), EmptyMaxAge: seconds("empty max age"), MaxFiles: rapid.Int64Range(0, 15).Draw(rt, "max entries")}
		p.MinAge, p.KeepNewest = new(seconds("min age")), rapid.Int64Range(0, 4).Draw(rt, "keep newest")
		if p.Group = policy.GroupStem; dirs {
			p.Group, p.Entry, p.Depth = "", policy.EntryDir, 2
		}
		newest := slices.SortedFunc(slices.Values(list), func(a, b tempFile) int { return b.at.Compare(a.at) })
		for i := range list {
			list[i].linked = slices.ContainsFunc(newest[:min(len(newest), int(p.KeepNewest))], func(f tempFile) bool { return f.name == list[i].name })
		}
		want := oracle(&p, list, now)
		slices.Sort(want)
		got, res := entriesOf(t, Request{}, func() Action {
			o := dirOptions()
			o.Now = func() time.Time { return now }
			return newCleanTemp(o, []policy.Temp{p})
		})
		for i, name := range got {
			got[i] = strings.Fields(name)[1]
		}
		slices.Sort(got)
		if diff := gocmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
			rt.Fatalf("%+v\n(-oracle +got):\n%s", res.Policies, diff)
		}
	})
}

// TestEvictionOfEntriesEqualsOracle: the least recently used entries go, by their most recently used file,
// until the rest is down to the mark, and one of the newest stays.
func TestEvictionOfEntriesEqualsOracle(t *testing.T) {
	dir := realDir(t)
	now := time.Now().Truncate(time.Microsecond)
	rapid.Check(t, func(rt *rapid.T) {
		os.RemoveAll(dir)
		os.Mkdir(dir, 0o755)
		dirs := rapid.Bool().Draw(rt, "directories")
		list, closeAll := drawEntries(t, rt, dir, dirs, now)
		closeAll()
		rng, used := evenly(rt), make(map[string]time.Time)
		var sum amount
		for i := range list {
			f := &list[i]
			path := dir + "/" + strings.TrimSuffix(f.name, ".0") + ".0"
			if dirs {
				path = dir + "/" + f.name + "/0"
			}
			read := now.Add(-time.Duration(rng.IntN(600_000_000)) * time.Microsecond)
			if err := os.Chtimes(path, read, time.Time{}); err != nil {
				rt.Fatal(err)
			}
			if used[f.name] = f.at; read.After(f.at) {
				used[f.name] = read
			}
			f.size++ // no entry is empty: their order is the subject of another test
			size, err := os.Stat(path)
			if err == nil {
				err = os.Truncate(path, size.Size()+1)
			}
			if err == nil {
				err = os.Chtimes(path, read, size.ModTime())
			}
			if err != nil {
				rt.Fatal(err)
			}
			sum.add(int64(f.size))
		}
		p := policy.Cache{Common: common(dir), MaxEntries: rapid.Int64Range(0, 14).Draw(rt, "max entries"), MaxBytes: units.Bytes(rapid.Int64Range(0, 40).Draw(rt, "max bytes"))}
		p.EvictTo, p.SizeBy = new(units.Ratio(rapid.Float64Range(.1, 1).Draw(rt, "evict to"))), policy.SizeApparent
		p.KeepNewest = rapid.Int64Range(0, 4).Draw(rt, "keep newest")
		if p.Group = policy.GroupStem; dirs {
			p.Group, p.Entry, p.Depth = "", policy.EntryDir, 2
		}
		target := amount{unlimited, unlimited}
		if p.MaxEntries > 0 && sum.files > p.MaxEntries || p.MaxBytes > 0 && sum.bytes > int64(p.MaxBytes) {
			if p.MaxEntries > 0 {
				target.files = int64(float64(*p.EvictTo) * float64(p.MaxEntries))
			}
			if p.MaxBytes > 0 {
				target.bytes = int64(float64(*p.EvictTo) * float64(p.MaxBytes))
			}
		}
		slices.SortFunc(list, func(a, b tempFile) int { return b.at.Compare(a.at) })
		list = slices.DeleteFunc(list[min(len(list), int(p.KeepNewest)):], func(f tempFile) bool { return now.Sub(f.at) < p.MinAge.Std() })
		slices.SortFunc(list, func(a, b tempFile) int { return used[a.name].Compare(used[b.name]) })
		var gone amount
		var want []string
		for _, f := range list {
			if need := target.over(sum); !gone.enough(need) {
				gone.add(int64(f.size))
				want = append(want, f.name)
			}
		}
		slices.Sort(want)
		got, res := entriesOf(t, Request{}, func() Action {
			o := dirOptions()
			o.Now = func() time.Time { return now }
			return newEvictCache(o, []policy.Cache{p})
		})
		for i, name := range got {
			got[i] = strings.Fields(name)[1]
		}
		slices.Sort(got)
		if diff := gocmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
			rt.Fatalf("%+v\n(-oracle +got):\n%s", res.Policies, diff)
		}
	})
}
