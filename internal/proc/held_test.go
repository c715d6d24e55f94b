package proc

import (
	"strings"
	"testing"
)

// TestHeldIsBounded: descriptors stay open up to the bound, beyond it a reading opens its own, and
// a release makes room once.
func TestHeldIsBounded(t *testing.T) {
	f := newFake(t)
	for pid := 10; pid < 13; pid++ {
		f.put(fakeProcess{pid: pid, resident: pid})
	}
	r, err := newReader(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	before := int(r.countSelf())
	h := held{most: 2}
	files := map[int32]*statmFile{}
	read := func(pid int32) {
		t.Helper()
		if files[pid] == nil {
			none := noStatm
			files[pid] = &none
		}
		b, err := h.read(r, pid, files[pid])
		if err != nil {
			t.Fatal(err)
		}
		if s, err := parseStatm(b); err != nil || s.resident != int64(pid) {
			t.Errorf("statm of %d is %q, %v", pid, b, err)
		}
	}
	expect := func(what string, open int, pids string) {
		t.Helper()
		var got []string
		for pid, name := range map[int32]string{10: "10", 11: "11", 12: "12"} {
			if f := files[pid]; f != nil && *f != noStatm && strings.Contains(pids, name) {
				got = append(got, name)
			}
		}
		if h.open != open || len(got) != open || int(r.countSelf()) != before+open {
			t.Errorf("%s: %d counted, %d descriptors, %v, want %d of %s", what, h.open, int(r.countSelf())-before, got, open, pids)
		}
	}
	for range 2 {
		read(10)
		read(11)
		read(12)
	}
	expect("with room for two", 2, "10 11")
	h.release(files[10])
	h.release(files[10])
	h.close()
	expect("one released, twice", 1, "11")
	read(12)
	read(10)
	expect("its room is taken by another", 2, "11 12")

	missing := noStatm
	h.release(files[11])
	h.close()
	if _, err := h.read(r, 99, &missing); err == nil || missing != noStatm || h.open != 1 {
		t.Errorf("no such process: %v, descriptor %d, %d counted", err, missing, h.open)
	}
	h.release(files[12])
	h.close()
	expect("all released", 0, "")
}
