package subject

import (
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// TestTable: each row is complete and stands once, and each kind of directory policy has one.
func TestTable(t *testing.T) {
	seen := make(map[Name]bool)
	for _, s := range Table {
		if s.Name == "" || s.Source == "" || s.Pressure == "" || s.Relief == "" || seen[s.Name] {
			t.Errorf("%+v is not complete, or stands twice", s)
		}
		seen[s.Name] = true
		if Of(s.Name) != s {
			t.Errorf("Of(%q) = %+v", s.Name, Of(s.Name))
		}
	}
	for _, k := range policy.Kinds {
		if !seen[Name(k.Name)] {
			t.Errorf("the kind %q has no row", k.Name)
		}
	}
	if Of("other").Name != Memory {
		t.Error("an unknown subject is not memory")
	}
}
