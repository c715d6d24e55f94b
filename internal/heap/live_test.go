package heap

import (
	"os"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const mib = units.Bytes(1 << 20)

// reading is what a Serial virtual machine says: eden, survivors, old generation, full collections.
func reading(eden, survivors, old units.Bytes, full int64) *perfHeap {
	h := &perfHeap{stops: true, full: full}
	for i := range h.generations {
		for s := range h.generations[i].used {
			h.generations[i].used[s] = -1
		}
	}
	h.generations[0] = generation{capacity: int64(300 * mib), most: int64(300 * mib), used: h.generations[0].used}
	h.generations[1] = generation{capacity: int64(700 * mib), most: int64(700 * mib), used: h.generations[1].used}
	h.generations[0].used[0], h.generations[0].used[1], h.generations[1].used[0] = int64(eden), int64(survivors), int64(old)
	return h
}

// TestLiveHeap: a healthy heap is full before each collection, and is judged by what that leaves; one
// that leaks leaves more and more.
func TestLiveHeap(t *testing.T) {
	var l liveHeap
	f := func(what string, h *perfHeap, want units.Bytes) {
		t.Helper()
		if got := l.note(h); !got.OK || got.Bytes != want {
			t.Errorf("%s: live %v, want %s", what, got, want)
		}
	}
	f("before any full collection", reading(290*mib, 10*mib, 300*mib, 0), 310*mib)
	f("old fills with garbage", reading(100*mib, 10*mib, 690*mib, 0), 700*mib)
	f("a full collection", reading(5*mib, 0, 200*mib, 1), 200*mib)
	f("old fills again: the saw", reading(299*mib, 20*mib, 695*mib, 1), 200*mib)
	f("the next one", reading(50*mib, 0, 210*mib, 2), 210*mib)
	f("a leak: full again and again", reading(299*mib, 0, 699*mib, 9), 699*mib)
	f("it went by itself", reading(10*mib, 0, 100*mib, 10), 100*mib)
	var late liveHeap // the exporter was started after the last full collection
	if got := late.note(reading(10*mib, 10*mib, 600*mib, 7)); got.Bytes != 610*mib {
		t.Errorf("live %v, want all outside of eden: what the last full collection left was not seen", got)
	}
	if got := late.note(reading(10*mib, 0, 300*mib, 8)); got.Bytes != 300*mib {
		t.Errorf("live %v", got)
	}
}

// TestLiveOfRealCounters: Parallel says what lives; of G1 and ZGC, which collect while the program runs, it
// is not known.
func TestLiveOfRealCounters(t *testing.T) {
	for name, want := range map[string]bool{"hsperfdata-parallel": true, "hsperfdata-g1": false, "hsperfdata-z": false} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var h perfHeap
		if err := decodePerfData(data, &h); err != nil {
			t.Fatal(err)
		}
		var l liveHeap
		u, err := h.usage()
		if err != nil {
			t.Fatal(err)
		}
		got := l.note(&h)
		if got.OK != want || got.OK && got.Bytes > u.Used.Bytes {
			t.Errorf("%s: live %v of used %v, known %v wanted", name, got, u.Used, want)
		}
	}
}

func TestJudged(t *testing.T) {
	u := Usage{Used: Some(90 * mib), Live: Some(40 * mib), Limit: Some(100 * mib)}
	if r, ok := u.JudgedRatio(); r != .4 || !ok {
		t.Errorf("judged by %v", r)
	}
	u.Live = Amount{}
	if r, ok := u.JudgedRatio(); r != .9 || !ok {
		t.Errorf("judged by %v", r)
	}
}

// TestLiveOfRealMachine: while objects are made and dropped, used goes up to the limit, and what is live
// stays what is held; what is kept for good raises it.
func TestLiveOfRealMachine(t *testing.T) {
	for _, gc := range []string{"Parallel", "Serial"} {
		t.Run(gc, func(t *testing.T) {
			j := startJava(t, nil, "-XX:+Use"+gc+"GC", "-Xmx256m", "-Xms256m")
			c := jvmClient(t, newPool(t), j)
			read := func() Usage {
				t.Helper()
				u, err := c.Read(t.Context())
				if err != nil || !u.Live.OK {
					t.Fatalf("%v, live %v: %v", u, u.Live, err)
				}
				return u
			}
			read()
			j.run("keep", 40)
			j.run("gc", 0)
			read()
			// Kept, so that it comes to the old generation, and then dropped: garbage there.
			j.run("keep", 110)
			j.run("garbage", 60)
			j.run("drop", 0)
			if u := read(); u.Live.Bytes < 38*mib || u.Live.Bytes > 60*mib || u.Used.Bytes < u.Live.Bytes+60*mib {
				t.Errorf("%v, live %s, want the 40 MiB that the last full collection left", u, u.Live.Bytes)
			}
			j.run("keep", 150)
			j.run("gc", 0)
			if u := read(); u.Live.Bytes < 145*mib {
				t.Errorf("%v, live %s, want the 150 MiB that are held", u, u.Live.Bytes)
			}
		})
	}
}
