package strictyaml

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds nesting, so that an alias that contains itself ends in an error.
const maxDepth = 32

// Mistake is one thing that is wrong: where, and what to write instead.
type Mistake struct {
	Line int    // 0 when it is not known
	Key  string // its path, such as "targets[0].name"
	Msg  string

	Meant string // of an unknown key, the path of the one that it is taken for; else ""
}

// Texts read the values of types that cannot do so themselves.
type Texts map[reflect.Type]func(text string) (any, error)

// Shorthand is a struct or list that can also be written as a single text.
type Shorthand interface {
	UnmarshalShorthand(text string)
}

// Chooser is a struct one key of which says which further keys it has: a step its action.
type Chooser interface {
	// Chooses returns that key.
	Chooses() string
	// Choose returns a pointer to the struct of the further keys that go with a value of it, nil for none.
	Choose(value string) any
	// Misplaced says what is wrong with a key that goes with other values; "" when it goes with none.
	Misplaced(key string) string
}

// Noter is a struct that is to know that it was written, be it empty.
type Noter interface {
	NoteWritten()
}

// Hinter is a struct that expects certain keys it does not have, such as those of other programs.
type Hinter interface {
	// Instead says what to write instead of such a key; "" when nothing is known about it.
	Instead(key string) string
}

// Decode fills the value that into points to and returns every mistake.
func Decode(n *yaml.Node, into any, texts Texts) []Mistake {
	d := &decoder{texts: texts}
	d.decode(n, reflect.ValueOf(into).Elem(), "", 0)
	return d.errs
}

type decoder struct {
	texts Texts
	errs  []Mistake
}

func (d *decoder) fail(n *yaml.Node, key, format string, args ...any) {
	line := 0
	if n != nil {
		line = n.Line
	}
	d.errs = append(d.errs, Mistake{Line: line, Key: key, Msg: fmt.Sprintf(format, args...)})
}

// decode fills v, which must be settable, from n.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, key string, depth int) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
		if depth++; depth > maxDepth {
			break
		}
	}
	if depth > maxDepth {
		d.fail(n, key, "nested more than %d levels deep: an alias that contains itself? write the values out", maxDepth)
		return
	}
	if v.Kind() == reflect.Pointer {
		if n.Tag == "!!null" {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if read := d.texts[v.Type()]; read != nil {
		d.text(n, textFunc(func(text string) error {
			value, err := read(text)
			if err == nil {
				v.Set(reflect.ValueOf(value))
			}
			return err
		}), key)
		return
	}
	if u, ok := reflect.TypeAssert[Shorthand](v.Addr()); ok && n.Kind == yaml.ScalarNode {
		switch list := v.Kind() == reflect.Slice; {
		case n.Tag == "!!str", n.Tag == "!!bool", list && n.Tag != "!!null": // of false the type says what to write
			u.UnmarshalShorthand(n.Value)
			return
		case list:
			d.fail(n, key, "has no value: write one or remove the key")
			return
		}
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		d.text(n, u, key)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, v, key, depth)
	case reflect.Slice:
		d.sequence(n, v, key, depth)
	case reflect.Map:
		d.table(n, v, key, depth)
	default:
		d.scalar(n, v, key)
	}
}

// textFunc is a function that reads a text.
type textFunc func(text string) error

// UnmarshalText implements encoding.TextUnmarshaler.
func (f textFunc) UnmarshalText(text []byte) error { return f(string(text)) }

func (d *decoder) text(n *yaml.Node, u encoding.TextUnmarshaler, key string) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, key, "is a %s: write a single value", kindName(n))
		return
	}
	if n.Tag == "!!null" {
		d.fail(n, key, "has no value: write one or remove the key")
		return
	}
	if err := u.UnmarshalText([]byte(n.Value)); err != nil {
		d.fail(n, key, "%s", err)
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, key string, depth int) {
	if n.Tag == "!!null" {
		return // `heap:` with nothing below it: the defaults
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, key, "is a %s: write keys and values, such as {%s: ...}", kindName(n), FieldNames(v.Type())[0])
		return
	}
	if w, ok := reflect.TypeAssert[Noter](v.Addr()); ok {
		w.NoteWritten()
	}
	fields, names, misplaced := FieldsOf(v), FieldNames(v.Type()), func(string) string { return "" }
	var part map[string]reflect.Value
	if c, ok := reflect.TypeAssert[Chooser](v.Addr()); ok {
		misplaced = c.Misplaced
		if chosen := c.Choose(valueOf(n, c.Chooses())); chosen != nil {
			part = FieldsOf(reflect.ValueOf(chosen).Elem())
			names = append(names, FieldNames(reflect.TypeOf(chosen).Elem())...)
		}
	}
	instead := func(string) string { return "" }
	if h, ok := reflect.TypeAssert[Hinter](v.Addr()); ok {
		instead = h.Instead
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], n.Content[i+1]
		path := join(key, k.Value)
		if line, twice := seen[k.Value]; twice {
			d.fail(k, path, "stands twice, first in line %d: remove one", line)
			continue
		}
		seen[k.Value] = k.Line
		field, known := fields[k.Value]
		chosen, further := part[k.Value]
		switch says := misplaced(k.Value); {
		case known:
			d.decode(val, field, path, depth+1)
		case further:
			d.decode(val, chosen, path, depth+1)
			if chosen.Kind() == reflect.String && val.Kind == yaml.ScalarNode && val.Tag != "!!null" && chosen.String() == "" {
				d.fail(k, path, "is empty: write a value or remove the key")
			}
		case says != "":
			d.fail(k, path, "%s", says)
		default:
			d.fail(k, path, "%s", unknownKey(k.Value, names, instead(k.Value)))
			if near := Nearest(k.Value, names); near != "" {
				d.errs[len(d.errs)-1].Meant = join(key, near)
			}
		}
	}
}

