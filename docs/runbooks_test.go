package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// dump finds advice that costs a service that is close to its limit its life.
var dump = regexp.MustCompile(`(?i)(heap )?snapshot|(heap|core|stack) dump|\ba core\b`)

// TestRunbooksPointToEvidence: where a runbook speaks of a dump, it says what to do instead, and that a dump can end the service.
// Those of memory and heaps point to what grew in any case.
func TestRunbooksPointToEvidence(t *testing.T) {
	files, err := filepath.Glob("runbooks/Spillway*.md")
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, text := strings.TrimSuffix(filepath.Base(file), ".md"), string(raw)
		pointed := strings.Contains(text, "spillway_exporter evidence TARGET")
		if dump.MatchString(text) && (!pointed || !strings.Contains(text, "can end")) {
			t.Errorf("%s speaks of %q: point to `spillway_exporter evidence TARGET`, and say that a dump can end the service", name, dump.FindString(text))
		}
		if ofMemory := strings.HasPrefix(name, "SpillwayMemory") || strings.HasPrefix(name, "SpillwayHeap") || name == "SpillwayReliefIneffective" || name == "SpillwayOOMKilled"; ofMemory && !pointed {
			t.Errorf("%s does not point to `spillway_exporter evidence TARGET`", name)
		}
	}
}
