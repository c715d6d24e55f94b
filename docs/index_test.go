package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestIndex: docs/README.md has the four kinds, and links to every page and every machine-readable file of docs.
func TestIndex(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	index := string(raw)
	for _, kind := range []string{"Tutorial", "How-to", "Reference", "Explanation"} {
		if !strings.Contains(index, "\n## "+kind+":") {
			t.Errorf("the index has no part %s", kind)
		}
	}
	for _, pattern := range []string{"*.md", "*.yaml", "*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if file != "README.md" && !strings.Contains(index, "]("+file+")") {
				t.Errorf("the index does not link to %s", file)
			}
		}
	}
}