// valueOf returns the single value of a key of a table, "" when there is none.
func valueOf(n *yaml.Node, key string) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		val := n.Content[i+1]
		for depth := 0; val.Kind == yaml.AliasNode && depth < maxDepth; depth++ {
			val = val.Alias
		}
		if n.Content[i].Value == key && val.Kind == yaml.ScalarNode {
			return val.Value
		}
	}
	return ""
}

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, key string, depth int) {
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.fail(n, key, "is a %s: write a list, such as [a, b] or lines that begin with '- '", kindName(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.decode(item, v.Index(i), fmt.Sprintf("%s[%d]", key, i), depth+1)
	}
}

func (d *decoder) table(n *yaml.Node, v reflect.Value, key string, depth int) {
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, key, "is a %s: write names and values, such as {name: ...}", kindName(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], n.Content[i+1]
		path := join(key, k.Value)
		name := reflect.ValueOf(k.Value).Convert(v.Type().Key())
		if v.MapIndex(name).IsValid() {
			d.fail(k, path, "stands twice: remove one")
			continue
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		d.decode(val, elem, path, depth+1)
		v.SetMapIndex(name, elem)
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, key, "is a %s: write a single value", kindName(n))
		return
	}
	if n.Tag == "!!null" {
		d.fail(n, key, "has no value: write one or remove the key")
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if err != nil || n.Tag != "!!bool" {
			d.fail(n, key, "%q is not a switch: write true or false", n.Value)
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
		if err != nil {
			d.fail(n, key, "%q is not a whole number: write digits only, such as 100", n.Value)
			return
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil {
			d.fail(n, key, "%q is not a number: write one such as 0.5", n.Value)
			return
		}
		v.SetFloat(f)
	default:
		panic("strictyaml: no decoder for " + v.Type().String())
	}
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "table of keys"
	case yaml.SequenceNode:
		return "list"
	default:
		if n.Tag == "!!null" {
			return "key without a value"
		}
		return "single value"
	}
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// FieldsOf returns the settable fields of a struct by their YAML key, inlined ones included.
func FieldsOf(v reflect.Value) map[string]reflect.Value {
	out := make(map[string]reflect.Value)
	for i := range v.NumField() {
		name, inline := KeyOf(v.Type().Field(i))
		switch {
		case inline:
			maps.Copy(out, FieldsOf(v.Field(i)))
		case name != "":
			out[name] = v.Field(i)
		}
	}
	return out
}

// FieldNames returns the YAML keys of a struct in the order of its fields.
func FieldNames(t reflect.Type) []string {
	var out []string
	for f := range t.Fields() {
		name, inline := KeyOf(f)
		switch {
		case inline:
			out = append(out, FieldNames(f.Type)...)
		case name != "":
			out = append(out, name)
		}
	}
	return out
}

// KeyOf returns the YAML key of a field, "" when it has none, and whether its own fields are read in
// its place.
func KeyOf(f reflect.StructField) (name string, inline bool) {
	tag := f.Tag.Get("yaml")
	name, opts, _ := strings.Cut(tag, ",")
	if name == "-" || !f.IsExported() {
		return "", false
	}
	return name, strings.Contains(opts, "inline")
}

// unknownKey says what to write instead of a key that does not exist.
func unknownKey(key string, known []string, instead string) string {
	switch {
	case key == "<<":
		return "merge keys are not read: write the values out"
	case instead != "":
		return "unknown key: " + instead
	}
	if near := Nearest(key, known); near != "" {
		return fmt.Sprintf("unknown key: did you mean %q?", near)
	}
	if len(known) == 1 {
		return "unknown key: write " + known[0]
	}
	return "unknown key: write one of " + strings.Join(known, ", ")
}

// Nearest returns the known word that someone may have meant, "" when none is at most two letters
// away, or one of a word of up to three letters.
func Nearest(word string, known []string) string {
	best, bestDistance := "", 3
	if len(word) < 4 {
		bestDistance = 2 // two other letters make another word
	}
	for _, k := range known {
		if d := Distance(word, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// Distance is the Levenshtein distance of two short ASCII words.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// LineOf returns the line of the deepest node of root that the key path reaches.
func LineOf(root *yaml.Node, key string) int {
	n, line := root, 0
	if n == nil {
		return 0
	}
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	for _, step := range strings.FieldsFunc(key, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		var next *yaml.Node
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == step {
					next, line = n.Content[i+1], n.Content[i].Line
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(step); err == nil && i < len(n.Content) {
				next, line = n.Content[i], n.Content[i].Line
			}
		}
		if next == nil {
			break
		}
		n = next
	}
	return line
}
