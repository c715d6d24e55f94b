package config

import (
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// oddValues are values of every kind as they stand in a file.
var oddValues = []string{
	"-1", "007", "1e3", ".5", "'3'", "x", "'true'", "True", "~", "1.5h", "' 1h '", "1 GiB", "' 70 %'", "[]", "[1]", "{}",
}

// TestSchemaTakesOddValues: of every key, what the program takes the schema takes, too: an editor that marks a value which
// works teaches people to ignore what it marks.
func TestSchemaTakesOddValues(t *testing.T) {
	schema, probe := compileSchema(t), newProber(t)
	refused, taken := 0, 0
	for _, s := range build(t) {
		for _, r := range s.rows {
			path := join(s.path, r.key)
			for _, text := range oddValues {
				raw := []byte(probe.changed(t, append(slices.Clone(r.others), with{path, oddValue(t, text)})...))
				says := judge(schema, raw)
				if says == nil {
					taken++
					continue
				}
				refused++
				if _, errs := parse("f.yml", raw, new(Checks)); len(errs) == 0 {
					t.Errorf("%s: %s: the program takes what the schema refuses: %v", path, text, says)
				}
			}
		}
	}
	if refused < 1000 || taken < 1000 {
		t.Errorf("%d values were refused and %d taken: the search is broken", refused, taken)
	}
}

// oddValue reads a value as it stands in a file.
func oddValue(t *testing.T, text string) any {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return n.Content[0]
}
