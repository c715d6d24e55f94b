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

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// later is dirOptions with a clock that is ahead.
func later(by time.Duration) DirOptions {
	o := dirOptions()
	o.Now = func() time.Time { return time.Now().Add(by) }
	return o
}

func countPrefix(names []string, prefix string) (n int) {
	for _, name := range names {
		if strings.HasPrefix(filepath.Base(name), prefix) {
			n++
		}
	}
	return n
}

// firstUser fills a folder with good files and more empty ones.
func firstUser(t *testing.T, good, empty int, goodAge, emptyAge time.Duration) string {
	t.Helper()
	dir := realDir(t)
	for i := range good {
		put(t, fmt.Sprintf("%s/good%03d.wav", dir, i), 100, goodAge)
	}
	for i := range empty {
		put(t, fmt.Sprintf("%s/empty%03d.wav", dir, i), 0, emptyAge)
	}
	return dir
}

// TestCleanTempEmptyFilesGoFirst: what max_files takes are files without content, however young
// next to the others.
func TestCleanTempEmptyFilesGoFirst(t *testing.T) {
	dir := firstUser(t, 66, 592, 3*time.Minute, 65*time.Second)
	p := policy.Temp{Common: common(dir), MaxFiles: 100, EmptyMaxAge: units.Duration(5 * time.Minute)}
	p.MinAge = new(units.Duration(time.Minute))
	var planned []string
	for _, dry := range []bool{true, false} {
		got, res := named(t, dry, Request{}, func(o DirOptions) Action { return newCleanTemp(o, []policy.Temp{p}) })
		if n := countPrefix(got, "over_limit empty"); n != 558 || len(got) != 558 {
			t.Errorf("dry run %v: %d files go, %d of them empty (skipped %v); want 558 empty ones", dry, len(got), n, res.Skipped)
		}
		if dry {
			planned = got
		} else if !slices.Equal(planned, got) {
			t.Error("the dry run named other files than the run removed")
		}
	}
	if l := left(t, dir); countPrefix(l, "good") != 66 || len(l) != 100 {
		t.Errorf("%d files are left, %d of them good; want 100 with all 66", len(l), countPrefix(l, "good"))
	}
}

// TestCleanTempYoungEmptyFilesPushNothingOut: while the empty files are younger than min_age nothing
// goes in their place; the run counts them, and the next one takes them.
func TestCleanTempYoungEmptyFilesPushNothingOut(t *testing.T) {
	dir := firstUser(t, 66, 592, 3*time.Minute, 30*time.Second)
	p := policy.Temp{Common: common(dir), MaxFiles: 100, EmptyMaxAge: units.Duration(5 * time.Minute)}
	p.MinAge = new(units.Duration(time.Minute))
	for _, dry := range []bool{true, false} {
		got, res := named(t, dry, Request{}, func(o DirOptions) Action { return newCleanTemp(o, []policy.Temp{p}) })
		if len(got) != 0 || res.Skipped["too_young"] != 592 {
			t.Errorf("dry run %v: %d files go, skipped %v; want none, and 592 too young", dry, len(got), res.Skipped)
		}
	}
	res, err := newCleanTemp(later(time.Minute), []policy.Temp{p}).Run(t.Context(), Request{})
	if l := left(t, dir); err != nil || res.Files != 558 || countPrefix(l, "good") != 66 {
		t.Errorf("a minute later %d files go, %v; %d good ones are left, want 558 and 66", res.Files, err, countPrefix(l, "good"))
	}
}

// TestCleanTempFractionCountsWhatGoes: max_remove_fraction judges what the run would remove, not the
// whole excess.
func TestCleanTempFractionCountsWhatGoes(t *testing.T) {
	half := units.Ratio(.5)
	f := func(name string, emptyAge time.Duration, want Outcome) {
		t.Helper()
		dir := firstUser(t, 40, 100, 3*time.Minute, emptyAge)
		p := policy.Temp{Common: common(dir), MaxFiles: 30, EmptyMaxAge: units.Duration(5 * time.Minute)}
		p.MinAge, p.MaxRemoveFraction = new(units.Duration(time.Minute)), &half
		res, err := newCleanTemp(dirOptions(), []policy.Temp{p}).Run(t.Context(), Request{})
		if err != nil || res.Outcome != want || want == Partial && res.Files != 10 {
			t.Errorf("%s: %s, %v, %d removed; want %s", name, res.Outcome, err, res.Files, want)
		}
	}
	f("110 of 140 would go", 2*time.Minute, Failed)
	f("10 of 140 would go, since the empty ones are too young", 30*time.Second, Partial)
}

