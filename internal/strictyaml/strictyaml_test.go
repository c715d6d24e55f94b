package strictyaml

import (
	"fmt"
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

func decodeText(t *testing.T, text string) (outer, []Mistake) {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	var out outer
	errs := Decode(root.Content[0], &out, nil)
	return out, errs
}

func said(errs []Mistake) []string {
	out := make([]string, len(errs))
	for i, e := range errs {
		out[i] = fmt.Sprintf("%d: %s: %s", e.Line, e.Key, e.Msg)
	}
	return out
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
		`1: name: is a list: write a single value`,
		`2: namw: unknown key: did you mean "name"?`,
		`3: count: "1.5" is not a whole number: write digits only, such as 100`,
		`4: size: "1 parsec" is not a size: write bytes or a number with a unit, such as 1GiB, 512MiB or 512MB`,
		`5: on: "yes please" is not a switch: write true or false`,
		`7: list[0].sise: unknown key: did you mean "size"?`,
		`8: list[1]: is a single value: write keys and values, such as {size: ...}`,
		`9: table: is a single value: write names and values, such as {name: ...}`,
		`11: count: stands twice, first in line 3: remove one`,
		`12: probe: unknown key: write one of size, on, name, count, share, list, table`,
		`13: made: unknown key: did you mean "name"?`,
		`14: <<: merge keys are not read: write the values out`,
	}
	if diff := cmp.Diff(want, said(errs)); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

// TestNearest: of a short word, one that differs in two letters is another word.
func TestNearest(t *testing.T) {
	f := func(word, want string) {
		t.Helper()
		if got := Nearest(word, []string{"pull", "push", "name"}); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
	f("url", "")
	f("nam", "name")
	f("made", "name")
	f("pulls", "pull")
}

func TestDecodeAliasOfItself(t *testing.T) {
	var root yaml.Node
	alias := &yaml.Node{Kind: yaml.AliasNode}
	alias.Alias = alias
	root = yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: "list"}, alias}}
	var out outer
	errs := Decode(&root, &out, nil)
	if len(errs) != 1 || !strings.Contains(errs[0].Msg, "contains itself") {
		t.Errorf("mistakes = %v, want one about the alias", errs)
	}
}

func TestLineOf(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte("a: 1\nlist:\n  - {x: 1}\n  - x: 2\n    y: 3\n"), &root); err != nil {
		t.Fatal(err)
	}
	f := func(key string, want int) {
		t.Helper()
		if got := LineOf(&root, key); got != want {
			t.Errorf("LineOf(%q) = %d, want %d", key, got, want)
		}
	}
	f("a", 1)
	f("list", 2)
	f("list[0].x", 3)
	f("list[1].y", 5)
	f("list[1].missing", 4)
	f("missing", 0)
}

// step is what a chooser and the other hooks are for.
type step struct {
	Do     string `yaml:"do"`
	Level  letter `yaml:"level"`
	Verify check  `yaml:"verify"`
	with   any
}

type letter rune

type check struct {
	After   int `yaml:"after"`
	written bool
}

type call struct {
	URL  string   `yaml:"url"`
	Args []string `yaml:"args"`
}

func (c *check) NoteWritten() { c.written = true }

func (s *step) UnmarshalShorthand(text string) { s.Do = text }
func (s *step) Chooses() string                { return "do" }

func (s *step) Choose(do string) any {
	if do == "call" {
		s.with = &call{}
	}
	return s.with
}

func (s *step) Misplaced(key string) string {
	if key == "url" || key == "args" {
		return "is for call: remove the key"
	}
	return ""
}

func TestChooser(t *testing.T) {
	texts := Texts{reflect.TypeFor[letter](): func(text string) (any, error) {
		if len(text) != 1 {
			return nil, fmt.Errorf("%q is not a letter", text)
		}
		return letter(text[0]), nil
	}}
	read := func(text string) ([]step, []string) {
		t.Helper()
		var root yaml.Node
		if err := yaml.Unmarshal([]byte(text), &root); err != nil {
			t.Fatal(err)
		}
		var out []step
		errs := Decode(root.Content[0], &out, texts)
		return out, said(errs)
	}
	got, errs := read("[rest, {args: [a, ''], do: &x call, url: u, level: w}, {do: *x, verify: {}}]")
	if len(errs) > 0 || len(got) != 3 {
		t.Fatal(got, errs)
	}
	c, ok := got[1].with.(*call)
	if got[0].Do != "rest" || got[0].with != nil || !ok || c.URL != "u" || len(c.Args) != 2 || got[1].Level != 'w' || got[1].Verify.written {
		t.Errorf("read %+v, %+v", got, c)
	}
	if _, ok := got[2].with.(*call); !ok || !got[2].Verify.written {
		t.Errorf("an alias, and a table that is empty: %+v", got[2])
	}
	_, errs = read("- {do: call, url: '', args: x}\n- {do: rest, url: u}\n- {do: call, urk: u}\n- [call]\n- {do: [call], url: u, level: no}\n- 3\n- {other: 1}")
	want := []string{
		"1: [0].url: is empty: write a value or remove the key",
		"1: [0].args: is a single value: write a list, such as [a, b] or lines that begin with '- '",
		"2: [1].url: is for call: remove the key",
		`3: [2].urk: unknown key: did you mean "url"?`,
		"4: [3]: is a list: write keys and values, such as {do: ...}",
		"5: [4].do: is a list: write a single value",
		"5: [4].url: is for call: remove the key",
		`5: [4].level: "no" is not a letter`,
		"6: [5]: is a single value: write keys and values, such as {do: ...}",
		"7: [6].other: unknown key: write one of do, level, verify",
	}
	if diff := cmp.Diff(want, errs); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}
