package config

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/strictyaml"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const referenceDoc = "../../docs/configuration.md"

// section is the table of one struct of the configuration.
type section struct {
	path string // "" = the file itself; a struct that several keys have in common: the first of them
	typ  reflect.Type
	rows []row
}

// row is one key.
type row struct {
	key, values, fallback, meaning string
	below                          reflect.Type // the struct whose section says more; nil for none
	others                         []with       // the keys without which it is refused
}

// builder walks the types of the configuration.
type builder struct {
	t        testing.TB
	probe    *prober
	comments *comments
	sections []*section
}

// build returns a section for each struct that can be written, in the order in which they are met.
func build(t testing.TB) []*section {
	t.Helper()
	b := &builder{t: t, probe: newProber(t), comments: newComments()}
	b.walk("", reflect.TypeFor[Config](), nil)
	return b.sections
}

func (b *builder) walk(path string, typ reflect.Type, around []string) {
	if slices.ContainsFunc(b.sections, func(s *section) bool { return s.typ == typ }) {
		return
	}
	s := &section{path: path, typ: typ}
	b.sections = append(b.sections, s)
	siblings := append(around, b.choicesOf(path, typ)...)
	type nested struct {
		path   string
		typ    reflect.Type
		around []string // the keys of the struct that this one, or the one above it, is a part of
	}
	var later []nested
	for f := range typ.Fields() {
		key, inline := strictyaml.KeyOf(f)
		switch {
		case inline:
			later = append(later, nested{path, f.Type, siblings})
		case key != "":
			r := b.row(typ, f, join(path, key), siblings)
			s.rows = append(s.rows, r)
			if r.below != nil {
				later = append(later, nested{join(path, key) + listMark(f.Type), r.below, around})
			}
		}
	}
	for _, part := range partsOf(typ) {
		later = append(later, nested{path, part, siblings})
	}
	for _, n := range later {
		b.walk(n.path, n.typ, n.around)
	}
}

// partsOf returns the structs one of which gives a table further keys, by the value of one of its own.
func partsOf(typ reflect.Type) []reflect.Type {
	var out []reflect.Type
	if typ == reflect.TypeFor[dispatch.Step]() {
		for _, spec := range action.Table {
			if spec.Settings != nil {
				out = append(out, reflect.TypeOf(spec.Settings()).Elem())
			}
		}
	}
	return out
}

// listMark is what makes the path of a key that of the elements below it.
func listMark(typ reflect.Type) string {
	switch typ.Kind() {
	case reflect.Slice:
		return "[]"
	case reflect.Map:
		return ".mine" + listMark(typ.Elem())
	}
	return ""
}

// choicesOf asks for the choices of all texts of a struct and returns the paths of its keys.
func (b *builder) choicesOf(path string, typ reflect.Type) []string {
	var out []string
	for f := range typ.Fields() {
		key, inline := strictyaml.KeyOf(f)
		if inline {
			out = append(out, b.choicesOf(path, f.Type)...)
		} else if key != "" {
			p := join(path, key)
			b.probe.choices(b.t, p, f.Type.Kind() == reflect.Slice)
			out = append(out, p)
		}
	}
	return out
}

func (b *builder) row(owner reflect.Type, f reflect.StructField, path string, siblings []string) row {
	key, _ := strictyaml.KeyOf(f)
	r := row{key: key, meaning: b.comments.of(b.t, owner, f.Name)}
	if r.meaning == "" {
		b.t.Errorf("%s: the field %s.%s has no comment: say there what the key means", path, owner, f.Name)
	}
	r.meaning = phrase(f.Name, r.meaning)
	typ := f.Type
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	r.below = structBelow(typ)
	others, ok := b.probe.context(b.t, path, typ, siblings)
	if !ok {
		b.t.Errorf("%s: every value was refused: write what it needs into baseDoc, or a value into samples", path)
	}
	if len(b.probe.choices(b.t, path, typ.Kind() == reflect.Slice)) == 0 { // it may have some next to another key
		delete(b.probe.seen, path)
		b.probe.base = b.probe.changed(b.t, others...)
		b.probe.choices(b.t, path, typ.Kind() == reflect.Slice)
		b.probe.base = baseDoc
	}
	r.others = others
	r.values = b.values(path, typ, f.Type.Kind() == reflect.Pointer, others)
	r.fallback = b.fallback(path, typ, others)
	return r
}

