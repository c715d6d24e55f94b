package web

import (
	"encoding"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

type object = map[string]any

// schemas are made from the types that the handlers write.
type schemas struct {
	t      testing.TB
	of     object            // by name, as components.schemas has them
	fields map[string]string // comments, by package/type.field
	read   map[string]bool   // packages
}

func newSchemas(t testing.TB) *schemas {
	return &schemas{t: t, of: object{}, fields: make(map[string]string), read: make(map[string]bool)}
}

// schema returns the schema of a type; that of a named struct is referred to.
func (s *schemas) schema(typ reflect.Type) object {
	switch typ {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[units.Duration](), reflect.TypeFor[units.Bytes]():
		return object{"type": "string"}
	case reflect.TypeFor[json.RawMessage]():
		return object{}
	}
	if typ.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return object{"type": "string"}
	}
	switch typ.Kind() {
	case reflect.Pointer:
		below := s.schema(typ.Elem())
		if kind, ok := below["type"].(string); ok {
			below = maps.Clone(below)
			below["type"] = []string{kind, "null"}
		}
		return below
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Interface:
		return object{}
	case reflect.Slice, reflect.Array:
		return object{"type": []string{"array", "null"}, "items": s.schema(typ.Elem())}
	case reflect.Map:
		return object{"type": []string{"object", "null"}, "additionalProperties": s.schema(typ.Elem())}
	case reflect.Struct:
		if typ.Name() == "" {
			return s.struct_(typ)
		}
		name := s.name(typ)
		if _, known := s.of[name]; !known {
			s.of[name] = object{} // it may hold itself
			s.of[name] = s.struct_(typ)
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	s.t.Fatalf("there is no schema for %s", typ)
	return nil
}

// name is that of the type, with its package where it is not this one.
func (s *schemas) name(typ reflect.Type) string {
	name := strings.ToUpper(typ.Name()[:1]) + typ.Name()[1:]
	if pkg := filepath.Base(typ.PkgPath()); pkg != "web" {
		return strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	return name
}

func (s *schemas) struct_(typ reflect.Type) object {
	properties, required := object{}, []string{}
	s.addFields(typ, properties, &required)
	out := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

func (s *schemas) addFields(typ reflect.Type, properties object, required *[]string) {
	for f := range typ.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.addFields(f.Type, properties, required)
			continue
		case name == "-" || !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		p := maps.Clone(s.schema(f.Type))
		if text := s.comment(typ, f.Name); text != "" {
			p["description"] = text
		}
		properties[name] = p
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
}

const ownModule = "github.com/spillway-exporter/spillway_exporter/"

// comment is what the source says of a field, alongside it or above it.
func (s *schemas) comment(typ reflect.Type, field string) string {
	pkg := typ.PkgPath()
	if !s.read[pkg] && strings.HasPrefix(pkg, ownModule) {
		s.read[pkg] = true
		files, _ := filepath.Glob(filepath.Join("../..", strings.TrimPrefix(pkg, ownModule), "*.go"))
		for _, file := range files {
			s.readComments(pkg, file)
		}
	}
	return s.fields[pkg+"."+typ.Name()+"."+field]
}

func (s *schemas) readComments(pkg, file string) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		s.t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if body, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range body.Fields.List {
				text := strings.TrimSpace(strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " "))
				for _, name := range f.Names {
					s.fields[pkg+"."+spec.Name.Name+"."+name.Name] = text
				}
			}
		}
		return false
	})
}
