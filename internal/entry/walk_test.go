package entry

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// tree makes files, each as long as its name, and folders for names with a slash at their end.
func tree(t testing.TB, names ...string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		folder := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			folder = path
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if folder != path {
			if err := os.WriteFile(path, []byte(filepath.Base(name)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// walk returns the entries of a folder, sorted, as "path files bytes lacks: members".
func walk(t testing.TB, dir string, c policy.Common, skip func(*dirscan.Folder, []byte) bool) (list []string, w *Walker, res dirscan.Result) {
	t.Helper()
	names, err := c.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if w, err = NewWalker(Options{Policy: &c, Names: names, Members: true}); err != nil {
		t.Fatal(err)
	}
	o := dirscan.Options{Dir: dir, Recursive: c.IsRecursive(), Select: names.Select, Skip: skip}
	res, err = dirscan.Scan(t.Context(), w.Wrap(o, func(e *Entry) error {
		line := fmt.Sprintf("%s %d %d", e.AppendPath(nil), e.Files, e.SizeBytes)
		if e.Lacks != "" {
			line += " " + e.Lacks
		}
		var members []string
		for _, m := range e.Members {
			members = append(members, string(m.Name))
		}
		if slices.Sort(members); members != nil {
			line += ": " + strings.Join(members, " ")
		}
		list = append(list, line)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list, w, w.Result(res)
}

func wantList(t testing.TB, want, got []string) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDirectories(t *testing.T) {
	dir := tree(t, "a/1", "a/b/22", "a/b/c/333", "empty/", "other/x", "top", "keep.me/x", "z/in/y")
	c := policy.Common{Include: []string{"?", "empty", "keep.me", "in", "b"}, Keep: []string{"keep*"}, Entry: policy.EntryDir}
	got, w, res := walk(t, dir, c, nil)
	wantList(t, []string{"a 3 6", "empty 0 0", "z 1 1"}, got)
	if w.Outside() != 1 || res.Files != 3 || res.EmptyFiles != 1 || res.SizeBytes != 7 {
		t.Errorf("outside %d, %+v", w.Outside(), res)
	}
	c.Depth = 2
	got, w, _ = walk(t, dir, c, nil)
	wantList(t, []string{"a/b 2 5", "z/in 1 1"}, got)
	if w.Outside() != 4 {
		t.Errorf("outside %d, want 4", w.Outside())
	}
}

// TestWhatIsSkippedKeepsItsEntry: with a folder in it that is not walked an entry is not whole.
func TestWhatIsSkippedKeepsItsEntry(t *testing.T) {
	dir := tree(t, "a/1", "a/x/2", "b/1", "x/1")
	skip := func(_ *dirscan.Folder, name []byte) bool { return string(name) == "x" }
	got, _, _ := walk(t, dir, policy.Common{Include: []string{"*"}, Entry: policy.EntryDir}, skip)
	wantList(t, []string{"a 1 1 kept", "b 1 1"}, got)
}

func TestGroups(t *testing.T) {
	dir := tree(t, "v.mp4", "v.en.srt", "v", "w.mp4", "sub/v.mp4", "sub/v.jpg", ".hidden.a", ".hidden.b", "x.tmp")
	c := policy.Common{Include: []string{"*", ".*"}, Keep: []string{"*.tmp"}, Group: policy.GroupStem}
	got, _, res := walk(t, dir, c, nil)
	wantList(t, []string{
		".hidden 2 18: .hidden.a .hidden.b", "sub/v 2 10: v.jpg v.mp4", "v 3 14: v v.en.srt v.mp4", "w.mp4 1 5: w.mp4",
	}, got)
	if res.Files != 4 || res.SizeBytes != 47 {
		t.Errorf("%+v", res)
	}
	c.Group = `(?:init|seg)-(.*)-?\d*\.m4s`
	dir = tree(t, "init-a.m4s", "seg-a1.m4s", "seg-a.m4s", "other")
	got, _, _ = walk(t, dir, c, nil)
	wantList(t, []string{"a 2 19: init-a.m4s seg-a.m4s", "other 1 5: other", "seg-a1.m4s 1 10: seg-a1.m4s"}, got)
}

// TestManyGroups fills a table more than once, and folders after each other use the same.
func TestManyGroups(t *testing.T) {
	var names []string
	for folder := range 3 {
		for i := range 2000 {
			names = append(names, fmt.Sprintf("%d/g%d.a", folder, i), fmt.Sprintf("%d/g%d.b", folder, i))
		}
	}
	dir := tree(t, names...)
	got, _, res := walk(t, dir, policy.Common{Include: []string{"*"}, Group: policy.GroupStem}, nil)
	if len(got) != 6000 || res.Files != 6000 || slices.ContainsFunc(got, func(line string) bool { return !strings.Contains(line, " 2 ") }) {
		t.Errorf("%d entries, such as %q", len(got), got[0])
	}
}

func TestLinks(t *testing.T) {
	dir := tree(t, "a/in/1", "b/2", "c/3", "d/4", "e/5", "top")
	for from, to := range map[string]string{
		"current": "a", "deep": "./b/../b/2", "c/own": "../c/3", "d/across": "../e/5", "out": "../../etc", "self": ".", "abs": dir + "/d/x", "gone": "nothing/at/all",
	} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	c := policy.Common{Dir: dir, Include: []string{"*"}, Entry: policy.EntryDir}
	l, err := NewLinks(&c)
	if err != nil {
		t.Fatal(err)
	}
	names, _ := c.Compile()
	w, err := NewWalker(Options{Policy: &c, Names: names, Links: l})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var linked []string
		_, err := dirscan.Scan(t.Context(), w.Wrap(dirscan.Options{Dir: dir, Recursive: true}, func(e *Entry) error {
			if l.To(e) {
				linked = append(linked, string(e.Name))
			}
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Turn(); err != nil {
			t.Fatal(err)
		}
		if slices.Sort(linked); linked != nil && strings.Join(linked, " ") != "a b d e" {
			t.Errorf("linked: %v, want a b d e", linked)
		}
	}
	if len(l.into) != 5 { // and one that does not exist
		t.Errorf("%d entries with links, want 5", len(l.into))
	}
}

// TestAbsoluteLinks: they are of the folder as the service sees it.
func TestAbsoluteLinks(t *testing.T) {
	f := func(c policy.Common, text, want string) {
		t.Helper()
		l, err := NewLinks(&c)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := l.resolve("sub/", text); got != want {
			t.Errorf("%q in %q: entry %q, want %q", text, cmp.Or(c.LinkRoot, c.Dir), got, want)
		}
	}
	f(policy.Common{Dir: "/srv/a"}, "/srv/a/x/y", "x/y")
	f(policy.Common{Dir: "/srv/a"}, "/srv/./a//x", "x")
	f(policy.Common{Dir: "/srv/a"}, "/srv/ab/x", "")
	f(policy.Common{Dir: "/srv/a"}, "/srv/a", "")
	f(policy.Common{Dir: "/host/srv/a", LinkRoot: "/srv/a"}, "/srv/a/x", "x")
	f(policy.Common{Dir: "/host/srv/a", LinkRoot: "/srv/a"}, "/host/srv/a/x", "")
	f(policy.Common{Volume: "data"}, "/x", "")
	f(policy.Common{Volume: "data"}, "x", "sub/x")
}

func TestNewest(t *testing.T) {
	n := Newest[int]{Most: 3}
	var out []int
	for i, at := range []int64{5, 1, 9, 7, 3, 8} {
		if with, ok := n.Offer(Rank{AtNs: at}, i); ok {
			out = append(out, with)
		}
	}
	if !slices.Equal(out, []int{1, 4, 0}) || n.Least().AtNs != 7 {
		t.Errorf("not among the newest: %v, least %d; want 1 4 0 and 7", out, n.Least().AtNs)
	}
	if l := n.Least(); !l.Has(Rank{AtNs: 7}) || l.Has(Rank{AtNs: 6}) || !(&Newest[int]{Most: 1}).Least().Has(Rank{}) || (&Newest[int]{}).Least().Has(Rank{AtNs: 1}) {
		t.Error("what is among the newest")
	}
}
