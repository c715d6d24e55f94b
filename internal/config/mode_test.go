package config

import (
	"strings"
	"testing"
)

// TestModeIsReportedOnce: a mistake at the top is not one of each target that takes its mode from there.
func TestModeIsReportedOnce(t *testing.T) {
	f := func(doc string, keys ...string) {
		t.Helper()
		_, err := Parse("f.yml", []byte(doc))
		if err == nil {
			t.Fatalf("%s is accepted", doc)
		}
		got := strings.Split(err.Error(), "\n")
		for i, line := range got {
			if len(got) != len(keys) || !strings.Contains(line, ": "+keys[i]+": ") {
				t.Fatalf("%s: %v, want one for each of %q", doc, err, keys)
			}
		}
	}
	const targets = `
targets:
  - name: a
    processes: {match: {comm: a}}
  - name: b
    MODE
    processes: {match: {comm: b}}
`
	own := func(mode string) string { return strings.ReplaceAll(targets, "MODE", mode) }
	f("mode: dry"+own(""), "mode")
	f("mode: dry"+own("mode: enforced"), "mode", "targets[1].mode")
	f("mode: dry"+own("mode: dry"), "mode", "targets[1].mode")
	f("mode: enforce"+own("mode: dry"), "targets[1].mode")
	f("mode: [a]"+own(""), "mode")
}