// TestEvictEmptyEntriesGoFirst: max_entries takes entries without content first, and they push
// nothing out while they cannot go.
func TestEvictEmptyEntriesGoFirst(t *testing.T) {
	for _, tt := range []struct {
		name              string
		emptyAge          time.Duration
		maxEntries        int64
		maxBytes          units.Bytes
		req               Request
		empty, good, left int // that go; good ones that are left
	}{
		{"they make up the excess", 2 * time.Minute, 100, 0, Request{}, 200, 0, 90},
		{"they are too young", 30 * time.Second, 100, 0, Request{}, 0, 0, 90},
		{"what has content is over the limit itself", 2 * time.Minute, 80, 0, Request{}, 200, 34, 56},
		{"relief goes down to the low mark", 2 * time.Minute, 100, 0, Request{Relief: true}, 200, 20, 70},
		{"bytes are not theirs", 2 * time.Minute, 0, 80 * 100, Request{}, 0, 34, 56},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := firstUser(t, 90, 200, time.Hour, tt.emptyAge)
			p := policy.Cache{Common: common(dir), MaxEntries: tt.maxEntries, MaxBytes: tt.maxBytes}
			p.MinAge, p.SizeBy = new(units.Duration(time.Minute)), policy.SizeApparent
			for _, dry := range []bool{true, false} {
				got, res := named(t, dry, tt.req, func(o DirOptions) Action { return newEvictCache(o, []policy.Cache{p}) })
				if e, g := countPrefix(got, "over_limit empty"), countPrefix(got, "over_limit good"); e != tt.empty || g != tt.good {
					t.Errorf("dry run %v: %d empty and %d good ones go, skipped %v; want %d and %d", dry, e, g, res.Skipped, tt.empty, tt.good)
				}
			}
			if n := countPrefix(left(t, dir), "good"); n != tt.left {
				t.Errorf("%d good ones are left, want %d", n, tt.left)
			}
		})
	}
}

// TestUploadsThatGoByThemselves: a file that is too large but too young goes with the next run, and
// pushes nothing out until then.
func TestUploadsThatGoByThemselves(t *testing.T) {
	dir := realDir(t)
	for i := range 10 {
		put(t, fmt.Sprintf("%s/good%d", dir, i), 100, time.Hour)
	}
	put(t, dir+"/huge", 5000, 30*time.Second)
	p := policy.Upload{Common: common(dir), MaxFileBytes: 1000, MaxBytes: 2000}
	p.MinAge, p.SizeBy = new(units.Duration(time.Minute)), policy.SizeApparent
	for _, dry := range []bool{true, false} {
		got, res := named(t, dry, Request{}, func(o DirOptions) Action { return newEnforceUploads(o, []policy.Upload{p}) })
		if len(got) != 0 || res.Skipped["too_young"] != 1 {
			t.Errorf("dry run %v: %v go, skipped %v; want none, and one too young", dry, got, res.Skipped)
		}
	}
	res, err := newEnforceUploads(later(time.Minute), []policy.Upload{p}).Run(t.Context(), Request{})
	if diff := gocmp.Diff(1, int(res.Files)); err != nil || diff != "" || countPrefix(left(t, dir), "good") != 10 {
		t.Errorf("a minute later %d go, %v; left %v", res.Files, err, left(t, dir))
	}
}

// tempFile is a file of the oracle.
type tempFile struct {
	name         string
	at           time.Time
	size         int
	held, linked bool
}

// share is a part of a limit, as a clean-up goes down to.
func share(of int64, low *units.Ratio) int64 {
	if low == nil {
		return of
	}
	return int64(float64(*low) * float64(of))
}

