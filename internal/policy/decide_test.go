package policy

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// aged is a file whose times all lie that long ago.
func aged(age time.Duration, size int64) *dirscan.Entry {
	at := now.Add(-age).UnixNano()
	return &dirscan.Entry{SizeBytes: size, AllocatedBytes: (size + 4095) / 4096 * 4096, AtimeNs: at, MtimeNs: at, CtimeNs: at}
}

func TestTempJudge(t *testing.T) {
	f := func(p Temp, age time.Duration, size int64, want Verdict) {
		t.Helper()
		if got := p.Judge(aged(age, size), now); got != want {
			t.Errorf("max_age %v, empty_max_age %v: %d bytes, %v old: %s, want %s", p.MaxAge, p.EmptyMaxAge, size, age, got.Reason(), want.Reason())
		}
	}
	both := Temp{MaxAge: units.Duration(time.Hour), EmptyMaxAge: units.Duration(5 * time.Minute)}
	f(both, time.Hour, 1, Expired)
	f(both, time.Hour-1, 1, NotDue)
	f(both, time.Hour, 0, Expired)
	f(both, 5*time.Minute, 0, Empty)
	f(both, 5*time.Minute-1, 0, NotDue)
	f(both, 5*time.Minute, 1, NotDue)
	f(both, 0, 0, NotDue)
	f(both, -2*time.Second, 0, NotDue)
	f(both, -2*time.Second-1, 0, Future)
	f(both, -48*time.Hour, 1, Future)
	f(both, 100*365*24*time.Hour, 1, Expired)
	f(both, time.Duration(now.UnixNano()), 1, Expired) // 1970
	f(Temp{MaxAge: units.Duration(time.Hour)}, 5*time.Minute, 0, NotDue)
	f(Temp{EmptyMaxAge: units.Duration(time.Minute)}, 1000*time.Hour, 1, NotDue)
	f(Temp{MaxFiles: 1}, 1000*time.Hour, 0, NotDue)

	quick := Temp{MaxAge: units.Duration(10 * time.Second), EmptyMaxAge: units.Duration(5 * time.Second)}
	f(quick, 59*time.Second, 1, TooYoung)
	f(quick, 59*time.Second, 0, TooYoung)
	f(quick, time.Minute, 1, Expired)
	f(quick, 7*time.Second, 1, NotDue)
	floor := units.Duration(0)
	quick.MinAge = &floor
	f(quick, 7*time.Second, 0, Empty)
	f(quick, 10*time.Second, 1, Expired)
}

func TestCacheJudge(t *testing.T) {
	f := func(maxAge, age time.Duration, want Verdict) {
		t.Helper()
		c := Cache{MaxAge: units.Duration(maxAge)}
		if got := c.Judge(aged(age, 1), now); got != want {
			t.Errorf("max_age %v, %v old: %s, want %s", maxAge, age, got.Reason(), want.Reason())
		}
	}
	f(48*time.Hour, 48*time.Hour, Expired)
	f(48*time.Hour, 48*time.Hour-1, NotDue)
	f(30*time.Second, 59*time.Second, TooYoung)
	f(30*time.Second, 60*time.Second, Expired)
	f(30*time.Second, 29*time.Second, NotDue)
	f(0, 10000*time.Hour, NotDue)
	f(48*time.Hour, -time.Hour, Future)
	f(0, -time.Hour, Future)
}

func TestRemovable(t *testing.T) {
	f := func(age time.Duration, want Verdict) {
		t.Helper()
		if got := (&Common{}).Removable(aged(age, 1), now); got != want {
			t.Errorf("%v old: %s, want %s", age, got.Reason(), want.Reason())
		}
	}
	f(time.Minute, Expired)
	f(time.Minute-1, TooYoung)
	f(-2*time.Second, TooYoung)
	f(-2*time.Second-1, Future)
}

// Times that lie as far away as a filesystem can write them are old or in the future, never the
// other way round.
func TestFarTimes(t *testing.T) {
	p := Temp{MaxAge: units.Duration(time.Hour)}
	c := Cache{MaxAge: units.Duration(time.Hour)}
	f := func(ns int64, want Verdict) {
		t.Helper()
		e := &dirscan.Entry{MtimeNs: ns, CtimeNs: ns, AtimeNs: ns}
		if a, b := p.Judge(e, now), c.Judge(e, now); a != want || b != want {
			t.Errorf("%d: %s and %s, want %s", ns, a.Reason(), b.Reason(), want.Reason())
		}
	}
	f(-(1 << 62), Expired) // the ends of dirscan.Nanoseconds
	f(1<<62, Future)
	f(0, Expired)
}

