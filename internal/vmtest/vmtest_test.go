package vmtest

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestEachTestHasItsProgram: a test of the machine that no program of the table takes would never run.
func TestEachTestHasItsProgram(t *testing.T) {
	files, err := filepath.Glob("guest/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v: %q", err, files)
	}
	declared := regexp.MustCompile(`(?m)^func (Test[A-Z]\w*)\(t \*testing\.T\)`)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllSubmatch(content, -1) {
			takes := 0
			for _, p := range Programs {
				if regexp.MustCompile(p.Run).Match(m[1]) {
					takes++
				}
			}
			if takes != 1 {
				t.Errorf("%s in %s is run by %d programs of the table, want 1", m[1], file, takes)
			}
		}
	}
}
