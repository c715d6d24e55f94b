package policy

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// one returns Folders with one policy of each kind, of which every folder is named.
func one(t *testing.T) *Folders {
	t.Helper()
	var f Folders
	v := reflect.ValueOf(&f).Elem()
	for _, list := range v.Fields() {
		list.Set(reflect.MakeSlice(list.Type(), 1, 1))
	}
	for _, k := range Kinds {
		for _, p := range f.Of(k.Name) {
			p.CommonKeys().Name = "p"
			for _, place := range p.Places() {
				*place.Dir = "/" + k.Name + "/" + place.Key
			}
		}
	}
	return &f
}

// TestKinds: each row is complete, and each list of Folders has its row.
func TestKinds(t *testing.T) {
	f := one(t)
	fields := reflect.TypeFor[Folders]()
	if len(Kinds) != fields.NumField() {
		t.Errorf("%d rows for %d lists", len(Kinds), fields.NumField())
	}
	seen := make(map[string]bool)
	for i, k := range Kinds {
		if k.Name == "" || k.Title == "" || k.Chart == nil || k.Action == "" || k.of == nil || k.clone == nil {
			t.Errorf("%+v is not complete", k)
		}
		if key := fields.Field(i).Tag.Get("yaml"); key != k.Key {
			t.Errorf("%s: the key %q stands in the place of the list %q", k.Name, k.Key, key)
		}
		for _, name := range []string{"name " + k.Name, "key " + k.Key, "action " + k.Action} {
			if seen[name] {
				t.Errorf("%s stands twice", name)
			}
			seen[name] = true
		}
		policies := f.Of(k.Name)
		if len(policies) != 1 || policies[0].Places()[0].Dir != &policies[0].CommonKeys().Dir {
			t.Errorf("%s: %d policies, want one whose first folder is its root", k.Name, len(policies))
		}
	}
	if f.Empty() || !new(Folders).Empty() || f.Of("other") != nil {
		t.Error("Empty, or Of an unknown kind, is wrong")
	}
}

// TestRooted: every folder of every kind is put below the root, of a copy.
func TestRooted(t *testing.T) {
	f := one(t)
	f.Uploads = append(f.Uploads, Upload{Common: Common{Dir: "/without/quarantine"}})
	before := *f
	rooted := f.Rooted(func(dir string) string { return "/host" + dir })
	if diff := cmp.Diff(before, *f); diff != "" {
		t.Errorf("Rooted changed its receiver:\n%s", diff)
	}
	for _, k := range Kinds {
		for i, p := range rooted.Of(k.Name) {
			for j, place := range p.Places() {
				was := *f.Of(k.Name)[i].Places()[j].Dir
				if was != "" && *place.Dir != "/host"+was || was == "" && *place.Dir != "" {
					t.Errorf("%s: %s is %q and was %q", k.Name, place.Key, *place.Dir, was)
				}
			}
		}
	}
	if q := f.Uploads[0].Quarantine; !strings.HasPrefix(q, "/upload/") {
		t.Errorf("the quarantine was %q", q)
	}
}
