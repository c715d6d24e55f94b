package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

// states is a journal's state in memory.
type states struct {
	kept map[string][]byte
	err  error
}

func (s *states) State(key string) ([]byte, error) { return s.kept[key], s.err }

func (s *states) PutState(_ context.Context, key string, value []byte) error {
	if s.err == nil {
		s.kept[key] = value
	}
	return s.err
}

func openStore(s *states) *Store { return NewStore(func() State { return s }) }

// add keeps a capture of a number of rows.
func add(t *testing.T, s *Store, minute, keep, rows int, epoch string) {
	t.Helper()
	sizes := make(map[string]int64)
	for i := range rows {
		sizes[fmt.Sprintf("f%d-%x", i, uint64(i+1)*uint64(minute+7)*0x9e3779b97f4a7c15)] = int64(i+1) * 1000
	}
	p := at(minute, 0, sizes)
	p.Epoch = epoch
	if err := s.Add(t.Context(), &p, keep); err != nil {
		t.Fatal(err)
	}
}

// TestStoreIsBounded: the oldest go first, and the first of the present start stays.
func TestStoreIsBounded(t *testing.T) {
	kept := &states{kept: make(map[string][]byte)}
	s := openStore(kept)
	minutes := func() (out []int) {
		t.Helper()
		all, err := openStore(kept).All("t") // as after a restart
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			out = append(out, p.Time.Minute())
		}
		return out
	}
	for i := range 4 {
		add(t, s, i, 6, 3, "1")
	}
	for i := range 8 {
		add(t, s, 10+i, 6, 3, "2")
	}
	if got, want := fmt.Sprint(minutes()), "[10 13 14 15 16 17]"; got != want {
		t.Errorf("kept the captures of %s, want %s", got, want)
	}
	var many []Profile
	for i := range 240 {
		p := at(i/5, 0, nil)
		for k := range mostRows {
			p.Rows = append(p.Rows, Row{Name: fmt.Sprintf("%x%x", uint64(i*1000+k+1)*0x9e3779b97f4a7c15, uint64(i*7919+k+1)*0xbf58476d1ce4e5b9), Bytes: int64(k)})
		}
		many = append(many, p)
	}
	raw, err := pack(many)
	if err != nil || len(raw) < maxPacked {
		t.Fatalf("%d bytes, %v: not enough to be too much", len(raw), err)
	}
	kept.kept["evidence/t"] = raw
	s = openStore(kept)
	add(t, s, 55, mostKept, 3, "1")
	if n := len(kept.kept["evidence/t"]); n > maxPacked || n < maxPacked/2 {
		t.Errorf("%d bytes, want at most %d, and well used", n, maxPacked)
	}
}

func TestStoreIDs(t *testing.T) {
	s := openStore(&states{kept: make(map[string][]byte)})
	for range 3 {
		add(t, s, 1, 10, 1, "1")
	}
	all, _ := s.All("t")
	if all[0].ID == all[1].ID || all[1].ID == all[2].ID || !strings.HasPrefix(all[0].ID, "20260102T000100") {
		t.Errorf("%s, %s, %s", all[0].ID, all[1].ID, all[2].ID)
	}
	if got := Comparable(all, &all[2]); len(got) != 2 {
		t.Errorf("%d captures can be compared, want the two others", len(got))
	}
}

// TestStoreWithoutJournal: what cannot be written is kept in memory, and said.
func TestStoreWithoutJournal(t *testing.T) {
	broken := &states{err: errors.New("no space")}
	s := openStore(broken)
	p := at(1, 0, map[string]int64{"f": 1})
	if err := s.Add(t.Context(), &p, 10); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("%v", err)
	}
	broken.err = nil
	if all, err := s.All("t"); len(all) != 1 || err != nil {
		t.Errorf("%d, %v", len(all), err)
	}
	spoilt := openStore(&states{kept: map[string][]byte{"evidence/t": []byte("nonsense")}})
	if _, err := spoilt.All("t"); err == nil {
		t.Error("nonsense was read")
	}
	if err := spoilt.Add(t.Context(), &p, 10); err == nil {
		t.Error("that it was begun anew is not said")
	}
	if all, err := spoilt.All("t"); len(all) != 1 || err != nil {
		t.Errorf("begun anew: %d, %v", len(all), err)
	}
}

// TestPprof: the form is what the library of pprof reads, with what grew where a base is subtracted.
func TestPprof(t *testing.T) {
	a, b := at(0, 512<<10, map[string]int64{"leak": 10, "cache": 50}), at(1, 512<<10, map[string]int64{"leak": 110, "cache": 20})
	f := func(base *Profile, want string) {
		t.Helper()
		var out bytes.Buffer
		if err := WritePprof(&out, &b, base); err != nil {
			t.Fatal(err)
		}
		p, err := profile.Parse(&out)
		if err != nil || p.CheckValid() != nil {
			t.Fatal(err, p.CheckValid())
		}
		got := make(map[string]int64)
		for _, s := range p.Sample {
			got[s.Location[0].Line[0].Function.Name] += s.Value[1]
		}
		if fmt.Sprint(got) != want || p.DefaultSampleType != "space" {
			t.Errorf("%v, want %s", got, want)
		}
	}
	f(nil, "map[cache:20 leak:110]")
	f(&a, "map[cache:-30 leak:100]")
}

func TestPlace(t *testing.T) {
	f := func(name, file string, line int, want string) {
		t.Helper()
		if got := Place(name, file, line); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	f("rememberSession", "src/server.js", 42, "rememberSession src/server.js:42")
	f("example.org/a/leak.(*Service).remember", "leak/leak.go", 7, "leak.(*Service).remember leak/leak.go:7")
	f("example.org/a/leak.Keep[example.org/b/c.T]", "leak/leak.go", 7, "leak.Keep[example.org/b/c.T] leak/leak.go:7")
	f("[anonymous]/x", "a.js", 0, "[anonymous]/x a.js")
	f("com/example/Session", "", 0, "com/example/Session")
}

func TestWords(t *testing.T) {
	f := func(want string, d Difference) {
		t.Helper()
		if got := d.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	from := time.Date(2026, 1, 2, 2, 10, 0, 0, time.UTC)
	row := Growth{Name: "rememberSession", File: "server.js", Line: 42, Bytes: 128 << 20, Share: 0.71, Sure: true}
	d := Difference{From: from, To: from.Add(time.Hour), After: 180 << 20, Rows: []Growth{row}, Culprit: &row}
	f("+180MiB since 02:10: rememberSession server.js:42, 71% of the growth", d)
	d.To = from.Add(48 * time.Hour)
	f("+180MiB since 2026-01-02 02:10: rememberSession server.js:42, 71% of the growth", d)
	d.Culprit, d.Why = nil, "not known yet: 2 captures"
	f("+180MiB since 2026-01-02 02:10: rememberSession server.js:42, 71% of the growth (not known yet: 2 captures)", d)
	d.Kind, d.Rows = KindClass, []Growth{{Name: "Session", Bytes: 1, Objects: 1000, Sure: true}}
	f("+180MiB since 2026-01-02 02:10: Session, +1000 instances (not known yet: 2 captures)", d)
	d.Rows[0].Sure = false
	f("+180MiB since 2026-01-02 02:10: no row grew by more than the error of the measurement", d)
	d.Rows = nil
	f("", d)
}
