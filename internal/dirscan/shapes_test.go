package dirscan

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestShapeOfNames(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		if got := string(appendShape(make([]byte, 0, mostShapeBytes), []byte(name))); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	f("tts-12345.wav", "tts-*.wav")
	f("tts-7.mp3", "tts-*.mp3")
	f("clip.mp4", "clip.mp4")
	f("3f2504e0-4f89-11d3-9a0c-0305e82c3301.json", "*.json")
	f("render-abcdefab-abcd-abcd-abcd-abcdefabcdef.png", "render-*.png")
	f("app-2026-11-29.log", "app-*.log")
	f("app.log.14", "app.log.*")
	f("app.log.1.gz", "app.log.*.gz")
	f("img042_small.jpeg", "img*_small.jpeg")
	f("d41d8cd98f00b204e9800998ecf8427e", "*")
	f("DEADBEEFDEADBEEFDEAD.tmp", "*.tmp")
	f("facade.css", "facade.css")
	f("core.4711", "core.*")
	f("v2.7z", "v*.7z")
	f("", "")
	f("....", "....")
	f("ünïcode-1", "ünïcode-*")
	long := string(slices.Repeat([]byte("x9"), 300))
	if got := appendShape(make([]byte, 0, mostShapeBytes), []byte(long)); len(got) > mostShapeBytes {
		t.Errorf("%d bytes of a long name", len(got))
	}
}

// plainDir is a folder whose path has no link in it.
func plainDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestShapesOfAFolder: by the first folder, with one walker and with two.
func TestShapesOfAFolder(t *testing.T) {
	dir := plainDir(t)
	put := func(name string, size int) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		put(fmt.Sprintf("tts/day%d/part/line-%d.wav", i%5, i), 100)
		put(fmt.Sprintf("out-%d/%04x-%d.json", i%10, 0xabcd0000+i, i), 10)
		put(fmt.Sprintf("%d.tmp", i), 0)
	}
	want := []Shape{{"tts/line-*.wav", 50, 5000, false}, {"*.tmp", 50, 0, false}, {"out-*/*.json", 50, 500, false}}
	var shapes Shapes
	for _, workers := range []int{1, 2, 4} {
		shapes.Reset()
		if _, err := Scan(t.Context(), Options{Dir: dir, Recursive: true, Shapes: &shapes, Workers: workers}); err != nil {
			t.Fatal(err)
		}
		if got := shapes.Top(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d workers: %v, want %v", workers, got, want)
		}
	}
}

// TestShapesAreBounded: what is frequent or large is kept among a hundred thousand names that are all different.
func TestShapesAreBounded(t *testing.T) {
	var s Shapes
	root := &Folder{}
	word := func(i int) string {
		out := []byte("zzzz")
		for k := range out {
			out[k] = byte('g' + i%20)
			i /= 20
		}
		return string(out)
	}
	for i := range 100_000 {
		s.Add(&Entry{Parent: root, Name: []byte(word(i))})
		if i%50 == 0 {
			s.Add(&Entry{Parent: root, Name: fmt.Appendf(nil, "tts-%d.wav", i), SizeBytes: 1000})
		}
		if i%10_000 == 0 {
			s.Add(&Entry{Parent: root, Name: fmt.Appendf(nil, "video-%d.mkv", i), SizeBytes: 1 << 30})
		}
	}
	top := s.Top()
	if len(top) != mostShapes || top[0].Name != "video-*.mkv" || top[0].Files != 10 || top[0].Bytes != 10<<30 {
		t.Errorf("%d shapes, the first %+v", len(top), top[0])
	}
	if i := slices.IndexFunc(top, func(s Shape) bool { return s.Name == "tts-*.wav" }); i != 1 || top[i].Files < 1900 {
		t.Errorf("at %d: %+v", i, top[:3])
	}
}

// TestShapesOfManyFiles: of many files a part is looked at, the same one each time, and what is large counts whole.
func TestShapesOfManyFiles(t *testing.T) {
	root := &Folder{}
	look := func(files int) []Shape {
		s := Shapes{Files: 60_000}
		for i := range files {
			s.Add(&Entry{Parent: root, Ino: uint64(1000 + i), Name: fmt.Appendf(nil, "tts-%d.wav", i), SizeBytes: 100})
		}
		s.Add(&Entry{Parent: root, Ino: 7, Name: []byte("movie.mkv"), SizeBytes: 5 << 30})
		return s.Top()
	}
	before, after := look(60_000), look(66_000)
	if before[0] != (Shape{"movie.mkv", 1, 5 << 30, false}) || before[1].Files < 57_000 || before[1].Files > 63_000 {
		t.Errorf("%+v", before)
	}
	if grown := after[1].Files - before[1].Files; grown < 5_000 || grown > 7_000 || after[1].Bytes != 100*after[1].Files {
		t.Errorf("%d more files of 6000: %+v", grown, after)
	}
}

func FuzzShape(f *testing.F) {
	f.Add([]byte("tts-12345.wav"))
	f.Add([]byte("3f2504e0-4f89-11d3-9a0c-0305e82c3301.json"))
	f.Fuzz(func(t *testing.T, name []byte) {
		var s Shapes
		root := &Folder{}
		s.Add(&Entry{Parent: &Folder{parent: root, name: name, serial: 1}, Name: name, SizeBytes: 5})
		if top := s.Top(); len(top) != 1 || len(top[0].Name) > mostShapeBytes || top[0].Bytes != 5 {
			t.Errorf("%q: %+v", name, top)
		}
	})
}

// BenchmarkScanShapes compares a scan with and without shapes in turn: the median of the ratios is what they cost.
func BenchmarkScanShapes(b *testing.B) {
	dir := plainDir(b)
	for i := range 20_000 {
		if i%100 == 0 {
			if err := os.Mkdir(fmt.Sprintf("%s/%d", dir, i/100), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(fmt.Sprintf("%s/%d/tts-%08x-%d.wav", dir, i/100, i*7919, i), nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	hist := &Histogram{}
	scan := func(b *testing.B, s *Shapes) float64 {
		before := processorTime(b)
		*hist = Histogram{}
		if s != nil {
			s.Reset()
		}
		if res, err := Scan(b.Context(), Options{Dir: dir, Recursive: true, Ages: hist, Now: time.Now(), Shapes: s}); err != nil || res.Files != 20_000 {
			b.Fatal(res.Files, err)
		}
		return processorTime(b) - before
	}
	for _, files := range []int64{1000, 20_000, 100_000} {
		b.Run(fmt.Sprintf("as of %d files", files), func(b *testing.B) {
			shapes := &Shapes{Files: files}
			var ratios []float64
			for b.Loop() {
				var without, with float64
				if len(ratios)%2 == 0 {
					without, with = scan(b, nil), scan(b, shapes)
				} else {
					with, without = scan(b, shapes), scan(b, nil)
				}
				ratios = append(ratios, with/without)
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
		})
	}
}

// processorTime is that of the process in seconds: what else runs on the host does not count.
func processorTime(b *testing.B) float64 {
	b.Helper()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano()).Seconds()
}

// BenchmarkShapesAdd is what one file costs.
func BenchmarkShapesAdd(b *testing.B) {
	names := make([][]byte, 1024)
	for i := range names {
		names[i] = fmt.Appendf(nil, "tts-%08x-%d.wav", i*7919, i)
	}
	root := &Folder{}
	e := &Entry{Parent: &Folder{parent: root, name: []byte("day-12"), serial: 1}, SizeBytes: 100}
	var s Shapes
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e.Name = names[i%len(names)]
		s.Add(e)
	}
}
