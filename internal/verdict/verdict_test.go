package verdict

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestJudge is the table of situations: what is said, or that nothing is.
func TestJudge(t *testing.T) {
	noise := func(c curve, by float64) curve { return noisy(c, rand.New(rand.NewPCG(1, 2)), by) }
	with := func(in Input, change func(*Input)) Input {
		change(&in)
		return in
	}
	resident := func(in *Input, c curve) { in.Resident = points(400, 2*time.Hour, c) }
	folder := func(c curve, change func(*Folder)) Input {
		f := Folder{Kind: "cache", Name: "tts", Unit: "files", Count: points(120, 2*time.Hour, c)}
		change(&f)
		return Input{Start: begin, Folders: []Folder{f}}
	}
	none := func(*Folder) {}
	for _, tt := range []struct {
		name string
		in   Input
		want string // "" = no verdict
	}{
		{"nothing is known", Input{}, ""},
		{
			"a slow leak under a saw-tooth", heapOf(saw(ramp(240*mib, 270*mib), 60*mib, 30)),
			"A leak in the heap: live memory after each collection grows by 15MiB/h since the start at 18:02 (29 collections of go, 243MiB to 271MiB); nothing was captured that shows what it is",
		},
		{
			"and captures name it", with(heapOf(saw(ramp(240*mib, 270*mib), 60*mib, 30)), func(in *Input) { in.Evidence = culprit }),
			"A leak in the heap: live memory after each collection grows by 15MiB/h since the start at 18:02 (29 collections of go, 243MiB to 271MiB); 71% of it is rememberSession src/server.js:42",
		},
		{"and captures name none", with(heapOf(saw(ramp(240*mib, 270*mib), 60*mib, 30)), func(in *Input) {
			in.Evidence = &Evidence{Captures: 2, Why: "not known yet: 2 captures of this start"}
		}), "A leak in the heap: live memory after each collection grows by 15MiB/h since the start at 18:02 (29 collections of go, 243MiB to 271MiB); what leaks is not known yet: 2 captures of this start"},
		{"and captures see it come and go", with(heapOf(saw(ramp(240*mib, 270*mib), 60*mib, 30)), func(in *Input) {
			in.Evidence = &Evidence{Captures: 6, Why: "f grew, and was smaller in between: it may come and go"}
		}), "A leak in the heap: live memory after each collection grows by 15MiB/h since the start at 18:02 (29 collections of go, 243MiB to 271MiB); by the captures, f grew, and was smaller in between: it may come and go"},
		{"a saw-tooth", heapOf(saw(flat(100*mib), 60*mib, 30)), ""},
		{"a noisy saw-tooth", heapOf(noise(saw(flat(100*mib), 60*mib, 30), 4*mib)), ""},
		{
			"a noisy leak", heapOf(noise(saw(ramp(100*mib, 160*mib), 80*mib, 40), 4*mib)),
			"A leak in the heap: live memory after each collection grows by 34.2MiB/h since the start at 18:02 (39 collections of go, 100MiB to 166MiB); nothing was captured that shows what it is",
		},
		{"a rise that is too small to matter", heapOf(saw(ramp(1000*mib, 1030*mib), 60*mib, 300)), ""},
		{"native memory that hardly grows", with(heapOf(flat(100*mib)), func(in *Input) { resident(in, ramp(1000*mib, 1030*mib)) }), ""},
		{"a step", heapOf(saw(step(100*mib, 160*mib, .5), 60*mib, 40)), ""},
		{"an early step", heapOf(saw(step(100*mib, 160*mib, .2), 60*mib, 40)), ""},
		{"a late step", heapOf(saw(step(100*mib, 160*mib, .8), 60*mib, 40)), ""},
		{"growth at the start, and then none", heapOf(saw(warm(40*mib, 160*mib, .1), 60*mib, 40)), ""},
		{"a cache that breathes", heapOf(saw(wave(100*mib, 160*mib, 3), 60*mib, 40)), ""},
		{"a cache that breathes slowly", heapOf(saw(wave(100*mib, 160*mib, 1), 60*mib, 40)), ""},
		{"falling", heapOf(saw(ramp(160*mib, 100*mib), 60*mib, 40)), ""},
		{
			"a leak that begins late", heapOf(saw(later(ramp(100*mib, 140*mib), .6), 60*mib, 60)),
			"A leak in the heap: live memory after each collection grows by 48.1MiB/h since 19:04 (29 collections of go, 95MiB to 140MiB); nothing was captured that shows what it is",
		},
		{
			"few collections", heapOf(saw(ramp(100*mib, 200*mib), 60*mib, 5)),
			"Not known yet: the heap of go grows, and there were 4 collections since the start at 18:02; it takes 8 to say whether it leaks",
		},
		{
			"no collection", heapOf(ramp(100*mib, 150*mib)),
			"Not known yet: the heap of go grows, and there were 0 collections since the start at 18:02; it takes 8 to say whether it leaks",
		},
		{"an idle heap", heapOf(flat(100 * mib)), ""},
		{
			"young collections only, as before a full one", youngOf(young(flat(100*mib), 16*mib, 60*mib, 40, .99)),
			"Not known yet: what collections of node leave behind grows by 29.9MiB/h since the start at 18:02 (102MiB to 158MiB), which may be garbage that only a full collection takes: 0 of 39 seem to have been full, and a verdict takes 8 of these, or captures that name what leaks",
		},
		{
			"the same, and captures name what leaks", with(youngOf(young(flat(100*mib), 16*mib, 60*mib, 40, .99)), func(in *Input) { in.Evidence = culprit }),
			"A leak in the heap: live memory after each collection grows by 29.9MiB/h since the start at 18:02 (39 collections of node, 102MiB to 158MiB); 71% of it is rememberSession src/server.js:42",
		},
		{"young collections between full ones", youngOf(young(flat(100*mib), 16*mib, 60*mib, 120, 30)), ""},
		{
			"a leak under young collections and full ones", youngOf(young(ramp(100*mib, 140*mib), 16*mib, 60*mib, 240, 20)),
			"A leak in the heap: live memory after each collection grows by 21.2MiB/h since the start at 18:02 (174 collections of node, 102MiB to 143MiB); nothing was captured that shows what it is",
		},
		{
			"a leak too fast for the full ones to show", youngOf(young(ramp(100*mib, 240*mib), 16*mib, 40*mib, 240, 20)),
			"Not known yet: what collections of node leave behind grows by 71.2MiB/h since the start at 18:02 (96.7MiB to 232MiB), which may be garbage that only a full collection takes: 0 of 133 seem to have been full, and a verdict takes 8 of these, or captures that name what leaks",
		},
		{
			"a heap with generations that is several times as large", youngOf(young(ramp(50*mib, 450*mib), 16*mib, 40*mib, 120, 30)),
			"A leak in the heap: live memory after each collection grows by 200MiB/h since the start at 18:02 (32 collections of node, 59.3MiB to 442MiB); nothing was captured that shows what it is",
		},
		{
			"a fast leak of which collections take little", heapOf(saw(ramp(50*mib, 450*mib), 60*mib, 40)),
			"A leak in the heap: live memory after each collection grows by 203MiB/h since the start at 18:02 (39 collections of go, 65.3MiB to 452MiB); nothing was captured that shows what it is",
		},
		{
			"the runtime says what collections left", liveOf(points(40, 2*time.Hour, func(x float64) float64 { return ramp(100*mib, 150*mib)(x) + step(80*mib, 0, .1)(x) })),
			"A leak in the heap: live memory after each collection grows by 25MiB/h since 18:14 (36 collections of jvm, 106MiB to 151MiB); nothing was captured that shows what it is",
		},
		{
			"the runtime has not collected the whole heap yet", liveOf(points(40, 2*time.Hour, ramp(100*mib, 150*mib))),
			"Not known yet: the heap of jvm grows, and there were 0 collections since the start at 18:02; it takes 8 to say whether it leaks",
		},
		{
			"captures alone",
			Input{Evidence: culprit},
			"A leak in the heap: rememberSession src/server.js:42 holds 30MiB more than at 18:02, after a full collection at each of 6 captures; 71% of the growth",
		},
		{
			"captures of types with their garbage",
			Input{Evidence: &Evidence{From: begin, To: begin, Captures: 5, Culprit: "app.Session", Bytes: 3 << 20, Objects: 1000}},
			"A leak in the heap: what lives of it grew by 3MiB since 18:02 (5 captures); it is app.Session, +1000 instances",
		},
		{
			"captures of a JVM alone",
			Input{Evidence: &Evidence{From: begin, To: begin, Captures: 5, Full: true, Culprit: "Session", Bytes: 3 << 20, Objects: 1000}},
			"A leak in the heap: what lives of it after a full collection grew by 3MiB since 18:02 (5 captures); it is Session, +1000 instances",
		},
		{"a restart: the heap of before is not there", Input{Start: begin.Add(110 * time.Minute), Heaps: []Heap{{Runtime: "go", Used: points(400, 2*time.Hour, saw(ramp(100*mib, 190*mib), 60*mib, 40))[380:]}}}, ""},
		{
			"not the heap", with(heapOf(saw(flat(100*mib), 20*mib, 40)), func(in *Input) { resident(in, ramp(200*mib, 280*mib)); in.Mapped = new(30 * mib) }),
			"Not the heap: resident memory grew by 80MiB since the start at 18:02 (40MiB/h), the heap by 1.5MiB; anonymous memory outside it (native memory, buffers): files and shared memory are only 30MiB",
		},
		{
			"not the heap but files", with(heapOf(saw(flat(10*mib), 5*mib, 40)), func(in *Input) { resident(in, ramp(200*mib, 280*mib)); in.Anonymous = new(30 * mib) }),
			"Not the heap: resident memory grew by 80MiB since the start at 18:02 (40MiB/h), the heap by 372KiB; files or shared memory that are mapped: anonymous memory is only 30MiB",
		},
		{
			"not the heap, and no more is known", with(heapOf(saw(flat(100*mib), 20*mib, 40)), func(in *Input) { resident(in, ramp(200*mib, 280*mib)) }),
			"Not the heap: resident memory grew by 80MiB since the start at 18:02 (40MiB/h), the heap by 1.5MiB; memory outside it",
		},
		{"resident memory follows the heap, which is a saw", with(heapOf(saw(flat(100*mib), 60*mib, 40)), func(in *Input) { resident(in, flat(200*mib)) }), ""},
		{
			"resident memory grows with the heap", with(heapOf(ramp(100*mib, 150*mib)), func(in *Input) { resident(in, ramp(200*mib, 260*mib)) }),
			"Not known yet: the heap of go grows, and there were 0 collections since the start at 18:02; it takes 8 to say whether it leaks",
		},
		{
			"one-sided: no heap is read", with(Input{Start: begin}, func(in *Input) { resident(in, ramp(200*mib, 280*mib)) }),
			"Not known yet: resident memory grows by 40MiB/h since the start at 18:02 (200MiB to 280MiB), and no heap is read that would show whether it is the cause",
		},
		{
			"one-sided: the heap is read since a while", with(heapOf(flat(100*mib)), func(in *Input) { resident(in, ramp(200*mib, 280*mib)); in.Heaps[0].Used = in.Heaps[0].Used[300:] }),
			"Not known yet: resident memory grows by 40MiB/h since the start at 18:02 (200MiB to 280MiB), and the heap was not read all that time",
		},
		{"a cache folder that fills", folder(ramp(100, 5000), none), "The cache folder tts fills at 41 files/min since the start at 18:02 (100 to 5000)"},
		{
			"with files that are empty", folder(ramp(100, 5000), func(f *Folder) { f.Empty = new(4400.0) }),
			"The cache folder tts fills at 41 files/min since the start at 18:02 (100 to 5000); 4400 of the present ones are empty",
		},
		{
			"with its shape", folder(ramp(100, 5000), func(f *Folder) { f.Shape = &Shape{"tts-*.wav", .88, true, begin, begin.Add(2 * time.Hour)} }),
			"The cache folder tts fills at 41 files/min since the start at 18:02 (100 to 5000); 88% of the new files are tts-*.wav, empty",
		},
		{
			"with its shape of a shorter time", folder(ramp(100, 5000), func(f *Folder) {
				f.Shape = &Shape{"tts-*.wav", .88, false, begin.Add(time.Hour), begin.Add(2 * time.Hour)}
			}),
			"The cache folder tts fills at 41 files/min since the start at 18:02 (100 to 5000); 88% of the files added since 19:02 are tts-*.wav",
		},
		{
			"with its shape of another time", folder(ramp(100, 5000), func(f *Folder) { f.Shape = &Shape{"tts-*.wav", .88, false, begin.Add(-time.Hour), begin} }),
			"The cache folder tts fills at 41 files/min since the start at 18:02 (100 to 5000)",
		},
		{"a folder that is cleaned up", folder(saw(flat(100), 900, 6), none), ""},
		{"a folder that was filled once", folder(step(100, 900, .4), none), ""},
		{"a folder that fills slowly", folder(ramp(100, 150), none), "The cache folder tts fills at 25 files/h since the start at 18:02 (100 to 150)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Judge(&tt.in)
			if tt.want == "" {
				if len(got) != 0 {
					t.Errorf("said %q, want nothing", got[0].Text)
				}
				return
			}
			if len(got) != 1 || got[0].Text != tt.want {
				t.Errorf("said\n%+v, want\n%s", got, tt.want)
				return
			}
			if len(got[0].Numbers) == 0 || got[0].About == "" {
				t.Errorf("%+v names no numbers", got[0])
			}
		})
	}
}
