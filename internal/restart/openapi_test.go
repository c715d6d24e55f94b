package restart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// openAPI is testdata/kubernetes.json: the operations that a restart uses, with all that they refer to, from
// api/openapi-spec/swagger.json of Kubernetes. The descriptions are omitted, and what a pod is made of.
type openAPI struct {
	Paths       map[string]map[string]operation
	Definitions map[string]schema
}

type operation struct {
	Parameters []struct {
		Name, In string
		Required bool
		Schema   *schema
	}
}

type schema struct {
	Ref        string             `json:"$ref"`
	Kinds      []groupVersionKind `json:"x-kubernetes-group-version-kind"`
	Type       string
	Required   []string
	Properties map[string]schema
	Items      *schema
	Values     *schema `json:"additionalProperties"`
}

type groupVersionKind struct{ Group, Version, Kind string }

func readOpenAPI(t *testing.T) *openAPI {
	t.Helper()
	text, err := os.ReadFile("testdata/kubernetes.json")
	if err != nil {
		t.Fatal(err)
	}
	var spec openAPI
	if err := json.Unmarshal(text, &spec); err != nil {
		t.Fatal(err)
	}
	return &spec
}

var pathPart = regexp.MustCompile(`\{[a-z]+\}`)

// check reports what a strict API server would refuse of a request.
func (o *openAPI) check(method, path, contentType string, query map[string][]string, body []byte) error {
	for template, methods := range o.Paths {
		form := "^" + pathPart.ReplaceAllString(template, "[^/]+") + "$"
		if ok, _ := regexp.MatchString(form, path); !ok {
			continue
		}
		op, ok := methods[strings.ToLower(method)]
		if !ok {
			return fmt.Errorf("%s has no %s", template, method)
		}
		return o.operation(&op, contentType, query, body)
	}
	return fmt.Errorf("the specification has no path %s", path)
}

func (o *openAPI) operation(op *operation, contentType string, query map[string][]string, body []byte) error {
	var content *schema
	known := make(map[string]bool)
	for _, p := range op.Parameters {
		known[p.Name] = p.In == "query"
		if p.In == "body" && p.Required {
			content = p.Schema
		}
	}
	for name := range query {
		if !known[name] {
			return fmt.Errorf("unknown parameter %s", name)
		}
	}
	switch {
	case content == nil && len(body) > 0:
		return errors.New("it takes no body")
	case content == nil:
		return nil
	case contentType != "application/json":
		return fmt.Errorf("the content type is %q", contentType)
	}
	var value any
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&value); err != nil {
		return err
	}
	return o.value(content, value, "body")
}

// value checks a value strictly: unknown fields, missing ones, other types, another kind.
func (o *openAPI) value(s *schema, v any, at string) error {
	if s.Ref != "" {
		to, ok := o.Definitions[strings.TrimPrefix(s.Ref, "#/definitions/")]
		if !ok {
			return fmt.Errorf("%s: no definition of %s", at, s.Ref)
		}
		s = &to
	}
	switch v := v.(type) {
	case map[string]any:
		return o.object(s, v, at)
	case []any:
		if s.Type != "array" {
			return fmt.Errorf("%s is a list, want %s", at, s.Type)
		}
		for i, item := range v {
			if err := o.value(s.Items, item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		return nil
	case string, bool, float64:
		kinds := map[string]string{"string": "string", "bool": "boolean", "float64": "integer"}
		if want := kinds[fmt.Sprintf("%T", v)]; s.Type != want {
			return fmt.Errorf("%s is a %s, want %s", at, want, s.Type)
		}
		return nil
	}
	return fmt.Errorf("%s is null", at)
}

func (o *openAPI) object(s *schema, v map[string]any, at string) error {
	if s.Type != "object" {
		return fmt.Errorf("%s is a table, want %s", at, s.Type)
	}
	for _, name := range s.Required {
		if v[name] == nil {
			return fmt.Errorf("%s.%s is missing", at, name)
		}
	}
	if at == "body" && len(s.Kinds) > 0 {
		ok := slices.ContainsFunc(s.Kinds, func(k groupVersionKind) bool {
			return v["kind"] == k.Kind && v["apiVersion"] == strings.TrimPrefix(k.Group+"/"+k.Version, "/")
		})
		if !ok {
			return fmt.Errorf("%v %v is not what is sent there", v["apiVersion"], v["kind"])
		}
	}
	for name, field := range v {
		p, ok := s.Properties[name]
		switch {
		case ok:
		case s.Values != nil:
			p = *s.Values
		case len(s.Properties) > 0:
			return fmt.Errorf("%s.%s is not known", at, name)
		default:
			continue
		}
		if err := o.value(&p, field, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

// TestOpenAPICatches: the check refuses what a real API server would.
func TestOpenAPICatches(t *testing.T) {
	spec := readOpenAPI(t)
	const pod = "/api/v1/namespaces/shop/pods/web-1"
	f := func(method, path, body, want string) {
		t.Helper()
		err := spec.check(method, path, "application/json", nil, []byte(body))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s %s %s: %v, want %q", method, path, body, err, want)
		}
	}
	f(http.MethodGet, pod, "", "")
	f(http.MethodDelete, pod, "", "has no DELETE")
	f(http.MethodPost, pod+"/evict", "{}", "no path")
	f(http.MethodPost, pod+"/eviction", `{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web-1"}}`, "")
	f(http.MethodPost, pod+"/eviction", `{"apiVersion": "v1", "kind": "Eviction"}`, "is not what is sent there")
	f(http.MethodPost, pod+"/eviction", `{"apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": {"precondition": {}}}`, "body.deleteOptions.precondition is not known")
	f(http.MethodPost, pod+"/eviction", `{"apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": {"gracePeriodSeconds": "5"}}`, "is a string, want integer")
	f(http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", `{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}`, "body.spec is missing")
}
