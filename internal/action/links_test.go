package action

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// also gives a file further names.
func also(t testing.TB, path string, names ...string) {
	t.Helper()
	for _, name := range names {
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if err == nil {
			err = os.Link(path, name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestPairGoesAsOne: a file whose names are all the policy's goes with all of them, and frees its space; one
// with a name elsewhere, or a name that is kept, stays and says why.
func TestPairGoesAsOne(t *testing.T) {
	for _, manner := range []string{"plain", "strict", "quarantine"} {
		t.Run(manner, func(t *testing.T) {
			dir, away, quarantine := realDir(t)+"/up", realDir(t), realDir(t)
			put(t, dir+"/a", 8192, time.Hour)
			also(t, dir+"/a", dir+"/sub/a", dir+"/b")
			put(t, dir+"/out", 8192, time.Hour)
			also(t, dir+"/out", away+"/out", dir+"/out2")
			put(t, dir+"/.index", 8192, time.Hour)
			also(t, dir+"/.index", dir+"/kept")
			put(t, dir+"/held", 8192, time.Hour)
			also(t, dir+"/held", dir+"/held2")
			holding(t, dir+"/held2")
			p := policy.Upload{Common: common(dir), MaxAge: units.Duration(time.Minute)}
			p.Strict = manner == "strict"
			freed := int64(8192)
			if manner == "quarantine" {
				p.Quarantine, freed = quarantine, 0
			}
			for _, dry := range []bool{true, false} {
				got, res := named(t, dry, Request{}, func(o DirOptions) Action { return newEnforceUploads(o, []policy.Upload{p}) })
				if diff := gocmp.Diff([]string{"expired a", "expired b", "expired sub/a"}, got); diff != "" {
					t.Errorf("dry run %v (-want +got):\n%s", dry, diff)
				}
				if diff := gocmp.Diff(map[string]int64{"hardlink": 3, "in_use": 2, "kept": 1}, res.Skipped); diff != "" {
					t.Errorf("dry run %v: skipped (-want +got):\n%s", dry, diff)
				}
				if res.FreedBytes != freed || res.Bytes != 8192 || res.Files != 3 {
					t.Errorf("dry run %v: %d files, %d bytes, freed %d; want 3, 8192 and %d", dry, res.Files, res.Bytes, res.FreedBytes, freed)
				}
			}
			if diff := gocmp.Diff([]string{".index", "held", "held2", "kept", "out", "out2"}, left(t, dir)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if n := len(left(t, quarantine)); manner == "quarantine" && n != 3 {
				t.Errorf("%d names in the quarantine, want 3: %v", n, left(t, quarantine))
			}
		})
	}
}

// TestLinksRemoveAtOnce: with links: remove the names of a file go in one run although the first of them has
// changed the file; its age is not that of the change.
func TestLinksRemoveAtOnce(t *testing.T) {
	for _, kind := range []string{"age", "limit"} {
		dir, away := realDir(t), realDir(t)
		put(t, dir+"/a", 8192, time.Hour)
		also(t, dir+"/a", dir+"/b", dir+"/sub/c", away+"/d")
		put(t, dir+"/new", 1, time.Minute)
		p := policy.Temp{Common: common(dir), MaxAge: units.Duration(30 * time.Minute)}
		if kind == "limit" {
			p.MaxAge, p.MaxFiles = 0, 1
		}
		p.Links, p.AgeBy = policy.LinksRemove, policy.AgeNewest
		got, res := named(t, false, Request{}, func(o DirOptions) Action {
			o.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
			if kind == "age" {
				put(t, dir+"/new", 1, -100*time.Minute)
			}
			return newCleanTemp(o, []policy.Temp{p})
		})
		if len(got) < 3 || res.Skipped["too_young"]+res.Skipped["changed"] > 0 || res.FreedBytes > 4096 || slices.Contains(left(t, dir), "a") {
			t.Errorf("%s: %v go, skipped %v, freed %d", kind, got, res.Skipped, res.FreedBytes)
		}
	}
}

// TestPairCountsOnce: a file with two names counts once towards a size.
func TestPairCountsOnce(t *testing.T) {
	dir := realDir(t)
	for i := range 10 {
		path := fmt.Sprintf("%s/f%d", dir, i)
		put(t, path, 1000, time.Duration(20-i)*time.Hour)
		also(t, path, path+".link")
	}
	all := units.Ratio(1)
	for max, want := range map[units.Bytes]int{10_000: 0, 8000: 4} {
		p := policy.Cache{Common: common(dir), MaxBytes: max, EvictTo: &all}
		p.SizeBy = policy.SizeApparent
		for _, dry := range []bool{true, false} {
			got, res := named(t, dry, Request{}, func(o DirOptions) Action { return newEvictCache(o, []policy.Cache{p}) })
			if len(got) != want || res.Over || want > 0 && got[0] != "over_limit f0" {
				t.Errorf("max_bytes %d, dry run %v: %v go, %+v; want %d names", max, dry, got, res.Policies[0], want)
			}
		}
	}
}

// linkedFile is a file of the oracle below.
type linkedFile struct {
	names         []string
	at            time.Time
	size          int64
	held, outside bool
}

// linkOracle says which names a clean-up removes, by sorting files.
func linkOracle(p *policy.Temp, files []linkedFile, now time.Time) (out []string) {
	free := func(f *linkedFile) bool { return !f.held && (!f.outside || p.Links == policy.LinksRemove) }
	var rest []*linkedFile
	var total, full amount
	for i := range files {
		f := &files[i]
		due := p.MaxAge > 0 && now.Sub(f.at) >= p.MaxAge.Std()
		if due && free(f) {
			out = append(out, f.names...)
			continue
		}
		n := int64(len(f.names))
		total.addNames(n, f.size)
		later := due && (!f.outside || p.Links == policy.LinksRemove)
		if f.size > 0 && !later {
			full.addNames(n, f.size)
		}
		if !due && free(f) {
			rest = append(rest, f)
		}
	}
	over := func(sum amount) bool {
		return p.MaxFiles > 0 && sum.files > p.MaxFiles || p.MaxBytes > 0 && sum.bytes > int64(p.MaxBytes)
	}
	slices.SortFunc(rest, func(a, b *linkedFile) int {
		return cmp.Or(cmp.Compare(min(a.size, 1), min(b.size, 1)), a.at.Compare(b.at))
	})
	empties := over(total)
	for _, f := range rest {
		switch n := int64(len(f.names)); {
		case f.size == 0 && empties && p.MaxFiles > 0 && total.files > p.MaxFiles:
			total.files -= n
		case f.size > 0 && over(full):
			full.files, full.bytes = full.files-n, full.bytes-f.size
		default:
			continue
		}
		out = append(out, f.names...)
	}
	return out
}

// TestLinksEqualOracle: over random folders of files with several names, inside and outside, the plan and the
// run take what sorting takes.
func TestLinksEqualOracle(t *testing.T) {
	dir, away := realDir(t), realDir(t)
	serial := 0
	now := time.Now().Truncate(time.Microsecond)
	rapid.Check(t, func(rt *rapid.T) {
		os.RemoveAll(dir)
		os.Mkdir(dir, 0o755)
		n := rapid.IntRange(0, 20).Draw(rt, "files")
		ages := rapid.SliceOfNDistinct(rapid.Int64Range(0, 600_000), n, n, rapid.ID[int64]).Draw(rt, "ages in milliseconds")
		files := make([]linkedFile, n)
		for i := range files {
			f := linkedFile{at: now.Add(-time.Duration(ages[i]) * time.Millisecond), size: int64(rapid.IntRange(0, 3).Draw(rt, "size"))}
			for j := range rapid.IntRange(1, 3).Draw(rt, "names") {
				f.names = append(f.names, fmt.Sprintf("%d/f%02d-%d", (i+j)%3, i, j))
			}
			first := filepath.Join(dir, f.names[0])
			put(t, first, int(f.size), 0)
			for _, name := range f.names[1:] {
				also(t, first, filepath.Join(dir, name))
			}
			switch rapid.IntRange(0, 5).Draw(rt, "kind") {
			case 0:
				f.held = true
				file, err := os.Open(first)
				if err != nil {
					rt.Fatal(err)
				}
				defer file.Close()
			case 1:
				f.outside = true
				serial++
				also(t, first, fmt.Sprintf("%s/%d", away, serial))
			}
			if err := os.Chtimes(first, f.at, f.at); err != nil {
				rt.Fatal(err)
			}
			files[i] = f
		}
		p := policy.Temp{
			Common: common(dir), MaxAge: units.Duration(rapid.Int64Range(0, 600).Draw(rt, "max age")) * units.Duration(time.Second),
			MaxFiles: rapid.Int64Range(0, 30).Draw(rt, "max files"), MaxBytes: units.Bytes(max(0, rapid.IntRange(-20, 40).Draw(rt, "max bytes"))),
		}
		p.MinAge, p.SizeBy = new(units.Duration), policy.SizeApparent
		if rapid.Bool().Draw(rt, "links: remove") {
			p.Links = policy.LinksRemove
		}
		want := linkOracle(&p, files, now)
		slices.Sort(want)
		for _, dry := range []bool{true, false} {
			got, _ := named(t, dry, Request{}, func(o DirOptions) Action {
				o.Now = func() time.Time { return now }
				return newCleanTemp(o, []policy.Temp{p})
			})
			for i, name := range got {
				_, got[i], _ = strings.Cut(name, " ")
			}
			slices.Sort(got)
			if diff := gocmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
				rt.Fatalf("dry run %v (-oracle +got):\n%s", dry, diff)
			}
		}
	})
}

// TestManyLinks: beyond what a run remembers, a file with several names stays, with its true reason, and the
// next run goes on.
func TestManyLinks(t *testing.T) {
	l := &links{}
	e := &dirscan.Entry{Parent: &dirscan.Folder{}, Name: []byte("f"), Nlink: 2}
	for i := range maxLinked + 10 {
		e.Ino = uint64(i)
		if took := l.take(e, (*dirscan.Entry).NewestNs); took != (i < maxLinked) {
			t.Fatalf("file %d: taken %v", i, took)
		}
	}
	if g := l.of(e); g != nil {
		t.Error("a file beyond the bound is remembered")
	}
}