func TestAgeAndUse(t *testing.T) {
	e := &dirscan.Entry{MtimeNs: 10, CtimeNs: 20, AtimeNs: 30}
	read := &dirscan.Entry{MtimeNs: 25, CtimeNs: 20, AtimeNs: 5} // relatime, noatime: never read
	f := func(what string, got, want int64) {
		t.Helper()
		if got != want {
			t.Errorf("%s = %d, want %d", what, got, want)
		}
	}
	f("default", (&Common{}).AgeNs(e), 20)
	f("newest", (&Common{AgeBy: AgeNewest}).AgeNs(read), 25)
	f("mtime", (&Common{AgeBy: AgeMtime}).AgeNs(e), 10)
	f("atime", (&Common{AgeBy: AgeAtime}).AgeNs(e), 30)
	f("atime of a file that was never read", (&Common{AgeBy: AgeAtime}).AgeNs(read), 25)
	f("all, lately read", (&Common{AgeBy: AgeAll}).AgeNs(e), 30)
	f("all, lately moved", (&Common{AgeBy: AgeAll}).AgeNs(read), 25)
	f("used", (&Cache{}).UsedNs(e), 30)
	f("used, by atime", (&Cache{LRUBy: AgeAtime}).UsedNs(read), 25)
	f("used, by mtime", (&Cache{LRUBy: AgeMtime}).UsedNs(e), 10)
}

func TestDefaults(t *testing.T) {
	var c Cache
	no, floor, low := false, units.Duration(5*time.Second), units.Ratio(0.5)
	if !c.IsRecursive() || c.Floor() != time.Minute || c.Low() != 0.7 {
		t.Errorf("defaults: recursive %v, floor %v, evict to %v", c.IsRecursive(), c.Floor(), c.Low())
	}
	c.Recursive, c.MinAge, c.EvictTo = &no, &floor, &low
	if c.IsRecursive() || c.Floor() != 5*time.Second || c.Low() != 0.5 {
		t.Errorf("set: recursive %v, floor %v, evict to %v", c.IsRecursive(), c.Floor(), c.Low())
	}
	e := aged(0, 100)
	if got := c.Size(e); got != 4096 {
		t.Errorf("size by default = %d, want the allocated 4096", got)
	}
	c.SizeBy = SizeApparent
	if got := c.Size(e); got != 100 {
		t.Errorf("apparent size = %d, want 100", got)
	}
}

func TestNames(t *testing.T) {
	c := Common{Include: []string{"*.json", "*.mp4"}, Keep: []string{"index.json"}}
	n, err := c.Compile()
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, selected, kept bool) {
		t.Helper()
		if s, k := n.Select([]byte(name)), n.Kept([]byte(name)); s != selected || k != kept {
			t.Errorf("%q: selected %v, kept %v, want %v, %v", name, s, k, selected, kept)
		}
	}
	f("a.json", true, false)
	f("index.json", false, true)
	f("a.txt", false, false)
	for _, bad := range []Common{{Include: []string{"["}}, {Include: []string{"*"}, Keep: []string{"["}}} {
		if _, err := bad.Compile(); err == nil {
			t.Errorf("%+v compiled", bad)
		}
	}
}

func TestUsedRatio(t *testing.T) {
	free := Free{Bytes: 50, Inodes: 100}
	f := func(c Cache, entries, bytes int64, want float64, wantOK bool) {
		t.Helper()
		if got, ok := c.Limits(entries, bytes, free).UsedRatio(entries, bytes); got != want || ok != wantOK {
			t.Errorf("%d entries of %d, %d bytes of %d: %v, %v, want %v, %v", entries, c.MaxEntries, bytes, c.MaxBytes, got, ok, want, wantOK)
		}
	}
	f(Cache{MaxEntries: 1000, MaxBytes: 100}, 500, 20, 0.5, true)
	f(Cache{MaxEntries: 1000, MaxBytes: 100}, 500, 150, 1.5, true)
	f(Cache{MaxEntries: 1000}, 500, 150, 0.5, true)
	f(Cache{MaxBytes: 100}, 500, 50, 0.5, true)
	f(Cache{MaxBytes: 100}, 0, 0, 0, true)
	f(Cache{MaxAge: 1}, 500, 50, 0, false)
	f(Cache{MinFreeBytes: 40}, 500, 90, 0.9, true)
	f(Cache{MinFreeBytes: 60}, 500, 90, 1.125, true)
	f(Cache{MinFreeBytes: 60, MaxBytes: 45}, 500, 90, 2, true)
	f(Cache{MinFreeBytes: 200}, 500, 90, math.Inf(1), true)
	f(Cache{MinFreeBytes: 200}, 0, 0, 0, true)
	f(Cache{MinFreeInodes: 350}, 500, 90, 2, true)
	f(Cache{MinFreeInodes: 50, MinFreeBytes: 1}, 450, 1, 0.9, true)
}

