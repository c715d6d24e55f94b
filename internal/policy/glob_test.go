package policy

import (
	"errors"
	"path"
	"strings"
	"testing"
)

func TestGlobs(t *testing.T) {
	f := func(patterns []string, name string, want bool) {
		t.Helper()
		g, err := CompileGlobs(patterns)
		if err != nil {
			t.Fatalf("%q: %v", patterns, err)
		}
		if got := g.Match([]byte(name)); got != want {
			t.Errorf("%q on %q: %v, want %v", patterns, name, got, want)
		}
	}
	f(nil, "a", false)
	f([]string{"*"}, "anything\n\xff", true)
	f([]string{"*.wav"}, "a.wav", true)
	f([]string{"*.wav"}, ".wav", true)
	f([]string{"*.wav"}, "a.wav.part", false)
	f([]string{"*.wav", "*.mp3"}, "b.mp3", true)
	f([]string{"tts-*"}, "tts-", true)
	f([]string{"tts-*"}, "xtts-1", false)
	f([]string{".cache-index.json"}, ".cache-index.json", true)
	f([]string{".cache-index.json"}, "xcache-index.json", false)
	f([]string{"a*b*c"}, "a-b-b-c", true)
	f([]string{"[0-9]?.tmp"}, "7x.tmp", true)
	f([]string{"[^0-9]*"}, "7", false)
	f([]string{`\*`}, "*", true)
	f([]string{`\*`}, "a", false)
	f([]string{"**"}, "a", true)
	f([]string{"*a"}, "ba", true)
	f([]string{"?"}, "é", true)
	f([]string{"?"}, "\xff", true)
	f([]string{"*.wav"}, "\xff\xfe.wav", true)
}

func TestCompileGlobsRefuses(t *testing.T) {
	for _, bad := range []string{"[", "[a", "a[", `\`, "[]a]", "x[a-]", "[-]"} {
		if _, err := CompileGlobs([]string{"*", bad}); !errors.Is(err, path.ErrBadPattern) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v, want a bad pattern that names it", bad, err)
		}
	}
}

func TestGlobsAllocateNothing(t *testing.T) {
	g, err := CompileGlobs([]string{"a*b[0-9]", "*.wav", "x*", "literal"})
	if err != nil {
		t.Fatal(err)
	}
	name := []byte(strings.Repeat("a long name ", 20))
	if n := testing.AllocsPerRun(100, func() { g.Match(name) }); n > 0 {
		t.Errorf("%v allocations for a name", n)
	}
}

// FuzzGlobs compares the matcher with path.Match.
func FuzzGlobs(f *testing.F) {
	for _, p := range []string{"*", "**", "*.wav", "a*", "lit", `\*`, `*\`, "[a-c]?", "*[", "a*b*", "*é", "\xff*", "?", ""} {
		f.Add(p, "a.wav")
		f.Add(p, "\xff\xfe")
		f.Add(p, "é")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.Contains(name, "/") || len(name) > 300 || len(pattern) > 300 {
			return // not a file's name
		}
		want, wantErr := path.Match(pattern, name)
		g, err := CompileGlobs([]string{pattern})
		if err != nil {
			if _, again := path.Match(pattern, "x"); again == nil {
				t.Fatalf("%q was refused: %v", pattern, err)
			}
			return
		}
		if wantErr != nil {
			t.Fatalf("%q was accepted, and path.Match says %v on %q", pattern, wantErr, name)
		}
		if got := g.Match([]byte(name)); got != want {
			t.Fatalf("%q on %q: %v, want %v", pattern, name, got, want)
		}
	})
}

func BenchmarkGlobs(b *testing.B) {
	for _, bench := range []struct{ name, pattern string }{{"suffix", "*.wav"}, {"literal", "entry.json"}, {"full", "entry-[0-9]*.w?v"}} {
		g, err := CompileGlobs([]string{bench.pattern})
		if err != nil {
			b.Fatal(err)
		}
		name := []byte("entry-123456.wav")
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.Match(name)
			}
		})
	}
}
