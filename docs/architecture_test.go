package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// additions are the sections of architecture.md that say how to add something: how many source
// files that may touch, and something of the kind that exists. example matches the names that are
// its own; every source file that has one of them must stand in the section.
var additions = []struct {
	section string
	files   int
	example string
	name    map[string]string // what stands for the example's own files in the section
}{
	{"a source", 4, `^(sourceProbe|NewProbe|ProbeConfig|ProbeOptions)$`, map[string]string{"collector/probe.go": "collector/NAME.go"}},
	{"a metric", 2, `^StartupMaxDuration$`, map[string]string{"internal/metric/probe.go": "internal/metric/SUBJECT.go", "collector/probe.go": "collector/NAME.go"}},
	{"a heap provider", 3, `^(ProviderJVM|openJVM|newJVM|checkJVM|jvm[A-Z]\w*)$`, map[string]string{"internal/heap/jvm.go": "internal/heap/NAME.go"}},
	{"an action", 2, `^(NameReclaim|ReclaimSettings|ReclaimOptions|NewReclaimCgroup|ReclaimCgroup)$`, map[string]string{"internal/action/reclaim_cgroup.go": "internal/action/NAME.go"}},
	{"a directory kind", 4, `^(KindUpload|Uploads?|uploadMeter|enforceUploads|saidUploads|NewUpload)$`, map[string]string{"internal/policy/upload.go": "internal/policy/NAME.go"}},
	{"a column to the journal", 3, `^Output$`, nil},
}

// others are files that name an example without being a place to change when one is added.
var others = map[string]string{
	"internal/health/take.go":             "the section says when",
	"internal/replay/folder.go":           "the section says when",
	"internal/replay/world.go":            "it sets what a rule that starts a run reads and the history does not have",
	"internal/action/action.go":           "a Result has an Output too, from which the column is filled",
	"internal/action/http.go":             "it fills the Result",
	"internal/action/run_command.go":      "it fills the Result",
	"internal/action/restart.go":          "it fills the Result",
	"internal/action/restart_settings.go": "it reads the Result of a command",
}

var placePattern = regexp.MustCompile("`((?:internal|collector)/[A-Za-z_/]+\\.go)`(?: or `([a-z]+\\.go)`)?")

// sections returns the text below each heading "How to add ...".
func sections(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, part := range strings.Split(string(b), "\n## ")[1:] {
		heading, text, _ := strings.Cut(part, "\n")
		if what, ok := strings.CutPrefix(heading, "How to add "); ok {
			out[what] = strings.TrimSpace(text)
		}
	}
	return out
}

// places returns the source files of the numbered items of a section.
func places(text string) (out []string) {
	item := regexp.MustCompile(`(?ms)^\d+\. .*?(?:\n\n|\n\d|\z)`)
	for len(text) > 0 {
		at := item.FindStringIndex(text)
		if at == nil {
			break
		}
		for _, m := range placePattern.FindAllStringSubmatch(text[at[0]:at[1]], -1) {
			out = append(out, m[1])
			if m[2] != "" {
				out = append(out, filepath.Join(filepath.Dir(m[1]), m[2]))
			}
		}
		next := at[1]
		if next < len(text) && next > 0 && text[next-1] >= '0' && text[next-1] <= '9' {
			next--
		}
		text = text[next:]
	}
	return out
}

// TestAdditions: each section is at most half a page, names no more files than it may, the files
// exist, and a thing of the kind that exists stands in those files and in no other.
func TestAdditions(t *testing.T) {
	text := sections(t)
	for _, a := range additions {
		s, ok := text[a.section]
		if !ok {
			t.Errorf("architecture.md does not say how to add %s", a.section)
			continue
		}
		if n := strings.Count(s, "\n") + 1; n > 25 {
			t.Errorf("%s: %d lines are more than half a page", a.section, n)
		}
		named := places(s)
		items := len(regexp.MustCompile(`(?m)^\d+\. `).FindAllString(s, -1))
		if items == 0 || items > a.files {
			t.Errorf("%s: %d places, want at most %d", a.section, items, a.files)
		}
		for _, p := range named {
			if strings.Contains(p, "NAME") || strings.Contains(p, "SUBJECT") {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", p)); err != nil {
				t.Errorf("%s: %v", a.section, err)
			}
		}
		for file := range uses(t, a.example) {
			place := file
			if p, own := a.name[file]; own {
				place = p
			}
			if !slices.Contains(named, place) && others[file] == "" {
				t.Errorf("%s: %s has a part of the example %s and is not among %v", a.section, file, a.example, named)
			}
		}
	}
	if len(text) != len(additions) {
		t.Errorf("%d sections say how to add something, %d are checked", len(text), len(additions))
	}
}

// uses returns the source files of the collector and the rooms in which a name stands that matches.
func uses(t *testing.T, pattern string) map[string]bool {
	t.Helper()
	name, out := regexp.MustCompile(pattern), make(map[string]bool)
	for _, root := range []string{"../collector", "../internal"} {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() && (e.Name() == "vmtest" || e.Name() == "refuse") {
				return filepath.SkipDir // tests, of which the exporter has no part
			}
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok && name.MatchString(id.Name) {
					out[strings.TrimPrefix(filepath.ToSlash(path), "../")] = true
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestPlaces: the reader of the sections finds every file of every item, and only those.
func TestPlaces(t *testing.T) {
	got := places("Some `internal/a/b.go`.\n\n1. `internal/a/NAME.go`: x\n   and `collector/c.go`.\n2. `internal/d/step.go` or `finish.go`: y\n\nAfter `internal/e/f.go`.")
	want := []string{"internal/a/NAME.go", "collector/c.go", "internal/d/step.go", "internal/d/finish.go"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
