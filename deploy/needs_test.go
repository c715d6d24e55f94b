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
				if f.Extra != extra || f.Apart {
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

// TestFilterOfSystemCalls: the unit and each container have the filter of the table and no other.
// TestUnitAdmitsSystemCalls asks whether it lets the calls of the code through.
func TestFilterOfSystemCalls(t *testing.T) {
	if got := values(shippedSettings(t), "SystemCallFilter"); !slices.Equal(got, strings.Fields(needs.Filter)) {
		t.Errorf("SystemCallFilter is %q, the table says %s", got, needs.Filter)
	}
	profile := regexp.MustCompile(`seccompProfile: *\{type: (\w+)\}`)
	for _, file := range []string{"kubernetes/daemonset.yaml", "kubernetes/sidecar.yaml", "helm/spillway-exporter/templates/daemonset.yaml"} {
		text := read(t, file)
		found := profile.FindAllStringSubmatch(text, -1)
		if len(found) != 1 || found[0][1] != needs.Profile || strings.Count(text, "seccompProfile") != 1 {
			t.Errorf("%s: seccompProfile %q, the table says %s", file, found, needs.Profile)
		}
	}
	if strings.Contains(read(t, "compose/compose.yaml"), "seccomp") {
		t.Error("compose.yaml changes the profile of the engine")
	}
}

// TestNothingElseIsGiven: containers drop all that the table does not have, and the chart adds what the table says.
func TestNothingElseIsGiven(t *testing.T) {
	for file, drop := range map[string]string{
		"kubernetes/daemonset.yaml": "drop: [ALL]", "kubernetes/sidecar.yaml": "drop: [ALL]",
		"helm/spillway-exporter/templates/daemonset.yaml": "drop: [ALL]", "compose/compose.yaml": "cap_drop: [ALL]",
	} {
		text := read(t, file)
		if strings.Count(text, drop) != 1 || strings.Contains(text, "privileged: true") {
			t.Errorf("%s does not drop all capabilities", file)
		}
	}
	if listOf.MatchString(read(t, "kubernetes/sidecar.yaml")) {
		t.Error("sidecar.yaml adds capabilities: it looks at processes of its own user")
	}
	var added []string
	for _, m := range regexp.MustCompile(`concat \(list ([^)]+)\) \.Values\.extraCapabilities`).FindAllStringSubmatch(read(t, "helm/spillway-exporter/templates/daemonset.yaml"), -1) {
		added = sorted(strings.Fields(strings.ReplaceAll(m[1], `"`, "")))
	}
	if want := sorted(bare(needs.Capabilities(false))); !slices.Equal(added, want) {
		t.Errorf("the chart adds %q, the table says %q", added, want)
	}
}

// TestApartIsDocumentedAlone: what is close to being root stands in the documentation, and in no file that is
// installed.
func TestApartIsDocumentedAlone(t *testing.T) {
	heap, settings := read(t, "../docs/heap.md"), shippedSettings(t)
	given := strings.Fields(strings.Join(append(values(settings, "AmbientCapabilities"), values(settings, "CapabilityBoundingSet")...), " "))
	for _, f := range needs.Features {
		if !f.Apart {
			continue
		}
		for _, line := range append([]string{"AmbientCapabilities=" + strings.Join(f.Capabilities, " "), "CapabilityBoundingSet=" + strings.Join(f.Capabilities, " ")}, f.Unit...) {
			if !strings.Contains(heap, "\n"+line+"\n") {
				t.Errorf("heap.md has no line %s, which %s needs", line, f.Name)
			}
		}
		for _, c := range f.Capabilities {
			if slices.Contains(given, c) {
				t.Errorf("a unit or drop-in gives %s, which %s has apart", c, f.Name)
			}
		}
	}
}

// TestCapabilitiesOfTheCode: the code asks for no capability that no feature needs.
func TestCapabilitiesOfTheCode(t *testing.T) {
	var known []string
	for _, f := range needs.Features {
		known = append(append(known, f.Capabilities...), f.Instead...)
	}
	_, asked := usesOfUnix(t, "CAP_")
	if len(asked) < 5 {
		t.Fatalf("found %v: the search does not work", asked)
	}
	for name, place := range asked {
		if !slices.Contains(known, "CAP_"+name) {
			t.Errorf("%s: no feature of the table needs CAP_%s", place, name)
		}
	}
}
