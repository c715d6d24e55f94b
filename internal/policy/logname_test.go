package policy

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Every daily name that a rotation gives is read back as what it was.
func TestDailyNames(t *testing.T) {
	daily := Naming{Daily: true}
	rapid.Check(t, func(t *rapid.T) {
		log := rapid.StringMatching(`[a-z.\-]{1,20}`).Draw(t, "log")
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0)
		serial := rapid.IntRange(1, 2000).Draw(t, "serial")
		compressed := rapid.Bool().Draw(t, "compressed")
		name := daily.Rotated(log, at, serial, compressed)
		r, ok := daily.Parse([]byte(name))
		known := r.Known()
		if !ok || string(r.Log) != log || r.Serial != serial || r.Compressed != compressed || r.At.After(at) || !known.After(at) || known.Sub(r.At) > 25*time.Hour {
			t.Fatalf("%q: %+v, %v", name, r, ok)
		}
		if _, ok := ParseRotated([]byte(name)); ok {
			t.Fatalf("%q is taken for a name with a time", name)
		}
	})
}

func TestSelfDatedNames(t *testing.T) {
	own := Naming{SelfDated: true}
	f := func(name, log string, serial int) {
		t.Helper()
		r, ok := own.Parse([]byte(name))
		if !ok || !r.Own || string(r.Log) != log || r.Serial != serial || !r.At.Equal(time.Date(2026, 11, 29, 0, 0, 0, 0, time.Local)) {
			t.Errorf("%q: %+v (%s), %v", name, r, r.Log, ok)
		}
	}
	f("catalina.2026-11-29.log", "catalina.*.log", 0)
	f("localhost_access_log.2026-11-29.txt", "localhost_access_log.*.txt", 0)
	f("app-20261129.3.log", "app-*.log", 3)
	f("app_2026_11_29.log.gz", "app_*.log", 0)
	f("access_log.2026-11-29-15", "access_log.*", 15)
	f("20261129.log", "*.log", 0)
	f("app.log-2026-11-29_10.2", "app.log-*", 10_000_002)
	for _, other := range []string{
		"app.log", "2026-11-29", "app.2026-13-29.log", "app.120261129.log", "app.2026112.log", "app.202611291.log", "app.2026-1129.log", "id-99991129.log",
	} {
		if r, ok := own.Parse([]byte(other)); ok {
			t.Errorf("%q is taken for %+v (%s)", other, r, r.Log)
		}
	}
	if r, ok := own.Parse([]byte("app.log.20260102T150405Z")); !ok || r.Own {
		t.Errorf("a rotated log is taken for %+v", r)
	}
	if _, ok := (Naming{}).Parse([]byte("catalina.2026-11-29.log")); ok {
		t.Error("a self-dated file is recognised without the key")
	}
}

// FuzzParse: no name is taken for a rotated log of no name, whatever names are recognised.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"app.log.20260102T150405Z-2.gz", "a-20260102", "a-20260102-2.gz", "catalina.2026-11-29.log", "a.2026-11-29.1.2.3.4.5"} {
		f.Add([]byte(s), true, true)
	}
	f.Fuzz(func(t *testing.T, name []byte, daily, own bool) {
		n := Naming{daily, own}
		r, ok := n.Parse(name)
		switch {
		case !ok:
		case len(r.Log) == 0:
			t.Fatalf("%q is read as %+v", name, r)
		case !r.Own && r.Day == daily && n.Rotated(string(r.Log), r.At, r.Serial, r.Compressed) != string(name):
			t.Fatalf("%q is read as %+v", name, r)
		case r.Own && !bytes.Contains(r.Log, []byte("*")):
			t.Fatalf("%q is read as a file of %q", name, r.Log)
		}
	})
}