func TestFreeOf(t *testing.T) {
	f, err := FreeOf(t.TempDir())
	if err != nil || f.Bytes <= 0 || f.Inodes <= 0 {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := FreeOf("/no/such/folder"); err == nil {
		t.Error("a folder that does not exist has free space")
	}
}

func TestOverlap(t *testing.T) {
	f := func(a, b string, want bool) {
		t.Helper()
		if Overlap(a, b) != want || Overlap(b, a) != want {
			t.Errorf("Overlap(%q, %q), either way, is not %v", a, b, want)
		}
	}
	f("/srv/a", "/srv/a", true)
	f("/srv/a", "/srv/a/", true)
	f("/srv/a", "/srv/a/b", true)
	f("/srv/a", "/srv/ab", false)
	f("/srv/a", "/srv/b/../a/c", true)
	f("/", "/srv", true)
	f("/srv", "/", true)
	f("/srv/a", "/srv/b", false)
}

// mistakes returns what a policy reports, as "key: message".
func mistakes(validate func(report.Func)) []string {
	var out []string
	validate(func(key, format string, args ...any) { out = append(out, key+": "+fmt.Sprintf(format, args...)) })
	return out
}

func TestValidate(t *testing.T) {
	ratio := func(r units.Ratio) *units.Ratio { return &r }
	long := units.Duration(400 * 24 * time.Hour)
	good := Common{Name: "media", Dir: "/srv/cache", Include: []string{"*.json"}}
	with := func(change func(*Common)) Common {
		c := good
		change(&c)
		return c
	}
	cases := []struct {
		name   string
		policy interface {
			Validate(report.Func)
		}
		want []string
	}{
		{"good cache", &Cache{Common: good, MaxEntries: 1, EvictTo: ratio(1), LRUBy: "mtime"}, nil},
		{"good temp", &Temp{Common: with(func(c *Common) { c.AgeBy, c.SizeBy, c.Links = "atime", "apparent", "remove" }), EmptyMaxAge: 1}, nil},
		{"nothing", &Cache{}, []string{
			"dir: is missing: write the absolute path of the folder",
			"include: is missing: write globs on the file names that may be removed, such as ['*.tmp'], or ['*'] for all",
			"max_bytes: no limit is set: write at least one of max_bytes, max_entries, max_age, min_free_bytes and min_free_inodes",
		}},
		{"no limit", &Temp{Common: good}, []string{"max_age: no limit is set: write at least one of max_age, empty_max_age, max_files, max_bytes, min_free_bytes and min_free_inodes"}},
		{"relative", &Temp{Common: with(func(c *Common) { c.Dir = "tmp" }), MaxFiles: 1}, []string{`dir: "tmp" is not absolute: write the whole path from /`}},
		{"unclean", &Temp{Common: with(func(c *Common) { c.Dir = "/srv/../tmp/" }), MaxFiles: 1}, []string{`dir: "/srv/../tmp/" is not clean: write "/tmp"`}},
		{"globs", &Temp{Common: with(func(c *Common) { c.Include, c.Keep = []string{"*.a", "", "x/*.b"}, []string{"["} }), MaxFiles: 1}, []string{
			"include[1]: is empty: write a glob on a file name, such as *.tmp",
			`include[2]: "x/*.b" holds a slash, and globs of include match file names only: write dir: /srv/cache/x, include: ['*.b'] and recursive: false, or exclude the other folders`,
			`keep[0]: "[" is not a glob: close the bracket, or put \ before a character that is meant literally`,
		}},
		{"globs of other programs", &Temp{Common: with(func(c *Common) {
			c.Include = []string{"*.{mp4,json}", "*.mp4, *.json", "*.mp4|*.json", "[!.]*", `.*\.mp4`, "^a.*$", `a\{b,c}`, "a,b.txt", "x|y", "[a!]*", "{}*", "a b*.txt", "v1.+.txt"}
		}), MaxFiles: 1}, []string{
			`include[0]: "*.{mp4,json}" is several globs in one, which match no file: write each on its own, '*.mp4', '*.json'`,
			`include[1]: "*.mp4, *.json" is several globs in one, which match no file: write each on its own, '*.mp4', '*.json'`,
			`include[2]: "*.mp4|*.json" is several globs in one, which match no file: write each on its own, '*.mp4', '*.json'`,
			`include[3]: "[!.]*" has [!, which does not mean "none of" here: write [^, or the ! last in the brackets when it is meant literally`,
			`include[4]: ".*\\.mp4" is a regular expression and not a glob: write * for any characters, such as *.tmp`,
			`include[5]: "^a.*$" is a regular expression and not a glob: write * for any characters, such as *.tmp`,
		}},
		{"choices", &Cache{Common: with(func(c *Common) { c.AgeBy, c.SizeBy, c.Links = "ctime", "blocks", "all" }), MaxEntries: 1, LRUBy: "ctime"}, []string{
			`age_by: "ctime" is not known: write newest or mtime or atime or all`,
			`size_by: "blocks" is not known: write allocated or apparent`,
			`links: "all" is not known: write skip or remove`,
			`lru_by: "ctime" is not known: write atime or mtime`,
		}},
		{"numbers", &Cache{Common: with(func(c *Common) { c.MinAge, c.MaxRemoveFraction = &long, ratio(0) }), MaxEntries: -1, EvictTo: ratio(0)}, []string{
			"min_age: 400d is over a year: write a shorter age, such as 60s",
			"max_remove_fraction: 0% would stop every run: write a share such as 50%, or remove the key",
			"max_entries: -1 is negative: write a number of files, such as 1000",
			"evict_to: 0% would empty the cache or evict nothing: write a share between 1% and 100%, such as 70%",
		}},
		{"negative files", &Temp{Common: good, MaxFiles: -1}, []string{"max_files: -1 is negative: write a number of files, such as 100"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, mistakes(c.policy.Validate)); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

// A policy that Validate accepts compiles, and what it calls due is older than its floor and its
// limit, whatever it says.
func TestAcceptedPoliciesAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		globs := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune("ab*?[]-^.")), 1, 4, -1), 0, 2)
		duration := rapid.Map(rapid.Int64Range(0, int64(100*24*time.Hour)), func(n int64) units.Duration { return units.Duration(n) })
		p := Temp{
			Common: Common{
				Name: "n", Dir: "/srv/a", Include: append(globs.Draw(t, "include"), "*"), Keep: globs.Draw(t, "keep"),
				AgeBy:  rapid.SampledFrom([]string{"", "newest", "mtime", "atime", "ctime"}).Draw(t, "age_by"),
				MinAge: rapid.Ptr(duration, true).Draw(t, "min_age"),
			},
			MaxAge: duration.Draw(t, "max_age"), EmptyMaxAge: duration.Draw(t, "empty_max_age"), MaxFiles: 1,
		}
		if len(mistakes(p.Validate)) > 0 {
			return
		}
		names, err := p.Compile()
		if err != nil {
			t.Fatalf("accepted, and does not compile: %v", err)
		}
		name := rapid.SliceOfN(rapid.Byte(), 1, 10).Draw(t, "name")
		if names.Select(name) && names.Kept(name) {
			t.Fatalf("%q is selected and kept", name)
		}
		at := rapid.OneOf(rapid.Int64Range(-(1<<62), 1<<62), rapid.Map(duration, func(d units.Duration) int64 { return now.UnixNano() - int64(d) }))
		e := &dirscan.Entry{SizeBytes: rapid.Int64Range(0, 1).Draw(t, "size"), AtimeNs: at.Draw(t, "atime"), MtimeNs: at.Draw(t, "mtime"), CtimeNs: at.Draw(t, "ctime")}
		v := p.Judge(e, now)
		if !v.Due() {
			return
		}
		age := now.UnixNano() - p.AgeNs(e)
		limits := []units.Duration{p.MaxAge}
		if e.SizeBytes == 0 {
			limits = append(limits, p.EmptyMaxAge)
		}
		within := slices.ContainsFunc(limits, func(d units.Duration) bool { return d > 0 && age >= int64(d) })
		if age < int64(p.Floor()) || !within {
			t.Fatalf("%s at an age of %v: floor %v, limits %v", v.Reason(), time.Duration(age), p.Floor(), limits)
		}
	})
}

