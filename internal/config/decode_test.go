package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

type Inner struct {
	Size units.Bytes `yaml:"size"`
	On   *bool       `yaml:"on"`
}

type outer struct {
	Inner `yaml:",inline"`
	Name  string           `yaml:"name"`
	Count int              `yaml:"count"`
	Share *units.Ratio     `yaml:"share"`
	List  []Inner          `yaml:"list"`
	Table map[string]Inner `yaml:"table"`
	Made  bool             `yaml:"-"`
}

func decodeText(t *testing.T, text string) (outer, Errors) {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	var out outer
	d := &decoder{file: "f.yml"}
	d.decode(root.Content[0], reflect.ValueOf(&out).Elem(), "", 0)
	return out, d.errs
}

func TestDecode(t *testing.T) {
	got, errs := decodeText(t, `
name: a
count: 3
share: 70%
size: 1KiB
on: true
list: [{size: 2KiB}, {on: false}]
table:
  x: &x {size: 1}
  y: *x
`)
	if errs != nil {
		t.Fatal(errs)
	}
	yes, no, share := true, false, units.Ratio(.7)
	want := outer{
		Inner: Inner{Size: 1024, On: &yes}, Name: "a", Count: 3, Share: &share,
		List:  []Inner{{Size: 2048}, {On: &no}},
		Table: map[string]Inner{"x": {Size: 1}, "y": {Size: 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func TestDecodeReportsEveryMistake(t *testing.T) {
	_, errs := decodeText(t, `name: [a]
namw: b
count: 1.5
size: 1 parsec
on: yes please
list:
  - {size: 1KiB, sise: 2}
  - 7
table: 3
share:
count: 4
probe: []
made: true
"<<": {}
`)
	want := []string{
		`f.yml:1: name: is a list: write a single value`,
		`f.yml:2: namw: unknown key: did you mean "name"?`,
		`f.yml:3: count: "1.5" is not a whole number: write digits only, such as 100`,
		`f.yml:4: size: "1 parsec" is not a size: write bytes or a number with a unit, such as 1GiB, 512MiB or 512MB`,
		`f.yml:5: on: "yes please" is not a switch: write true or false`,
		`f.yml:7: list[0].sise: unknown key: did you mean "size"?`,
		`f.yml:8: list[1]: is a single value: write keys and values, such as {size: ...}`,
		`f.yml:9: table: is a single value: write names and values, such as {name: ...}`,
		`f.yml:11: count: stands twice, first in line 3: remove one`,
		`f.yml:12: probe: unknown key: write one of size, on, name, count, share, list, table`,
		`f.yml:13: made: unknown key: did you mean "name"?`,
		`f.yml:14: <<: merge keys are not read: write the values out`,
	}
	if diff := cmp.Diff(want, strings.Split(errs.Error(), "\n")); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

func TestDecodeAliasOfItself(t *testing.T) {
	var root yaml.Node
	alias := &yaml.Node{Kind: yaml.AliasNode}
	alias.Alias = alias
	root = yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: "list"}, alias}}
	var out outer
	d := &decoder{file: "f.yml"}
	d.decode(&root, reflect.ValueOf(&out).Elem(), "", 0)
	if len(d.errs) != 1 || !strings.Contains(d.errs[0].Msg, "contains itself") {
		t.Errorf("mistakes = %v, want one about the alias", d.errs)
	}
}

func TestLineOf(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte("a: 1\nlist:\n  - {x: 1}\n  - x: 2\n    y: 3\n"), &root); err != nil {
		t.Fatal(err)
	}
	f := func(key string, want int) {
		t.Helper()
		if got := lineOf(&root, key); got != want {
			t.Errorf("lineOf(%q) = %d, want %d", key, got, want)
		}
	}
	f("a", 1)
	f("list", 2)
	f("list[0].x", 3)
	f("list[1].y", 5)
	f("list[1].missing", 4)
	f("missing", 0)
}
