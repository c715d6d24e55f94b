package config

import (
	"bytes"
	stdcmp "cmp"
	"encoding"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/strictyaml"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	schemaDoc = "../../docs/spillway.schema.json"
	schemaID  = "https://raw.githubusercontent.com/spillway-exporter/spillway_exporter/main/docs/spillway.schema.json"
	// acceptedDoc lists the files of testdata/bad whose mistake a schema cannot know, such as a folder that does not exist.
	acceptedDoc = "testdata/schema-accepts.txt"
)

type object = map[string]any

// schemer makes the schema of the configuration from the types that read it. What the types do not say (choices, bounds
// of numbers, what is required) is in the tables of docs/configuration.md, which TestReference holds against the program.
type schemer struct {
	t        testing.TB
	doc      string
	comments *comments
	defs     object
}

func newSchema(t testing.TB) object {
	t.Helper()
	doc, err := os.ReadFile(referenceDoc)
	if err != nil {
		t.Fatal(err)
	}
	s := &schemer{t: t, doc: string(doc), comments: newComments(), defs: object{}}
	root := s.of(reflect.TypeFor[Config]())
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": schemaID,
		"title": "Configuration of spillway_exporter", "$ref": root["$ref"], "$defs": s.defs,
	}
}

var scalarTypes = []string{"string", "number", "boolean"}

// of returns the schema of a type; that of a struct stands in $defs.
func (s *schemer) of(typ reflect.Type) object {
	switch typ {
	case reflect.TypeFor[units.Duration]():
		return object{"type": []string{"string", "integer"}, "pattern": `^\s*(0|([0-9.]+(ns|us|µs|ms|s|m|h|d|w))+)\s*$`, "maximum": 0}
	case reflect.TypeFor[units.Bytes]():
		return object{"type": []string{"string", "number"}, "pattern": `^\s*[0-9.]+\s*([kKmMgGtTpPeE]?[bB]|[kKmMgGtTpPeE][iI][bB]?)?\s*$`, "minimum": 0}
	case reflect.TypeFor[units.Ratio]():
		return object{"type": []string{"string", "number"}, "pattern": `^\s*[0-9.]+\s*%?\s*$`, "minimum": 0, "maximum": 1}
	case reflect.TypeFor[series.Level]():
		return object{"enum": []string{"warning", "critical", "emergency"}}
	case reflect.TypeFor[dispatch.Samples]():
		return object{"type": "integer", "minimum": 1, "maximum": 100}
	}
	pointer := reflect.PointerTo(typ)
	if typ.Kind() == reflect.Pointer {
		return s.of(typ.Elem())
	}
	if pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return object{"type": scalarTypes}
	}
	var out object
	switch typ.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.String:
		return object{"type": scalarTypes}
	case reflect.Slice:
		out = object{"type": []string{"array", "null"}, "items": s.of(typ.Elem())}
	case reflect.Map:
		out = object{"type": []string{"object", "null"}, "additionalProperties": s.of(typ.Elem())}
	case reflect.Struct:
		s.define(typ)
		out = object{"$ref": "#/$defs/" + typ.String()}
	default:
		s.t.Fatalf("there is no schema for %s", typ)
	}
	if pointer.Implements(reflect.TypeFor[strictyaml.Shorthand]()) {
		return object{"anyOf": []object{{"type": scalarTypes}, out}}
	}
	return out
}

// unlessOther are keys that are required unless another one is written in their place: volume, url_file, rotate_after.
var unlessOther = map[string]bool{"dir": true, "url": true, "max_bytes": true}

// define adds a struct to $defs.
func (s *schemer) define(typ reflect.Type) {
	if _, known := s.defs[typ.String()]; known {
		return
	}
	properties, required := object{}, []string{}
	def := object{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	s.defs[typ.String()] = def
	s.fields(typ, properties, &required)
	required = slices.DeleteFunc(required, func(key string) bool {
		return unlessOther[key] || key == "include" && strings.HasSuffix(typ.String(), ".Upload")
	})
	for _, part := range partsOf(typ) { // the settings of all actions: which one goes with which is not said
		ignored := []string{}
		s.fields(part, properties, &ignored)
	}
	if len(required) > 0 {
		def["required"] = required
	}
}

func (s *schemer) fields(typ reflect.Type, into object, required *[]string) {
	rows := s.rows(typ)
	for f := range typ.Fields() {
		key, inline := strictyaml.KeyOf(f)
		if inline {
			s.fields(f.Type, into, required)
		}
		if key == "" || inline {
			continue
		}
		p := maps.Clone(s.of(f.Type))
		r := rows[key]
		narrow(p, r)
		p["description"] = s.comments.of(s.t, typ, f.Name)
		if r.fallback == "required" {
			*required = append(*required, key)
		} else if v, ok := strings.CutPrefix(r.fallback, "`"); ok && !strings.HasPrefix(v, "[") {
			p["default"] = literal(strings.TrimSuffix(v, "`"), p)
		}
		if known, twice := into[key].(object); twice { // of another action
			p = object{"anyOf": []object{known, p}}
		}
		into[key] = p
	}
}

var (
	choicesForm = regexp.MustCompile("^(list of )?(`[^`]+`(?:, `[^`]+`)*)$")
	boundsForm  = regexp.MustCompile(`^number, (?:at least )?(-?\d+)?(?: to )?(?:at most )?(\d+)?$`)
	rowForm     = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.*?) \\| (.*?) \\| ")
)