// TestFreeOfOddNumbers: a file system that has less than nothing left for those who are not root has
// nothing, and one that has more left than it holds says nothing at all.
func TestFreeOfOddNumbers(t *testing.T) {
	f := func(name string, st unix.Statfs_t, want Free, ok bool) {
		t.Helper()
		got, err := freeFrom(&st)
		if got != want || (err == nil) != ok {
			t.Errorf("%s: %+v, %v, want %+v, ok %v", name, got, err, want, ok)
		}
	}
	below := func(n uint64) uint64 { return -n } // as the kernel hands it on
	f("as usual", unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bavail: 10, Files: 100, Ffree: 7}, Free{40960, 7}, true)
	f("blocks below 0", unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bavail: below(300), Files: 100, Ffree: 7}, Free{0, 7}, true)
	f("inodes below 0", unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bavail: 10, Files: 100, Ffree: below(1)}, Free{40960, 0}, true)
	f("no number of inodes", unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bavail: 10}, Free{40960, math.MaxInt64 / 2}, true)
	f("no size at all", unix.Statfs_t{Bsize: 4096, Bavail: 0}, Free{0, math.MaxInt64 / 2}, true)
	f("more than there is", unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bavail: 1 << 52, Files: 100, Ffree: 7}, Free{}, false)
	f("more inodes than there are", unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bavail: 10, Files: 100, Ffree: 1 << 40}, Free{}, false)
}
