package action

import (
	"reflect"
	"slices"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/strictyaml"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// TestTable: each row is complete and stands once, and no two actions share a key of a step.
func TestTable(t *testing.T) {
	owners := map[string]string{"do": "a step", "to": "a step", "when": "a step", "cooldown": "a step", "timeout": "a step", "verify": "a step"}
	seen := make(map[string]bool)
	for _, s := range Table {
		if s.Name == "" || s.has == nil || s.make == nil || seen[s.Name] {
			t.Errorf("%+v is not complete, or stands twice", s)
		}
		seen[s.Name] = true
		if s.Subject != "" && subject.Of(s.Subject).Name != s.Subject {
			t.Errorf("%s relieves %q, which is not a subject", s.Name, s.Subject)
		}
		if !s.has(&Means{Folders: &policy.Folders{}}) == (s.Needs == "") {
			t.Errorf("%s: a target with nothing has its means, or it needs %q", s.Name, s.Needs)
		}
		if s.Settings == nil {
			continue
		}
		for _, key := range strictyaml.FieldNames(reflect.TypeOf(s.Settings()).Elem()) {
			if owners[key] != "" {
				t.Errorf("the key %s is of %s and of %s", key, owners[key], s.Name)
			}
			owners[key] = s.Name
			if got, want := Misplaced(key), "is for "+s.Name+": remove the key"; got != want {
				t.Errorf("Misplaced(%q) = %q, want %q", key, got, want)
			}
		}
		if NewSettings(s.Name) == NewSettings(s.Name) {
			t.Errorf("two steps of %s would share their settings", s.Name)
		}
	}
	for _, k := range policy.Kinds {
		if s, ok := SpecOf(k.Action); !ok || s.Kind != k.Name || s.Needs != k.Key {
			t.Errorf("%s: no action enforces it: %+v", k.Name, s)
		}
	}
	if Misplaced("colldown") != "" || NewSettings("clean_temp") != nil || NewSettings("other") != nil {
		t.Error("a key, or settings, of nothing")
	}
}

// TestMeans: a target can do what it has the means for, and nothing else.
func TestMeans(t *testing.T) {
	f := func(m Means, want ...string) {
		t.Helper()
		m.Logger = quiet
		if m.Folders == nil {
			m.Folders = &policy.Folders{}
		}
		got := m.Make()
		for _, name := range Names() {
			if m.Has(name) != slices.Contains(want, name) || (got[name] != nil) != slices.Contains(want, name) {
				t.Errorf("%+v: has %s: %t, made %v", m, name, m.Has(name), got[name])
			}
		}
		if m.Has("other") || len(got) != len(want) {
			t.Errorf("made %d actions, want %d", len(got), len(want))
		}
	}
	f(Means{}, NameHTTP, NameCommand, NameRestart)
	f(Means{Processes: true}, NameHTTP, NameCommand, NameRestart, NameSignal, NameReclaim)
	f(Means{Collects: true}, NameHTTP, NameCommand, NameRestart, NameCollectGarbage)
	f(Means{Folders: &policy.Folders{Logs: make([]policy.Log, 1), Caches: make([]policy.Cache, 2)}}, NameHTTP, NameCommand, NameRestart, NameRotateLogs, NameEvictCache)
}

// TestWithoutSettings: an action that a step gives no settings does nothing.
func TestWithoutSettings(t *testing.T) {
	m := Means{Folders: &policy.Folders{}, Processes: true, Logger: quiet}
	for name, a := range m.Make() {
		for _, s := range []Settings{nil, new(CommandSettings), new(HTTPSettings), new(SignalSettings), new(ReclaimSettings)} {
			if res, err := a.Run(t.Context(), Request{Settings: s}); err == nil || res.Outcome != Failed {
				t.Errorf("%s given %T: %+v, %v", name, s, res, err)
			}
		}
	}
}
