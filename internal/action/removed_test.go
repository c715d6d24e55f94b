package action

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestRemovedIsBounded: whatever the names are, the message stays below 64 KiB, names the beginning and counts
// the rest.
func TestRemovedIsBounded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := new(Removed)
		n := rapid.IntRange(1, 3000).Draw(rt, "files")
		names := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 255), 1, 20).Draw(rt, "names")
		for i := range n {
			r.Note(&PolicyResult{Kind: "cache", Policy: fmt.Sprint(i % 3), Dir: "/srv"}, names[i%len(names)], "expired")
		}
		m := r.message()
		raw, err := json.Marshal(m)
		if err != nil || len(raw) > 64<<10 {
			rt.Fatalf("%d bytes, %v", len(raw), err)
		}
		var sum int64
		for _, p := range m.Policies {
			if named := int64(len(p.Names) + len(p.NamesBase64)); named+p.More != p.Files {
				rt.Fatalf("%d named and %d more of %d", named, p.More, p.Files)
			}
			sum += p.Files
		}
		if sum != int64(n) || m.Files != int64(n) || r.Noted() != int64(n) {
			rt.Fatalf("%d of %d files", sum, n)
		}
	})
}

// TestRemovedCountsTheRest: far more names than fit.
func TestRemovedCountsTheRest(t *testing.T) {
	r := new(Removed)
	var all sync.WaitGroup
	for range 4 { // an action that was left behind may still name files
		all.Go(func() {
			for i := range 5000 {
				r.Note(&PolicyResult{Kind: "temp", Policy: "p"}, fmt.Appendf(nil, "%s%d", strings.Repeat("d/", 20), i), "over_limit")
				r.message()
			}
		})
	}
	all.Wait()
	m := r.message()
	if p := m.Policies[0]; m.Files != 20_000 || p.More != 20_000-int64(len(p.Names)) || len(p.Names) < 500 {
		t.Errorf("%d files, %d named, %d more", m.Files, len(p.Names), p.More)
	}
}

// TestRotatedIsNotRemoved: what stays under another name is not reported as removed, and nothing is reported of nothing.
func TestRotatedIsNotRemoved(t *testing.T) {
	r := new(Removed)
	for _, why := range []string{whyRotated, whyCompressed, whyLeftOver} {
		r.Note(&PolicyResult{Kind: "log"}, []byte("app.log"), why)
	}
	raw, err := json.Marshal(newMessage(&Request{RunID: "r", Removed: r}))
	if err != nil || r.Noted() != 0 || strings.Contains(string(raw), "removed") {
		t.Errorf("%d files, %s, %v", r.Noted(), raw, err)
	}
	var none *Removed
	none.Note(&PolicyResult{}, []byte("x"), "expired")
	if none.Noted() != 0 || none.message() != nil {
		t.Error("nothing collects something")
	}
}

// TestRemovedEntries: an entry is one name, whatever it holds, and counts with all of its files.
func TestRemovedEntries(t *testing.T) {
	r := new(Removed)
	for name, files := range map[string]int64{"job/1": 120, "job/2": 0} {
		r.Note(&PolicyResult{Kind: "temp", Policy: "jobs", Entry: "dir", EntryFiles: &files}, []byte(name), "expired")
	}
	m := r.message()
	if p := m.Policies[0]; m.Files != 120 || p.Files != 120 || p.Entries != 2 || len(p.Names) != 2 || p.More != 0 || r.Noted() != 2 {
		t.Errorf("%+v, %d noted; want 2 entries with 120 files", m, r.Noted())
	}
	empty, none := new(Removed), int64(0)
	empty.Note(&PolicyResult{Kind: "temp", Policy: "jobs", Entry: "dir", EntryFiles: &none}, []byte("job"), "expired")
	if m := empty.message(); m == nil || m.Files != 0 || len(m.Policies[0].Names) != 1 {
		t.Errorf("of an entry without a file: %+v, want its name", m)
	}
	long := new(Removed)
	two := int64(2)
	for range 3000 {
		long.Note(&PolicyResult{Kind: "temp", Policy: "jobs", Entry: "dir", EntryFiles: &two}, []byte(strings.Repeat("d", 40)), "expired")
	}
	if p := long.message().Policies[0]; p.More != 3000-int64(len(p.Names)) || p.Files != 6000 || p.Entries != 3000 {
		t.Errorf("%d named, %d more, %d entries, %d files", len(p.Names), p.More, p.Entries, p.Files)
	}
}
