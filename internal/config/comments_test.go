package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const module = "github.com/spillway-exporter/spillway_exporter/"

// comments reads what the sources say about the fields of struct types.
type comments struct {
	fields map[string]map[string]string // type, as package path and name, to field to text
	parsed map[string]bool
}

func newComments() *comments {
	return &comments{fields: make(map[string]map[string]string), parsed: make(map[string]bool)}
}

// of returns the comment of a field: what stands above it and what stands next to it.
func (c *comments) of(t testing.TB, owner reflect.Type, field string) string {
	t.Helper()
	if !c.parsed[owner.PkgPath()] {
		c.parsed[owner.PkgPath()] = true
		c.parse(t, owner.PkgPath())
	}
	return c.fields[owner.PkgPath()+"."+owner.Name()][field]
}

func (c *comments) parse(t testing.TB, pkg string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", strings.TrimPrefix(pkg, module), "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources of %s (%v)", pkg, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if body, ok := spec.Type.(*ast.StructType); ok {
				c.fields[pkg+"."+spec.Name.Name] = fieldComments(body)
			}
			return false
		})
	}
}

func fieldComments(body *ast.StructType) map[string]string {
	out := make(map[string]string)
	for _, f := range body.Fields.List {
		var parts []string
		for _, group := range []*ast.CommentGroup{f.Doc, f.Comment} {
			if text := strings.Join(strings.Fields(group.Text()), " "); text != "" {
				parts = append(parts, strings.TrimSuffix(text, "."))
			}
		}
		for _, name := range f.Names {
			out[name.Name] = strings.Join(parts, "; ")
		}
	}
	return out
}
