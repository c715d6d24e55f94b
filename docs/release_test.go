package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// read returns a file of the repository as text.
func read(t *testing.T, elem ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{repository}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	versionForm = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-rc\.[0-9]+)?$`)
	releaseForm = regexp.MustCompile(`^## (\S+) / (\d{4}-\d{2}-\d{2})$`)
	entryForm   = regexp.MustCompile(`^\* \[(CHANGE|FEATURE|ENHANCEMENT|BUGFIX)\] [a-zA-Z0-9_, ./-]+: \S`)
)

// changelogProblems returns what is wrong with a changelog whose newest release has to be version.
func changelogProblems(text, version string) []string {
	var problems, releases []string
	last := time.Time{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "## Unreleased" && len(releases) > 0:
			problems = append(problems, "Unreleased stands below a release: move it to the top")
		case line == "## Unreleased":
		case strings.HasPrefix(line, "## "):
			m := releaseForm.FindStringSubmatch(line)
			if m == nil {
				problems = append(problems, line+": write ## VERSION / YYYY-MM-DD")
				continue
			}
			date, err := time.Parse(time.DateOnly, m[2])
			if err != nil {
				problems = append(problems, line+": "+err.Error())
			}
			if len(releases) > 0 && date.After(last) {
				problems = append(problems, line+": later than the release above it")
			}
			releases, last = append(releases, m[1]), date
		case strings.HasPrefix(line, "*") && !entryForm.MatchString(line):
			problems = append(problems, line+": write * [CHANGE|FEATURE|ENHANCEMENT|BUGFIX] area: text")
		}
	}
	if len(releases) == 0 || releases[0] != version {
		problems = append(problems, "the newest release is "+strings.Join(releases[:min(1, len(releases))], "")+", VERSION says "+version)
	}
	return problems
}

// TestVersion: VERSION is the one source of the version; what has to repeat it agrees with it.
func TestVersion(t *testing.T) {
	version := strings.TrimSuffix(read(t, "VERSION"), "\n")
	if !versionForm.MatchString(version) {
		t.Fatalf("VERSION is %q: write for example 1.2.3", version)
	}
	for _, problem := range changelogProblems(read(t, "CHANGELOG.md"), version) {
		t.Errorf("CHANGELOG.md: %s", problem)
	}
	for _, tc := range []struct{ file, want string }{
		{"deploy/helm/spillway-exporter/Chart.yaml", "\nversion: " + version + "\n"},
		{"deploy/helm/spillway-exporter/Chart.yaml", "\nappVersion: " + version + " "},
		{"deploy/kubernetes/kustomization.yaml", "newTag: " + version + "}"},
		{"docs/install.md", "\nversion=" + version + "\n"},
	} {
		if !strings.Contains(read(t, tc.file), tc.want) {
			t.Errorf("%s: write %q", tc.file, strings.TrimSpace(tc.want))
		}
	}
}

func TestChangelogProblemsAreFound(t *testing.T) {
	const good = "# Changelog\n\n## Unreleased\n\n* [BUGFIX] a, b: c\n\n## 1.1.0 / 2026-02-01\n\n* [CHANGE] a: b\n\n## 1.0.0 / 2026-01-01\n"
	for _, tc := range []struct{ name, old, new, want string }{
		{"right", "", "", ""},
		{"another version", "1.1.0", "1.2.0", "the newest release is 1.2.0, VERSION says 1.1.0"},
		{"no date", " / 2026-02-01", "", "write ## VERSION"},
		{"no such day", "2026-02-01", "2026-02-30", "day out of range"},
		{"wrong order", "2026-01-01", "2026-03-01", "later than the release above it"},
		{"unknown kind", "[BUGFIX]", "[FIX]", "write * ["},
		{"no area", "a, b: c", "c", "write * ["},
		{"unreleased below", "## 1.0.0 / 2026-01-01", "## Unreleased", "move it to the top"},
	} {
		problems := changelogProblems(strings.Replace(good, tc.old, tc.new, 1), "1.1.0")
		if got := strings.Join(problems, "\n"); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, problems, tc.want)
		}
	}
}

var makeCall = regexp.MustCompile(`\bmake ((?:[a-z0-9-]+|[A-Z_]+=\S+)(?: (?:[a-z0-9-]+|[A-Z_]+=[^\s"']+))*)`)

// makeTargets returns the targets of make that a script or workflow calls.
func makeTargets(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for _, m := range makeCall.FindAllStringSubmatch(line, -1) {
			for word := range strings.FieldsSeq(m[1]) {
				if !strings.Contains(word, "=") {
					out = append(out, word)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestWorkflows: the workflows call targets of make that are there, and between them all that .ci/run calls.
func TestWorkflows(t *testing.T) {
	makefile := read(t, "Makefile")
	var called []string
	files, err := filepath.Glob(filepath.Join(repository, ".github/workflows/*.yml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d workflows: %v", len(files), err)
	}
	for _, file := range files {
		rel, err := filepath.Rel(repository, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range makeTargets(read(t, rel)) {
			called = append(called, target)
			if !strings.Contains(makefile, "\n"+target+":") {
				t.Errorf("%s calls make %s: there is no such target", rel, target)
			}
		}
	}
	wanted := makeTargets(read(t, ".ci/run"))
	if len(wanted) < 15 {
		t.Fatalf("only %d targets were found in .ci/run: the search is broken", len(wanted))
	}
	for _, target := range wanted {
		if !slices.Contains(called, target) {
			t.Errorf(".ci/run calls make %s: no workflow does", target)
		}
	}
}

// TestDependabot: every module of the repository is in its list.
func TestDependabot(t *testing.T) {
	list := read(t, ".github/dependabot.yml")
	modules := 0
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "go.mod" {
			return err
		}
		modules++
		dir, err := filepath.Rel(repository, filepath.Dir(path))
		if line := "\n      - " + strings.TrimSuffix("/"+dir, ".") + "\n"; !strings.Contains(list, line) {
			t.Errorf("the module in %s is not in dependabot.yml", dir)
		}
		return err
	})
	if err != nil || modules < 5 {
		t.Errorf("%d modules: %v", modules, err)
	}
}

func TestMakeTargets(t *testing.T) {
	got := makeTargets("step make build\n# make this\n  run: make test check-x A=1\nstep timeout 15m make vm-test\nrun: make simulate SEEDS=3000 && ./make\n")
	if want := []string{"build", "check-x", "simulate", "test", "vm-test"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