// The newest self-dated file, and those of a day that goes on, are what is written to.
func TestTallyOfSelfDatedFiles(t *testing.T) {
	l := &Log{SelfDated: true, KeepFiles: new(int64(1)), MaxAge: units.Duration(72 * time.Hour)}
	day := func(n int) time.Time { return time.Date(2026, 11, 29-n, 0, 0, 0, 0, time.Local) }
	at := day(0).Add(10 * time.Hour)
	tally := NewTally(l)
	for i, r := range []Rotation{
		{Log: []byte("a"), At: day(0), Serial: 2},
		{Log: []byte("a"), At: day(0), Serial: 1},
		{Log: []byte("a"), At: day(1)},
		{Log: []byte("a"), At: day(2)},
		{Log: []byte("b"), At: day(90)},
		{Log: []byte("b"), At: day(91)},
	} {
		r.Day, r.Own = true, true
		if n, ok := tally.Add(nil, r, false); n != i || !ok {
			t.Fatal(n, ok)
		}
	}
	got := make(map[int]Verdict)
	for _, d := range tally.Due(at) {
		got[d.Index] = d.Why
	}
	if len(got) != 2 || got[3] != Surplus || got[5] != Expired {
		t.Errorf("due: %v", got)
	}
	for i, want := range []bool{true, true, false, false, true, false} {
		if tally.Current(i) != want {
			t.Errorf("file %d is written to: %v", i, !want)
		}
	}
}

func TestAged(t *testing.T) {
	born := func(at time.Time) func() time.Time { return func() time.Time { return at } }
	noon := time.Date(2026, 11, 29, 12, 0, 0, 0, time.Local)
	f := func(name string, l Log, last *Rotation, made, now time.Time, want bool) {
		t.Helper()
		latest := NewLatest(&l)
		latest.Add([]byte("sub/"), &Rotation{Log: []byte("app.log"), At: noon.AddDate(-1, 0, 0)})
		latest.Add([]byte("other/"), &Rotation{Log: []byte("app.log"), At: noon.AddDate(1, 0, 0)})
		folder := []byte("new/")
		if last != nil {
			last.Log, folder = []byte("app.log"), []byte("sub/")
			latest.Add(folder, last)
		}
		if got := latest.Aged(folder, []byte("app.log"), now, born(made)); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	day := 24 * time.Hour
	hourly, daily := Log{RotateAfter: units.Duration(time.Hour)}, Log{RotateAfter: units.Duration(day), DateExt: true}
	f("an hour since", hourly, &Rotation{At: noon}, time.Time{}, noon.Add(time.Hour), true)
	f("less than an hour", hourly, &Rotation{At: noon}, time.Time{}, noon.Add(50*time.Minute), false)
	f("a schedule that is early by a moment", hourly, &Rotation{At: noon}, time.Time{}, noon.Add(time.Hour-time.Second), true)
	f("never, and young", hourly, nil, noon, noon.Add(time.Minute), false)
	f("never, and old", hourly, nil, noon, noon.Add(time.Hour), true)
	f("never, and nothing known", hourly, nil, time.Time{}, noon, true)
	midnight := time.Date(2026, 11, 29, 0, 0, 0, 0, time.Local)
	f("today", daily, &Rotation{At: midnight, Day: true}, time.Time{}, noon.Add(11*time.Hour), false)
	f("the next day", daily, &Rotation{At: midnight, Day: true}, time.Time{}, midnight.AddDate(0, 0, 1), true)
	f("made today", daily, nil, noon, noon.Add(11*time.Hour), false)
	f("made yesterday", daily, nil, noon, midnight.AddDate(0, 0, 1), true)
	weekly := daily
	weekly.RotateAfter *= 7
	f("a week less a day", weekly, &Rotation{At: midnight, Day: true}, time.Time{}, midnight.AddDate(0, 0, 6), false)
	f("a week", weekly, &Rotation{At: midnight, Day: true}, time.Time{}, midnight.AddDate(0, 0, 7), true)
}

// Of more logs than are remembered the others are not rotated again and again.
func TestLatestIsFull(t *testing.T) {
	latest := NewLatest(&Log{RotateAfter: units.Duration(time.Hour)})
	for i := range maxTally + 1 {
		latest.Add(nil, &Rotation{Log: []byte{byte(i), byte(i >> 8)}, At: now})
	}
	if latest.Aged(nil, []byte{byte(maxTally & 0xff), byte(maxTally >> 8)}, now, func() time.Time { return now.AddDate(-1, 0, 0) }) {
		t.Error("a log that there was no room for is rotated by age")
	}
}
