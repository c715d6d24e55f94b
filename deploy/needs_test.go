package deploy

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/needs"
)

// bare are the names of capabilities as containers write them.
func bare(capabilities []string) []string {
	var out []string
	for _, c := range capabilities {
		out = append(out, strings.TrimPrefix(c, "CAP_"))
	}
	return out
}

func sorted(words []string) []string { return slices.Compact(slices.Sorted(slices.Values(words))) }

// TestUnitGivesWhatFeaturesNeed: the unit has the capabilities of the table, and its drop-in offers those
// and the lines of all that the unit does not come with.
func TestUnitGivesWhatFeaturesNeed(t *testing.T) {
	for file, extra := range map[string]bool{"systemd/spillway_exporter.service": false, "systemd/enforce.conf": true} {
		settings := parseSettings(file, read(t, file))
		for _, key := range []string{"AmbientCapabilities", "CapabilityBoundingSet"} {
			if got, want := sorted(values(settings, key)), sorted(needs.Capabilities(extra)); !slices.Equal(got, want) {
				t.Errorf("%s: %s is %q, the table says %q", file, key, got, want)
			}
		}
		for _, f := range needs.Features {
			for _, line := range f.Unit {
				if f.Extra != extra {
					continue
				}
				prefix, _, _ := strings.Cut(line, needs.Dir) // each folder has its own line
				if !slices.ContainsFunc(settings, func(s setting) bool { return strings.HasPrefix(s.key+"="+s.value, prefix) }) {
					t.Errorf("%s has no line %s, which %s needs", file, line, f.Name)
				}
			}
		}
	}
}

var listOf = regexp.MustCompile(`(?m)^ *(?:add|cap_add): \[([A-Z_, ]+)\]`)

// TestContainersGiveWhatFeaturesNeed: the manifests have what the unit comes with, and the chart lets in
// what its drop-in offers.
func TestContainersGiveWhatFeaturesNeed(t *testing.T) {
	for _, file := range []string{"kubernetes/daemonset.yaml", "compose/compose.yaml"} {
		m := listOf.FindStringSubmatch(read(t, file))
		if m == nil {
			t.Errorf("%s adds no capabilities", file)
			continue
		}
		if got, want := sorted(strings.Split(m[1], ", ")), sorted(bare(needs.Capabilities(false))); !slices.Equal(got, want) {
			t.Errorf("%s: %q, the table says %q", file, got, want)
		}
	}
	schema := read(t, "helm/spillway-exporter/values.schema.json")
	_, rest, _ := strings.Cut(schema, `"extraCapabilities": {"type": "array", "items": {"enum": [`)
	list, _, _ := strings.Cut(rest, "]")
	if got, want := sorted(strings.Split(strings.ReplaceAll(list, `"`, ""), ", ")), sorted(bare(needs.Capabilities(true))); !slices.Equal(got, want) {
		t.Errorf("the chart lets in %q, the table says %q", got, want)
	}
}

// TestNeedsAreDocumented: install.md has a line for each capability.
func TestNeedsAreDocumented(t *testing.T) {
	text := read(t, "../docs/install.md")
	for _, c := range append(needs.Capabilities(false), needs.Capabilities(true)...) {
		if !strings.Contains(text, "| `"+c+"`") {
			t.Errorf("install.md has no line for %s", c)
		}
	}
}

// TestNeedsAreWhole: every call of a feature is in the table of calls, and every call belongs to a feature.
func TestNeedsAreWhole(t *testing.T) {
	var used []string
	names := make(map[needs.Name]bool)
	for _, f := range needs.Features {
		used = append(used, f.Calls...)
		if names[f.Name] || f.For == "" {
			t.Errorf("%s is there twice, or does not say what it is for", f.Name)
		}
		names[f.Name] = true
	}
	if got, want := sorted(used), slices.Sorted(maps.Keys(needs.Calls)); !slices.Equal(got, want) {
		t.Errorf("features make the calls %q, the table of calls has %q", got, want)
	}
}
