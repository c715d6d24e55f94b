package config

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

// decoder fills Go values from YAML nodes. Unlike a plain Unmarshal it goes on after a mistake
// and knows the line and key path of each, so that a person can mend all of them at once.
type decoder struct {
	file string
	errs Errors
}

func (d *decoder) fail(n *yaml.Node, key, format string, args ...any) {
	line := 0
	if n != nil {
		line = n.Line
	}
	d.errs = append(d.errs, Error{File: d.file, Line: line, Key: key, Msg: fmt.Sprintf(format, args...)})
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
	if u, ok := reflect.TypeAssert[yaml.Unmarshaler](v.Addr()); ok {
		if err := u.UnmarshalYAML(n); err != nil {
			d.failAll(n, key, err)
		}
		return
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

// failAll reports each error that err joins.
func (d *decoder) failAll(n *yaml.Node, key string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { // only the outermost: what wraps it says where
		for _, e := range joined.Unwrap() {
			d.failAll(n, key, e)
		}
		return
	}
	d.fail(n, key, "%s", err)
}

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
		d.fail(n, key, "is a %s: write keys and values, such as {%s: ...}", kindName(n), fieldNames(v.Type())[0])
		return
	}
	fields := fieldsOf(v)
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
		if !known {
			d.fail(k, path, "%s", unknownKey(k.Value, fieldNames(v.Type())))
			continue
		}
		d.decode(val, field, path, depth+1)
	}
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
		panic("config: no decoder for " + v.Type().String())
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

// fieldsOf returns the settable fields of a struct by their YAML key, inlined ones included.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	out := make(map[string]reflect.Value)
	for i := range v.NumField() {
		name, inline := yamlKey(v.Type().Field(i))
		switch {
		case inline:
			maps.Copy(out, fieldsOf(v.Field(i)))
		case name != "":
			out[name] = v.Field(i)
		}
	}
	return out
}

// fieldNames returns the YAML keys of a struct in the order of its fields.
func fieldNames(t reflect.Type) []string {
	var out []string
	for f := range t.Fields() {
		name, inline := yamlKey(f)
		switch {
		case inline:
			out = append(out, fieldNames(f.Type)...)
		case name != "":
			out = append(out, name)
		}
	}
	return out
}

func yamlKey(f reflect.StructField) (name string, inline bool) {
	tag := f.Tag.Get("yaml")
	name, opts, _ := strings.Cut(tag, ",")
	if name == "-" || !f.IsExported() {
		return "", false
	}
	return name, strings.Contains(opts, "inline")
}

// unknownKey says what to write instead of a key that does not exist.
func unknownKey(key string, known []string) string {
	if key == "<<" {
		return "merge keys are not read: write the values out"
	}
	if near := Nearest(key, known); near != "" {
		return fmt.Sprintf("unknown key: did you mean %q?", near)
	}
	return "unknown key: write one of " + strings.Join(known, ", ")
}

// Nearest returns the known word that somebody may have meant, "" when none is at most two letters
// away.
func Nearest(word string, known []string) string {
	best, bestDistance := "", 3
	for _, k := range known {
		if d := distance(word, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two short ASCII words.
func distance(a, b string) int {
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

// lineOf returns the line of the deepest node of root that the key path reaches.
func lineOf(root *yaml.Node, key string) int {
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
