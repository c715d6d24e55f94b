package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func TestParseRotated(t *testing.T) {
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	f := func(name, log string, serial int, compressed bool) {
		t.Helper()
		r, ok := ParseRotated([]byte(name))
		if !ok || string(r.Log) != log || r.Serial != serial || r.Compressed != compressed || !r.At.Equal(at) {
			t.Errorf("%q: %+v, %v", name, r, ok)
		}
	}
	f("app.log.20260102T150405Z", "app.log", 1, false)
	f("app.log.20260102T150405Z-12", "app.log", 12, false)
	f("app.log.20260102T150405Z.gz", "app.log", 1, true)
	f("app.log.20260102T150405Z-2.gz", "app.log", 2, true)
	f("\xff.20260102T150405Z", "\xff", 1, false)
	for _, other := range []string{
		"", "app.log", "app.log.gz", "app.log.1", ".20260102T150405Z", "app.log.20260102T150405", "app.log.20261302T150405Z", "app.log.20260102T150405Z-",
		"app.log.20260102T150405Z-1", "app.log.20260102T150405Z-02", "app.log.20260102T150405Z-+2", "app.log.20260102T150405Zx", "app.log.20260102T150405Z.gz.gz",
	} {
		if r, ok := ParseRotated([]byte(other)); ok {
			t.Errorf("%q is taken for %+v", other, r)
		}
	}
}

// Every name that a rotation gives is read back as what it was.
func TestRotatedNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := rapid.StringMatching(`[a-z.\-]{1,20}`).Draw(t, "log")
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0)
		serial := rapid.IntRange(1, 2000).Draw(t, "serial")
		compressed := rapid.Bool().Draw(t, "compressed")
		name := RotatedName(log, at, serial, compressed)
		r, ok := ParseRotated([]byte(name))
		if !ok || string(r.Log) != log || !r.At.Equal(at) || r.Serial != serial || r.Compressed != compressed {
			t.Fatalf("%q: %+v, %v", name, r, ok)
		}
	})
}

// FuzzParseRotated: a name that is taken for a rotated log is one that a rotation gives.
func FuzzParseRotated(f *testing.F) {
	for _, s := range []string{"app.log.20260102T150405Z-2.gz", "a.20260102T150405Z", "app.log", ".spillway-rotate-1-2.tmp"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, name []byte) {
		r, ok := ParseRotated(name)
		if ok && RotatedName(string(r.Log), r.At, r.Serial, r.Compressed) != string(name) {
			t.Fatalf("%q is read as %+v", name, r)
		}
	})
}

func TestKindOf(t *testing.T) {
	f := func(c Common, name string, want LogKind) {
		t.Helper()
		n, err := c.Compile()
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := NewLogFiles(&Log{Common: c}, n).KindOf([]byte(name)); got != want {
			t.Errorf("%v, %q: %d, want %d", c.Include, name, got, want)
		}
	}
	logs, all := Common{Include: []string{"*.log"}, Keep: []string{"audit.log"}}, Common{Include: []string{"*"}}
	f(logs, "app.log", LogLive)
	f(logs, "app.txt", LogOther)
	f(logs, "audit.log", LogOther)
	f(logs, "app.log.20260102T150405Z.gz", LogRotated)
	f(logs, "audit.log.20260102T150405Z.gz", LogOther)
	f(logs, "app.txt.20260102T150405Z", LogOther)
	f(all, "app.log", LogLive)
	f(all, "app.log.20260102T150405Z", LogRotated)
	f(all, RotationTemp(1, 2), LogTemp)
	f(logs, RotationTemp(1, 2), LogTemp)
	f(all, "app.log.1", LogLive) // another program's numbering is not ours to count
}

func TestTally(t *testing.T) {
	keep := int64(2)
	l := &Log{KeepFiles: &keep, MaxAge: units.Duration(48 * time.Hour)}
	tally := NewTally(l)
	add := func(folder, log string, age time.Duration, serial int) {
		t.Helper()
		if _, ok := tally.Add([]byte(folder), Rotation{Log: []byte(log), At: now.Add(-age), Serial: serial}, false); !ok {
			t.Fatal("no room")
		}
	}
	add("", "a", 3*time.Hour, 1)      // 0: beyond two
	add("", "a", time.Hour, 2)        // 1
	add("", "a", time.Hour, 10)       // 2: the newest
	add("", "b", 47*time.Hour, 1)     // 3
	add("", "b", 48*time.Hour, 1)     // 4: expired
	add("sub/", "a", 90*time.Hour, 1) // 5: another log, expired
	add("", "c", -time.Hour, 1)       // 6: the clock was set back since
	got := map[int]string{}
	for _, d := range tally.Due(now) {
		got[d.Index] = d.Why.Reason()
	}
	if diff := cmp.Diff(map[int]string{0: "over_limit", 4: "expired", 5: "expired"}, got); diff != "" {
		t.Errorf("due (-want +got):\n%s", diff)
	}
}

