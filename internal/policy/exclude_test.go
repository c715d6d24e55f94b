package policy

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// TestExclude: what is excluded is not counted, and an excluded folder is not walked.
func TestExclude(t *testing.T) {
	dir := populate(t, "a.wav", "models/m.bin", "models/deep/m.bin", "x/models/m.bin", "x/y/a.wav", "x/y/b.tmp", "x/z/a.wav", "a/b/c/d")
	f := func(exclude []string, want ...string) {
		t.Helper()
		for _, workers := range []int{1, 3} {
			got, _ := walk(t, dir, &Common{Include: []string{"*"}, Exclude: exclude}, workers)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("exclude %q, %d workers (-want +got):\n%s", exclude, workers, diff)
			}
		}
	}
	f(nil, "a.wav", "a/b/c/d", "models/deep/m.bin", "models/m.bin", "x/models/m.bin", "x/y/a.wav", "x/y/b.tmp", "x/z/a.wav")
	f([]string{"models"}, "a.wav", "a/b/c/d", "x/y/a.wav", "x/y/b.tmp", "x/z/a.wav")
	f([]string{"models/**"}, "a.wav", "a/b/c/d", "x/models/m.bin", "x/y/a.wav", "x/y/b.tmp", "x/z/a.wav")
	f([]string{"models/deep/"}, "a.wav", "a/b/c/d", "models/m.bin", "x/models/m.bin", "x/y/a.wav", "x/y/b.tmp", "x/z/a.wav")
	f([]string{"x/*/a.wav"}, "a.wav", "a/b/c/d", "models/deep/m.bin", "models/m.bin", "x/models/m.bin", "x/y/b.tmp")
	f([]string{"**/a.wav", "**/deep", "a/**/d"}, "models/m.bin", "x/models/m.bin", "x/y/b.tmp")
	f([]string{"a.wav/", "*.bin", "a/b/c/d"}, "a.wav", "x/y/a.wav", "x/y/b.tmp", "x/z/a.wav")
	f([]string{"x", "a", "models"}, "a.wav")
	f([]string{"./models", "./a.wav", "./a/"}, "x/models/m.bin", "x/y/a.wav", "x/y/b.tmp", "x/z/a.wav")
}

// TestExcludedFolderIsNotEntered: what is unreadable there is no error, and costs nothing.
func TestExcludedFolderIsNotEntered(t *testing.T) {
	dir := populate(t, "in/a", "out/b", "in/out/c")
	_, folders := walk(t, dir, &Common{Include: []string{"*"}, Exclude: []string{"out/"}}, 1)
	if diff := cmp.Diff([]string{"in"}, folders); diff != "" {
		t.Error(diff)
	}
}

// reference writes a glob on paths as a regular expression for a path and whether it is a folder's.
func reference(p string) *regexp.Regexp {
	rest, folders := strings.CutSuffix(p, "/")
	if !strings.Contains(rest, "/") {
		rest = "**/" + rest
	}
	var b strings.Builder
	for i, name := range strings.Split(rest, "/") {
		last := i == strings.Count(rest, "/")
		switch {
		case name == "**" && last:
			b.WriteString("[^/]+(/[^/]+)*")
		case name == "**":
			b.WriteString("([^/]+/)*")
		case name == "*" && last: // no name is empty: a/* is not the folder a
			b.WriteString("[^/]+")
		default:
			b.WriteString(strings.NewReplacer(`\*`, "[^/]*", `\?`, "[^/]").Replace(regexp.QuoteMeta(name)))
			if !last {
				b.WriteString("/")
			}
		}
	}
	if folders {
		return regexp.MustCompile("^" + b.String() + "(/.*)?/$")
	}
	return regexp.MustCompile("^" + b.String() + "(/.*)?$")
}

// TestExcludeAgainstReference: the same paths as by a regular expression, of random trees and globs.
func TestExcludeAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"a", "b", "ab", "abc", "c"})
		parts := rapid.SampledFrom([]string{"a", "b", "*", "a*", "*b", "?", "**", "a?c", "**"})
		glob := strings.Join(rapid.SliceOfN(parts, 1, 6).Draw(t, "glob"), "/") + rapid.SampledFrom([]string{"", "/"}).Draw(t, "end")
		if strings.HasSuffix(strings.TrimSuffix(glob, "/"), "**") && strings.Trim(glob, "*/") == "" {
			return // is refused
		}
		full := rapid.SliceOfN(name, 1, 7).Draw(t, "path")
		e, err := compileExclude([]string{glob})
		if err != nil {
			t.Fatal(err)
		}
		want := reference(glob).MatchString(strings.Join(full, "/") + "/")
		if got := e.within(strings.Join(full, "/")); got != want && !strings.HasSuffix(glob, "**") && !strings.HasSuffix(glob, "**/") {
			t.Fatalf("%q on the folder %q: %v, want %v", glob, strings.Join(full, "/"), got, want)
		}
	})
}

// TestExcludeAsGit: the same files stay as git ignores.
func TestExcludeAsGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip(err)
	}
	files := []string{"a", "b.tmp", "x/a", "x/b.tmp", "x/y/a", "x/y/b.tmp", "y/x/a", "y/a/c", "a.d/e", "x/y/z/w/a"}
	dir := populate(t, files...)
	for _, glob := range []string{"a", "a/", "*.tmp", "x/", "x/a", "x/*", "x/**", "**/a", "**/x/", "x/**/a", "y/*/c", "*.d", "x/y/**", "x/*/z/*/a", "**/y/*", "?", "[ab]", "y/**/c"} {
		run := func(args ...string) []byte {
			cmd := exec.CommandContext(t.Context(), "git", args...)
			cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "PATH=/usr/bin:/bin"}
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("git %q: %v", args, err)
			}
			return out
		}
		run("init", "-q")
		want := []string{}
		for name := range strings.FieldsSeq(string(run("-c", "core.excludesFile=/dev/null", "ls-files", "--others", "--exclude="+glob))) {
			want = append(want, name)
		}
		got, _ := walk(t, dir, &Common{Include: []string{"*"}, Exclude: []string{glob, ".git/"}}, 1)
		slices.Sort(want)
		if diff := cmp.Diff(want, append([]string{}, got...)); diff != "" {
			t.Errorf("%q (-git +got):\n%s", glob, diff)
		}
	}
}