// phrase makes a comment one that goes on after the key: without the name of the field, and small at
// the beginning unless the whole first word is in capitals.
func phrase(field, text string) string {
	text = strings.TrimPrefix(text, field+" ")
	if first, _, _ := strings.Cut(text, " "); len(first) == 1 || first != strings.ToUpper(first) {
		return strings.ToLower(text[:1]) + text[1:]
	}
	return text
}

// structBelow returns the struct that is written below a key.
func structBelow(typ reflect.Type) reflect.Type {
	for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map || typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Struct {
		return typ
	}
	return nil
}

// values says what can be written.
func (b *builder) values(path string, typ reflect.Type, optional bool, others []with) string {
	if c := b.probe.seen[path]; len(c) > 0 {
		text := "`" + strings.Join(c, "`, `") + "`"
		if typ.Kind() == reflect.Slice {
			return "list of " + text
		}
		return text
	}
	name := typeName(typ)
	low, high := b.probe.bounds(b.t, path, typ, optional, others)
	switch {
	case low != "" && high != "":
		return fmt.Sprintf("%s, %s to %s", name, low, high)
	case low != "" && low != "1":
		return fmt.Sprintf("%s, at least %s", name, low)
	case high != "":
		return fmt.Sprintf("%s, at most %s", name, high)
	}
	return name
}

func typeName(typ reflect.Type) string {
	switch typ {
	case reflect.TypeFor[units.Duration]():
		return "duration"
	case reflect.TypeFor[units.Bytes]():
		return "size"
	case reflect.TypeFor[units.Ratio]():
		return "share"
	case reflect.TypeFor[series.Level]():
		return "level"
	}
	switch typ.Kind() {
	case reflect.Bool:
		return "`true`, `false`"
	case reflect.Int, reflect.Int64:
		return "number"
	case reflect.Slice:
		return "list of " + typeName(typ.Elem()) + "s"
	case reflect.Map:
		return "table, of each name a " + typeName(typ.Elem())
	case reflect.Struct:
		return "table"
	case reflect.String:
		return "text"
	}
	return typ.String()
}

// fallback says what holds when the key is not written.
func (b *builder) fallback(path string, typ reflect.Type, others []with) string {
	if b.probe.required(b.t, path) {
		return "required"
	}
	v := b.probe.value(b.t, path, others...)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if typ.Kind() == reflect.Bool {
		return fmt.Sprintf("`%t`", v.Kind() == reflect.Bool && v.Bool())
	}
	if !v.IsValid() || v.IsZero() || structBelow(typ) != nil {
		return "-"
	}
	if v.Kind() == reflect.String && v.String() == baseCache { // taken from another key
		return "-"
	}
	if v.Kind() == reflect.Slice {
		var items []string
		for i := range v.Len() {
			items = append(items, fmt.Sprint(v.Index(i)))
		}
		return "`[" + strings.Join(items, ", ") + "]`"
	}
	return fmt.Sprintf("`%v`", v.Interface())
}

