package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestTopLevel keeps what was left behind by a trial out of the repository.
func TestTopLevel(t *testing.T) {
	out, err := exec.Command("git", "ls-files").Output()
	if err != nil {
		t.Skipf("not a git work tree: %v", err)
	}
	allowed := []string{
		"go.mod", "go.sum", "main.go", "collector", "rules", "dashboards", "Makefile", "README.md", "internal", "deploy", "docs", "examples",
		"LICENSE", "CHANGELOG.md", "VERSION", "main_test.go", "arch_test.go",
	}
	for name := range strings.Lines(string(out)) {
		top, _, _ := strings.Cut(strings.TrimSpace(name), "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(allowed, top) {
			t.Errorf("%s does not belong to the top level", top)
		}
	}
}