// oracle says what a clean-up removes, by sorting: what is due by age or emptiness; then, where a limit is
// exceeded and down to the low mark, files without content, the oldest first; then the oldest others, while
// more of those with content are there than may be. What is due and in use pushes nothing out.
func oracle(p *policy.Temp, files []tempFile, now time.Time) (out []string) {
	free := func(f *tempFile) bool {
		return !f.held && !f.linked && now.Sub(f.at) >= p.MinAge.Std()
	}
	var rest []*tempFile
	var total, full amount
	for i := range files {
		f := &files[i]
		age := now.Sub(f.at)
		old := p.MaxAge > 0 && age >= p.MaxAge.Std()
		due := old || f.size == 0 && p.EmptyMaxAge > 0 && age >= p.EmptyMaxAge.Std()
		later := due && (!f.linked || now.Sub(f.at) < p.MinAge.Std()) // in use or too young
		switch {
		case due && free(f):
			out = append(out, f.name)
			continue
		case !due && free(f):
			rest = append(rest, f)
		}
		total.add(int64(f.size))
		if f.size > 0 && !later {
			full.add(int64(f.size))
		}
	}
	over := func(sum amount) bool {
		return p.MaxFiles > 0 && sum.files > p.MaxFiles || p.MaxBytes > 0 && sum.bytes > int64(p.MaxBytes)
	}
	above := func(sum amount) bool {
		return p.MaxFiles > 0 && sum.files > share(p.MaxFiles, p.CleanTo) || p.MaxBytes > 0 && sum.bytes > share(int64(p.MaxBytes), p.CleanTo)
	}
	slices.SortFunc(rest, func(a, b *tempFile) int {
		return cmp.Or(cmp.Compare(min(a.size, 1), min(b.size, 1)), a.at.Compare(b.at))
	})
	empties, fulls := over(total), over(full)
	for _, f := range rest {
		switch {
		case f.size == 0 && empties && p.MaxFiles > 0 && total.files > share(p.MaxFiles, p.CleanTo):
			total.files--
			out = append(out, f.name)
		case f.size > 0 && fulls && above(full):
			full.files, full.bytes = full.files-1, full.bytes-int64(f.size)
			out = append(out, f.name)
		}
	}
	return out
}

// TestCleanTempEqualsOracle: over random folders the plan and the run take what sorting takes.
func TestCleanTempEqualsOracle(t *testing.T) {
	dir, away := realDir(t), realDir(t)
	serial := 0
	now := time.Now().Truncate(time.Microsecond)
	rapid.Check(t, func(rt *rapid.T) {
		os.RemoveAll(dir)
		os.Mkdir(dir, 0o755)
		n := rapid.IntRange(0, 50).Draw(rt, "files")
		ages := rapid.SliceOfNDistinct(rapid.Int64Range(0, 600_000), n, n, rapid.ID[int64]).Draw(rt, "ages in milliseconds")
		files := make([]tempFile, n)
		for i := range files {
			f := tempFile{
				name: fmt.Sprintf("%d/f%d", i%3, i), at: now.Add(-time.Duration(ages[i]) * time.Millisecond),
				size: max(0, rapid.IntRange(-1, 2).Draw(rt, "size")),
			}
			path := filepath.Join(dir, f.name)
			put(t, path, f.size, 0)
			if err := os.Chtimes(path, f.at, f.at); err != nil {
				rt.Fatal(err)
			}
			switch rapid.IntRange(0, 9).Draw(rt, "kind") {
			case 0:
				f.held = true
				file, err := os.Open(path)
				if err != nil {
					rt.Fatal(err)
				}
				defer file.Close()
			case 1:
				f.linked = true
				serial++
				if err := os.Link(path, fmt.Sprintf("%s/%d", away, serial)); err != nil {
					rt.Fatal(err)
				}
			}
			files[i] = f
		}
		seconds := func(name string) units.Duration {
			return units.Duration(time.Duration(rapid.IntRange(0, 600).Draw(rt, name)) * time.Second)
		}
		p := policy.Temp{Common: common(dir), MaxAge: seconds("max age"), EmptyMaxAge: seconds("empty max age"), MaxFiles: rapid.Int64Range(0, 50).Draw(rt, "max files")}
		p.MinAge, p.SizeBy = new(seconds("min age")), policy.SizeApparent
		p.MaxBytes = units.Bytes(max(0, rapid.IntRange(-40, 60).Draw(rt, "max bytes")))
		if rapid.Bool().Draw(rt, "low mark") {
			p.CleanTo = new(units.Ratio(rapid.Float64Range(.1, 1).Draw(rt, "clean to")))
		}
		want := oracle(&p, files, now)
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