func (s *section) table(doc string) string {
	var out strings.Builder
	out.WriteString("| key | values | default | meaning |\n|---|---|---|---|\n")
	for _, r := range s.rows {
		values := r.values
		if r.below != nil {
			if anchor := headingAbove(doc, begin(r.below)); anchor != "" {
				values = "[" + values + "](#" + anchor + ")"
			}
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", r.key, values, r.fallback, strings.ReplaceAll(r.meaning, "|", `\|`))
	}
	return out.String()
}

func begin(typ reflect.Type) string { return "<!-- keys of " + typ.String() + " -->\n" }

const end = "<!-- end of keys -->\n"

// headingAbove returns the fragment of the last heading before a mark.
func headingAbove(doc, mark string) string {
	before, _, ok := strings.Cut(doc, mark)
	i := strings.LastIndex("\n"+before, "\n#")
	if !ok || i < 0 {
		return ""
	}
	title, _, _ := strings.Cut(before[i:], "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(strings.TrimLeft(title, "#")))
}

// fill puts the tables between their marks. What has none yet is added at the end.
func fill(doc string, sections []*section) string {
	for _, s := range sections {
		if !strings.Contains(doc, begin(s.typ)) {
			doc += "\n## Keys below `" + strings.ReplaceAll(s.path, "[]", "") + "`\n\n" + begin(s.typ) + end
		}
	}
	for _, s := range sections {
		before, rest, _ := strings.Cut(doc, begin(s.typ))
		_, after, ok := strings.Cut(rest, end)
		if ok {
			doc = before + begin(s.typ) + s.table(doc) + end + after
		}
	}
	return doc
}

// TestReference fails when the tables of docs/configuration.md are stale;
// go test ./internal/config -run TestReference -update writes them.
func TestReference(t *testing.T) {
	sections := build(t)
	raw, err := os.ReadFile(referenceDoc)
	if err != nil {
		t.Fatal(err)
	}
	want := fill(string(raw), sections)
	if *update && !t.Failed() {
		if err := os.WriteFile(referenceDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("%s is stale, run go test ./internal/config -run TestReference -update (-want +have):\n%s", referenceDoc, diff)
	}
	for _, s := range sections {
		if n := strings.Count(string(raw), begin(s.typ)); n != 1 {
			t.Errorf("the mark of %s stands %d times, want once", s.typ, n)
		}
	}
	if n := strings.Count(string(raw), "<!-- keys of "); n != len(sections) {
		t.Errorf("%d marks for %d tables: one is of a type that is gone", n, len(sections))
	}
}

// TestReferenceIsWhatIsRead asks the decoder which keys each table can have: all of them have a row,
// and every row is one of them.
func TestReferenceIsWhatIsRead(t *testing.T) {
	sections := build(t)
	rows := make(map[reflect.Type][]string)
	for _, s := range sections {
		for _, r := range s.rows {
			rows[s.typ] = append(rows[s.typ], r.key)
		}
	}
	part := make(map[reflect.Type]bool)
	var all func(typ reflect.Type) []string
	all = func(typ reflect.Type) []string {
		out := slices.Clone(rows[typ])
		for f := range typ.Fields() {
			if _, inline := strictyaml.KeyOf(f); inline {
				part[f.Type] = true
				out = append(out, all(f.Type)...)
			}
		}
		return out
	}
	p := newProber(t)
	for _, s := range sections {
		for _, typ := range partsOf(s.typ) {
			part[typ] = true
		}
	}
	for _, s := range sections {
		want := all(s.typ)
		if part[s.typ] {
			continue
		}
		const no = "nonsense_that_is_no_key"
		var others []with
		if strings.HasPrefix(s.path, "targets[].playbooks.mine[].drain") { // it is a key of one action alone
			others = s.rows[0].others
		}
		said := p.complaints(t, join(s.path, no), "1", others...)
		if len(said) != 1 {
			t.Errorf("%s: a key that is none: %q", s.path, said)
			continue
		}
		_, list, _ := strings.Cut(said[0], "write ")
		list = strings.TrimPrefix(list, "one of ")
		read := strings.Split(list, ", ")
		slices.Sort(read)
		slices.Sort(want)
		if diff := cmp.Diff(read, want); diff != "" {
			t.Errorf("%s (-read +in the table):\n%s", s.path, diff)
		}
	}
}

func TestReferenceParts(t *testing.T) {
	doc := "# A\n\n## Two Words\n" + begin(reflect.TypeFor[Webhook]()) + "stale\n" + end + "prose\n"
	one := &section{path: "w", typ: reflect.TypeFor[Webhook](), rows: []row{{key: "k", values: "a", fallback: "-", meaning: "x | y"}}}
	two := &section{path: "v[]", typ: reflect.TypeFor[Thresholds](), rows: []row{{key: "k", values: "table", fallback: "-", meaning: "m", below: one.typ}}}
	const head = "| key | values | default | meaning |\n|---|---|---|---|\n"
	want := "# A\n\n## Two Words\n" + begin(one.typ) + head + "| `k` | a | - | x \\| y |\n" + end + "prose\n" +
		"\n## Keys below `v`\n\n" + begin(two.typ) + head + "| `k` | [table](#two-words) | - | m |\n" + end
	if diff := cmp.Diff(want, fill(doc, []*section{one, two})); diff != "" {
		t.Errorf("fill (-want +got):\n%s", diff)
	}
	for _, c := range [][3]string{
		{"Dir", "Dir is the root", "is the root"},
		{"Dir", "Files that go", "files that go"},
		{"Dir", "POST the JSON", "POST the JSON"},
	} {
		if got := phrase(c[0], c[1]); got != c[2] {
			t.Errorf("phrase(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\ntype T struct {\n\t// Above,\n\t// twice.\n\tA, B int // alongside\n\tC int\n}", parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	body := file.Decls[0].(*ast.GenDecl).Specs[0].(*ast.TypeSpec).Type.(*ast.StructType)
	if diff := cmp.Diff(map[string]string{"A": "Above, twice; alongside", "B": "Above, twice; alongside", "C": ""}, fieldComments(body)); diff != "" {
		t.Errorf("comments (-want +got):\n%s", diff)
	}
}