// TestGlobsThatWouldMislead: each is refused, and no advice takes more than what was written.
func TestGlobsThatWouldMislead(t *testing.T) {
	f := func(c Common, want string) {
		t.Helper()
		c.Name, c.Dir = "p", "/srv/app"
		if len(c.Include) == 0 {
			c.Include = []string{"*"}
		}
		said := ""
		c.validate(report.Func(func(key, format string, args ...any) { said += key + ": " + fmt.Sprintf(format, args...) + "\n" }))
		if strings.TrimSuffix(said, "\n") != want {
			t.Errorf("include %q keep %q exclude %q:\n%s\nwant\n%s", c.Include, c.Keep, c.Exclude, said, want)
		}
	}
	const slash = ` holds a slash, and globs of include match file names only: `
	f(Common{Include: []string{"cache/*"}}, `include[0]: "cache/*"`+slash+`write dir: /srv/app/cache, include: ['*'] and recursive: false, or exclude the other folders`)
	f(Common{Include: []string{"cache/**"}}, `include[0]: "cache/**"`+slash+`write dir: /srv/app/cache and include: ['*'], or exclude the other folders`)
	f(Common{Include: []string{"cache/**/*.mp4"}}, `include[0]: "cache/**/*.mp4"`+slash+`write dir: /srv/app/cache and include: ['*.mp4'], or exclude the other folders`)
	f(Common{Include: []string{"**/*.mp4"}}, `include[0]: "**/*.mp4"`+slash+`write '*.mp4', which holds in sub-folders too`)
	f(Common{Include: []string{"./*.mp4"}}, `include[0]: "./*.mp4"`+slash+`write '*.mp4', and recursive: false`)
	f(Common{Include: []string{"*/a.mp4"}}, `include[0]: "*/a.mp4"`+slash+`write a policy for each folder that is meant, with its path as dir, or exclude what is not`)
	f(Common{Include: []string{"/srv/app/x/*"}}, `include[0]: "/srv/app/x/*"`+slash+`write dir: /srv/app/x, include: ['*'] and recursive: false, or exclude the other folders`)
	f(Common{Include: []string{"../x/*"}}, `include[0]: "../x/*"`+slash+`write a policy for each folder that is meant, with its path as dir, or exclude what is not`)
	f(Common{Keep: []string{"models/*.bin"}}, `keep[0]: "models/*.bin" names a folder, and keep is for file names: write it under exclude, as "models/*.bin"`)
	f(Common{Keep: []string{"/srv/app/models/"}}, `keep[0]: "/srv/app/models/" names a folder, and keep is for file names: write it under exclude, as "models/"`)
	f(Common{Exclude: []string{"a/", "b/**/c", `\!x`, "*/", "./b", "./c/d/"}}, "")
	f(Common{Exclude: []string{"!a"}}, `exclude[0]: "!a" would take something back from exclude, which cannot be done: write only what is excluded, or \! for a name that begins so`)
	f(Common{Exclude: []string{"/srv/app/a"}}, `exclude[0]: "/srv/app/a" is absolute: write it as it is below dir, "a"`)
	f(Common{Exclude: []string{"*"}}, `exclude[0]: "*" excludes everything: remove the policy in place of this`)
	f(Common{Exclude: []string{"**/*"}}, `exclude[0]: "**/*" excludes everything: remove the policy in place of this`)
	f(Common{Exclude: []string{"a/../b"}}, `exclude[0]: "a/../b" is not clean: write "b"`)
	f(Common{Exclude: []string{"a//b"}}, `exclude[0]: "a//b" is not clean: write "a/b"`)
	f(Common{Exclude: []string{""}}, `exclude[0]: is empty: write a folder or a path below dir, such as 'models/' or '**/*.lock'`)
	f(Common{Exclude: []string{"a/[b"}}, `exclude[0]: "[b" is not a glob: close the bracket, or put \ before a character that is meant literally`)
}

// BenchmarkExclude is what exclude adds to a file, next to some 1,000 ns of the look at it.
func BenchmarkExclude(b *testing.B) {
	dir := populate(b, "a/b/c/file-000001.wav")
	for name, exclude := range map[string][]string{"folder": {"models/"}, "name": {"*.keep"}, "path": {"a/*/d/*.wav"}, "deep": {"a/**/x/*.wav", "models/", "**/tmp"}} {
		n, err := (&Common{Include: []string{"*.wav"}, Exclude: exclude}).Compile()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			benchmarkIn(b, dir, n)
		})
	}
}

func benchmarkIn(b *testing.B, dir string, n *Names) {
	b.Helper()
	except := n.Except()
	_, err := dirscan.Scan(b.Context(), dirscan.Options{Dir: dir, Recursive: true, Visit: func(e *dirscan.Entry) error {
		b.ReportAllocs()
		for b.Loop() {
			if !n.Select(e.Name) || except != nil && except(e.Parent, e.Name) {
				b.Fatal("excluded")
			}
		}
		return nil
	}})
	if err != nil {
		b.Fatal(err)
	}
}
