package policy

import (
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestConflict: two policies may share a folder only where no name can be of both.
func TestConflict(t *testing.T) {
	f := func(a, b Policy, want string) {
		t.Helper()
		for _, pair := range [][2]Policy{{a, b}, {b, a}} {
			if got := Conflict(pair[0], pair[1]); got != want {
				t.Errorf("%+v and %+v: %q, want %q", pair[0].CommonKeys(), pair[1].CommonKeys(), got, want)
			}
		}
	}
	temp := func(dir string, include ...string) *Temp { return &Temp{Common: Common{Dir: dir, Include: include}} }
	with := func(p *Temp, change func(*Common)) *Temp { change(&p.Common); return p }
	log := func(dir string, include ...string) *Log { return &Log{Common: Common{Dir: dir, Include: include}} }
	flat := func(c *Common) { c.Recursive = new(false) }
	both := func(name string) string {
		return `a file "` + name + `" in it could belong to both: write include so that no name matches both, name the inner folder in exclude of the outer policy, or write separate directories`
	}

	f(temp("/a", "*"), temp("/b", "*"), "")
	f(temp("/a", "*"), temp("/ab", "*"), "")
	f(temp("/a", "*.wav"), temp("/a", "*.mp3"), "")
	f(temp("/a", "*.wav", "*.ogg"), temp("/a/b", "*.mp3"), "")
	f(temp("/a", "*.wav"), temp("/a", "*"), both("a.wav"))
	f(temp("/a", "tts-*"), temp("/a", "*.wav"), both("tts-.wav"))
	f(temp("/a", "tts-*"), temp("/a", "x*"), "")
	f(temp("/a", "a*b"), temp("/a", "a?c"), "")
	f(temp("/a", "*"), temp("/a", ".*"), "")
	f(temp("/a", "[a-m]*"), temp("/a", "[n-z]*"), "")
	f(temp("/a", "[a-m]*"), temp("/a", "[^a-l]*"), both("m"))
	f(temp("/a", "*"), with(temp("/a", "*"), func(c *Common) { c.Keep = []string{"*"} }), "")
	f(temp("/a", "*.wav"), with(temp("/a", "*"), func(c *Common) { c.Keep = []string{"*.wav"} }), "")
	f(temp("/a", "*.wav", "*.mp3"), with(temp("/a", "*"), func(c *Common) { c.Keep = []string{"*.wav"} }), both("a.mp3"))
	f(temp("/a", "*.wav"), with(temp("/a", "*"), func(c *Common) { c.Keep = []string{"*.w?v"} }), both("a.wav")) // not proved

	f(with(temp("/a", "*"), flat), temp("/a/b", "*"), "")
	f(temp("/a", "*"), with(temp("/a/b", "*"), flat), both("a"))
	f(with(temp("/a", "*"), flat), with(temp("/a", "*"), flat), both("a"))
	f(with(temp("/a", "*"), func(c *Common) { c.Exclude = []string{"b/"} }), temp("/a/b", "*"), "")
	f(with(temp("/a", "*"), func(c *Common) { c.Exclude = []string{"*/c"} }), temp("/a/b/c/d", "*"), "")
	f(with(temp("/a", "*"), func(c *Common) { c.Exclude = []string{"c"} }), temp("/a/b", "*"), both("a"))

	strict := func(c *Common) { c.Strict = true }
	f(with(temp("/a", "*.wav"), strict), temp("/a", "*.mp3"), "strict: true needs a folder of its own: write separate directories, or remove strict")
	f(with(temp("/a", "*"), flat), with(temp("/a/b", "*"), strict), "")

	f(log("/a", "*.log"), temp("/a", "*.tmp"), "")
	f(log("/a", "app.log"), log("/a", "error.log"), "")
	f(log("/a", "app.log"), temp("/a", "*.gz"), both("app.log.00000000T000000Z.gz"))
	f(log("/a", "app.log"), temp("/a", ".*"), both(".spillway-rotate-.tmp"))

	volume := func(name string, include ...string) *Temp {
		return &Temp{Common: Common{Volume: name, Include: include}}
	}
	f(volume("data", "*"), volume("data", "*"), both("a"))
	f(volume("data", "*.a"), volume("data", "*.b"), "")
	f(volume("data", "*"), volume("other", "*"), "")
	f(with(temp("/a", "*"), func(c *Common) { c.TargetRoot = true }), temp("/a", "*"), "")
}

// TestCommon: where no common name is found there is none, whatever name path.Match is asked about.
func TestCommon(t *testing.T) {
	globs := rapid.StringOfN(rapid.RuneFrom([]rune("ab.*?é€")), 1, 6, -1)
	names := rapid.StringOfN(rapid.RuneFrom([]rune("ab.é€\u00a9")), 1, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) string {
			p := globs.Draw(t, label)
			if rapid.Bool().Draw(t, label+" class") {
				p += rapid.SampledFrom([]string{"[ab]", "[^a]", "[a-é]", `\*`}).Draw(t, label+" which")
			}
			return p
		}
		p, q, name := draw("p"), draw("q"), names.Draw(t, "name")
		if rapid.Bool().Draw(t, "cut") {
			name = name[:len(name)-1] // not UTF-8
		}
		keep := rapid.SampledFrom([][]string{nil, {"a*"}, {"*b"}, {"ab"}, {"*.?"}}).Draw(t, "keep")
		n := func(include string) bool {
			x, err := (&Common{Include: []string{include}, Keep: keep}).Compile()
			return err == nil && x.includes([]byte(name)) && !x.keep.Match([]byte(name))
		}
		witness, ok := common(p, q, keep)
		if n(p) && n(q) && !ok {
			t.Fatalf("%q and %q both match %q", p, q, name)
		}
		if ok && isASCII(p+q+witness) { // else it may be one that they nearly match
			for _, g := range []string{p, q} {
				if match, err := path.Match(g, witness); err != nil || !match {
					t.Fatalf("%q and %q: %q does not match %q", p, q, witness, g)
				}
			}
		}
	})
}

func isASCII(s string) bool { return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 }) }

// TestCommonEnds: a search that is too long proves nothing.
func TestCommonEnds(t *testing.T) {
	long := strings.Repeat("*a", 60)
	if _, ok := common(long+"b", strings.Repeat("*b", 60)+"c", nil); ok {
		t.Error("globs with other ends have no name in common")
	}
	if _, ok := common(strings.Repeat("a", 300), "*b", nil); !ok {
		t.Error("what is longer than a name was taken as compared")
	}
}

// TestRotatedForms: each name of a rotated log has one of the forms that are compared.
func TestRotatedForms(t *testing.T) {
	for _, serial := range []int{1, 2, 12} {
		for _, compressed := range []bool{false, true} {
			name := RotatedName("app.log", now, serial, compressed)
			if Conflict(&Log{Common: Common{Dir: "/a", Include: []string{"*.log"}}}, &Temp{Common: Common{Dir: "/a", Include: []string{name}}}) == "" {
				t.Errorf("%s was taken for a name that no rotation makes", name)
			}
		}
	}
}