// rows are the lines of a struct's table.
func (s *schemer) rows(typ reflect.Type) map[string]row {
	_, table, ok := strings.Cut(s.doc, begin(typ))
	table, _, _ = strings.Cut(table, end)
	out := make(map[string]row)
	for _, m := range rowForm.FindAllStringSubmatch(table, -1) {
		out[m[1]] = row{key: m[1], values: m[2], fallback: m[3]}
	}
	if !ok || len(out) == 0 && typ.NumField() > 0 {
		s.t.Logf("docs/configuration.md has no table of %s", typ)
	}
	return out
}

// narrow adds the choices and the bounds of a row.
func narrow(p object, r row) {
	if m := choicesForm.FindStringSubmatch(r.values); m != nil && p["type"] != "boolean" {
		choices := strings.Split(strings.Trim(m[2], "`"), "`, `")
		if m[1] == "" {
			p["enum"] = choices
			delete(p, "type")
		} else if _, list := p["items"]; list {
			p["items"] = object{"enum": choices}
		}
	}
	if m := boundsForm.FindStringSubmatch(r.values); m != nil && p["type"] == "integer" {
		low, high := m[1], m[2]
		if strings.Contains(r.values, "at most") {
			low, high = "", stdcmp.Or(high, low)
		}
		for key, text := range map[string]string{"minimum": low, "maximum": high} {
			if n, err := strconv.Atoi(text); err == nil {
				p[key] = n
			}
		}
	}
}

// literal is a default as JSON has it.
func literal(text string, p object) any {
	switch p["type"] {
	case "boolean":
		return text == "true"
	case "integer":
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	}
	return text
}

// compileSchema returns the published schema.
func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	raw, err := os.ReadFile(schemaDoc)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(schemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(schemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// judge validates a YAML text. What is not YAML, or has a key twice, is refused as an editor would.
func judge(s *jsonschema.Schema, text []byte) error {
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return err
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if v, err = jsonschema.UnmarshalJSON(bytes.NewReader(raw)); err != nil {
		return err
	}
	return s.Validate(v)
}

// TestSchemaIsFresh fails when docs/spillway.schema.json is not what the types say;
// go test ./internal/config -run TestSchema -update writes it.
func TestSchemaIsFresh(t *testing.T) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(newSchema(t)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaDoc, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(schemaDoc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(have)); diff != "" {
		t.Errorf("%s is stale, run go test ./internal/config -run TestSchema -update (-want +have):\n%s", schemaDoc, diff)
	}
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?) *```")

// userOfPage is a user that this host need not have.
var userOfPage = regexp.MustCompile(`\buser: [a-z]+`)

// TestSchemaTakesGoodFiles: what the program takes the schema takes, too: the examples, what is shipped, and every
// whole configuration of the documents.
func TestSchemaTakesGoodFiles(t *testing.T) {
	s := compileSchema(t)
	if err := judge(s, []byte(baseDoc)); err != nil {
		t.Errorf("one of everything: %v", err)
	}
	for _, file := range []string{"../../examples/spillway.yml", "../../deploy/spillway.yml", "../../deploy/compose/spillway.yml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := judge(s, text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		howto := strings.HasPrefix(filepath.Base(page), "howto-")
		for _, m := range yamlBlock.FindAllSubmatch(text, -1) {
			if inner, ok := bytes.CutPrefix(m[1], []byte("   ")); ok { // in an item of a list
				m[1] = bytes.ReplaceAll(inner, []byte("\n   "), []byte("\n"))
			}
			m[1] = userOfPage.ReplaceAll(m[1], []byte("user: root"))
			if c, _ := parse("f.yml", m[1], new(Checks)); c == nil || !strings.HasPrefix(string(m[1]), "targets:") {
				continue
			}
			if _, errs := parse("f.yml", m[1], new(Checks)); len(errs) > 0 {
				if howto {
					t.Errorf("%s: %v\n%s", page, errs, m[1])
				}
				continue // a part of one
			}
			whole++
			if err := judge(s, m[1]); err != nil {
				t.Errorf("%s: %v\n%s", page, err, m[1])
			}
		}
	}
	if whole < 9 {
		t.Errorf("only %d whole configurations were found in the documents: the search is broken", whole)
	}
}

// TestSchemaRefusesBadFiles: of the files of testdata/bad the schema refuses all but those that are listed, whose
// mistake it cannot know.
func TestSchemaRefusesBadFiles(t *testing.T) {
	s := compileSchema(t)
	files, err := filepath.Glob("testdata/bad/*.yml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	dir := fixture(t)
	var accepted []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if judge(s, bytes.ReplaceAll(text, []byte("DIR"), []byte(dir))) == nil {
			accepted = append(accepted, filepath.Base(file))
		}
	}
	got := strings.Join(accepted, "\n") + "\n"
	if *update {
		if err := os.WriteFile(acceptedDoc, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(acceptedDoc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("other files are accepted than those in %s (-want +got):\n%s", acceptedDoc, diff)
	}
	if refused := len(files) - len(accepted); refused < 35 {
		t.Errorf("only %d of %d files are refused", refused, len(files))
	}
}