// What a full tally calls due is due among all, whatever came first.
func TestFullTally(t *testing.T) {
	l := &Log{}
	tally := NewTally(l)
	for i := range maxTally + 100 {
		if _, ok := tally.Add(nil, Rotation{Log: []byte("a"), At: now.Add(time.Duration(i%977) * time.Hour), Serial: i + 1}, false); ok != (i < maxTally) {
			t.Fatalf("number %d: %v", i, ok)
		}
	}
	if n := len(tally.Due(now)); n != maxTally-defaultKeepFiles {
		t.Errorf("%d are due", n)
	}
}

func TestLogDefaults(t *testing.T) {
	var l Log
	if l.Keeps() != 5 || l.Renames() {
		t.Errorf("keeps %d, renames %v", l.Keeps(), l.Renames())
	}
	l.MaxBytes = 100
	if l.Oversize(1000, 100) || !l.Oversize(10, 101) {
		t.Error("the size is not the allocated one")
	}
	l.SizeBy = SizeApparent
	if !l.Oversize(101, 0) || l.Oversize(100, 4096) {
		t.Error("the size is not the apparent one")
	}
}

func TestLogValidate(t *testing.T) {
	good := Common{Name: "n", Dir: "/srv/a", Include: []string{"*.log"}}
	n := func(v int64) *int64 { return &v }
	f := func(l Log, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, mistakes(l.Validate)); diff != "" {
			t.Errorf("mistakes (-want +got):\n%s", diff)
		}
	}
	f(Log{Common: good, MaxBytes: 1, KeepFiles: n(0), Rotate: RotateCopyTruncate})
	f(Log{Common: good, MaxBytes: 1, Rotate: RotateRename, Signal: "SIGUSR1"})
	f(Log{Common: good}, "max_bytes: is missing: write the size above which a log is rotated, such as 100MiB, or rotate_after: 1d")
	f(Log{Common: good, MaxBytes: 1, KeepFiles: n(-1)}, "keep_files: -1 is out of range: write 0 to 1000 rotated files of each log")
	f(Log{Common: good, MaxBytes: 1, Rotate: "copy"}, `rotate: "copy" is not known: write copy_truncate or rename`)
	f(Log{Common: good, MaxBytes: 1, Rotate: RotateRename}, "signal: is missing: write the signal at which the program opens its logs anew, such as SIGUSR1, or write rotate: copy_truncate")
	f(Log{Common: good, MaxBytes: 1, Signal: "SIGUSR1"}, "signal: is for rotate: rename: remove the key, or write that")
	day := units.Duration(24 * time.Hour)
	f(Log{Common: good, Every: day, DateExt: true})
	f(Log{Common: good, SelfDated: true, MaxAge: day})
	f(Log{Common: good, MaxBytes: 1, RotateAfter: day, OldDir: "old"})
	f(Log{Common: good, RotateAfter: units.Duration(time.Second)}, "rotate_after: 1s is too often: write at least 1m")
	f(Log{Common: good, RotateAfter: day / 2, DateExt: true}, "rotate_after: 12h is less than the day that date_ext names: write at least 1d, or remove date_ext")
	f(Log{Common: good, RotateAfter: day, KeepFiles: n(0)}, "keep_files: 0 leaves nothing that says when a log was last rotated, as rotate_after needs it: write at least 1")
	f(Log{Common: good, RotateAfter: 2 * day, MaxAge: day}, "max_age: 1d is less than rotate_after, so that nothing would say when a log was last rotated: write at least 2d")
	for _, dir := range []string{"/srv/old", "a/b", "..", HoldingName} {
		f(Log{Common: good, MaxBytes: 1, OldDir: dir}, `olddir: "`+dir+`" is not the name of a folder next to the log: write one such as old, which is made where it is missing`)
	}
	linked := good
	linked.Links = LinksRemove
	f(Log{Common: linked, MaxBytes: 1}, "links: a log with several hard links is never rotated: remove the key")
}
