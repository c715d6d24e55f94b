package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestComparisonsAreThere: every test, target and script by which docs/comparison.md says that something
// is compared is one of the repository's.
func TestComparisonsAreThere(t *testing.T) {
	text, err := os.ReadFile("comparison.md")
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(repository, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "## What is compared by tests")
	named := regexp.MustCompile("`(Test[A-Za-z]+|make [a-z0-9-]+|examples/[a-z./]+)`").FindAllStringSubmatch(list, -1)
	if len(named) < 30 {
		t.Fatalf("%d tests are named: the list is read wrongly", len(named))
	}
	have := testNames(t)
	for _, m := range named {
		name := m[1]
		target, isTarget := strings.CutPrefix(name, "make ")
		switch {
		case isTarget:
			if !strings.Contains(string(makefile), "\n"+target+":") {
				t.Errorf("make has no target %s", target)
			}
		case strings.HasPrefix(name, "examples/"):
			if _, err := os.Stat(filepath.Join(repository, name)); err != nil {
				t.Error(err)
			}
		case !have[name]:
			t.Errorf("there is no test %s", name)
		}
	}
}

// testNames are the names of all test functions of the repository.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	out := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range function.FindAllStringSubmatch(string(source), -1) {
			out[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestComparisonAnswersForTheField: each of the highest tools of the field has a row that says what it has, with a page that
// says so.
func TestComparisonAnswersForTheField(t *testing.T) {
	text := read(t, "docs", "comparison.md")
	for _, tool := range []string{
		"Monit", "PM2", "Azure Auto-Heal", "systemd-oomd", "oomd", "earlyoom", "kubelet eviction", "VPA", "Robusta", "Kubernaut", "dotnet-monitor", "lastwords", "Netdata",
	} {
		_, row, ok := strings.Cut(text, "\n| "+tool+" | ")
		row, _, _ = strings.Cut(row, "\n")
		if !ok || len(row) < 150 || !strings.Contains(row, "](https://") {
			t.Errorf("%s has no row with what it has and where that is documented", tool)
		}
	}
}
