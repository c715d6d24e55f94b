package cli

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// filesIn returns the regular files below a folder.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// planned returns the files that a clean-up would take, by the lines of cleanup --files that begin with one of why.
func planned(t *testing.T, config string, why ...string) []string {
	t.Helper()
	r := runLine(t, "cleanup", "--dry-run", "--files", configFlag(t, config))
	if r.code != ExitOK {
		t.Fatalf("%+v\n%s", r, config)
	}
	var out []string
	for line := range strings.SplitSeq(r.out, "\n") {
		if reason, path, ok := strings.Cut(line, "\t"); ok && slices.Contains(why, reason) {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

// TestSameVictimsAsTmpfiles: what the policies would take is what systemd-tmpfiles removes, of the same trees at the same time.
func TestSameVictimsAsTmpfiles(t *testing.T) {
	tool, err := exec.LookPath("systemd-tmpfiles")
	if err != nil {
		t.Skip("needs systemd-tmpfiles: .ci/install")
	}
	const tree = "a/old a/new a/sub/old a/sub/deep/old a/.dot a/b/old a/b/c/old a/b/new a/keep.me a/k1/old a/k2/x/old a/rotten.tmp a/f b/old b/sub/new b/sub/old"
	tests := []struct {
		name, lines string
		comments    int // lines without a policy
	}{
		{"a folder", "d DIR/a 0755 - - 2s\n", 0},
		{"two folders one in the other", "d DIR/a - - - 2s\nq DIR/a/b - - - 1w\nv DIR/b - - - 2s", 0},
		{"a folder in it that is only made", "D DIR/a - - - 2s\nd DIR/a/b 0755\nf DIR/a/f - - - - text", 2},
		{"excluded by globs", "e DIR/a - - - 2s\nx DIR/a/k[12]\nx DIR/a/*.me\nx DIR/a/sub/deep", 3},
		{"a folder above it in wildcards", "d DIR/a - - - 2s\nx DIR/?/b/c\nx DIR/*/[!k]otten.*", 2},
		{"the path and not what is in it", "d DIR/a - - - 2s\nX DIR/a/b\nr DIR/a/old\nR DIR/a/k1", 3},
		{"by mtime", "d DIR/a - - - m:1h\nd DIR/b - - - 1h\n", 0},
		{"by atime and mtime", "d DIR/a - - - am:1h\nd DIR/b - - - cm:2s", 0},
		{"a name that stands deeper too", "d DIR/a - - - 2s\nd DIR/a/old\nd DIR/a/x - - - 2s", 1},
		{"the second line of a path and one for the boot", "d DIR/a - - - 1w\nd DIR/a - - - 2s\nd! DIR/b - - - 2s\nd DIR/a/k1 - - - 2s", 2},
		{"everything", "d DIR/a - - - 0\nd DIR/b - - - 0", 0},
		{"units", "d DIR/a - - - 1w2d3h\nd DIR/b - - - 1500ms", 0},
	}
	young := strings.NewReplacer(", every: 1d}", ", min_age: 0s}", "max_age: 1s,", "max_age: 1ns,") // files are seconds old here
	type tried struct{ dir, conf, text string }
	var all []tried
	for i := range tests {
		dir := realDir(t)
		for name := range strings.FieldsSeq(tree) {
			writeTest(t, filepath.Join(dir, name), "x")
			if !strings.Contains(name, "new") { // by mtime and atime; ctime is now
				at := time.Now().Add(-24 * time.Hour)
				if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
					t.Fatal(err)
				}
			}
		}
		conf := filepath.Join(dir, "x.conf")
		writeTest(t, conf, strings.ReplaceAll(tests[i].lines, "DIR", dir))
		r := runLine(t, "export", "--from-tmpfiles="+conf)
		if r.code != ExitOK {
			t.Fatalf("%s: %+v", tests[i].name, r)
		}
		if lines, policies := strings.Count(r.out, "# x.conf:"), strings.Count(r.out, "- {name: "); lines-policies != tests[i].comments || lines != strings.Count(strings.TrimSpace(tests[i].lines), "\n")+1 {
			t.Errorf("%s: %d lines and %d policies, want %d lines without one:\n%s", tests[i].name, lines, policies, tests[i].comments, r.out)
		}
		all = append(all, tried{dir, conf, young.Replace(r.out)})
	}
	await(t, all[len(all)-1].conf, 3*time.Second)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := all[i].dir
			for _, name := range []string{"a/new", "a/b/new", "b/sub/new"} {
				later := time.Now().Add(time.Hour) // however long the two take on a busy host, it is young for both
				if err := os.Chtimes(filepath.Join(dir, name), later, later); err != nil {
					t.Fatal(err)
				}
			}
			got := planned(t, all[i].text, "expired")
			before := filesIn(t, dir)
			if out, err := exec.CommandContext(t.Context(), tool, "--clean", all[i].conf).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			after := filesIn(t, dir)
			want := slices.DeleteFunc(before, func(path string) bool { return slices.Contains(after, path) })
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-tmpfiles +ours:\n%s\n%s", diff, all[i].text)
			}
			if len(want) == 0 && test.name != "units" {
				t.Error("nothing was removed: the comparison says nothing")
			}
		})
	}
}

// await waits until a file is so old.
func await(t *testing.T, path string, age time.Duration) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	ready := time.NewTimer(time.Until(info.ModTime().Add(age)))
	defer ready.Stop()
	select {
	case <-ready.C:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}
