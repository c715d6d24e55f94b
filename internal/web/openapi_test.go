package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const (
	openapiDoc = "../../docs/openapi.yaml"
	openapiURL = "https://spillway.invalid/docs/openapi.yaml"
)

var update = flag.Bool("update", false, "write docs/openapi.yaml")

// The document, in the order in which it is written.
type (
	document struct {
		OpenAPI    string                          `yaml:"openapi"`
		Info       object                          `yaml:"info"`
		Servers    []object                        `yaml:"servers"`
		Paths      map[string]map[string]operation `yaml:"paths"`
		Components object                          `yaml:"components"`
	}
	operation struct {
		OperationID string                `yaml:"operationId"`
		Summary     string                `yaml:"summary"`
		Description string                `yaml:"description,omitempty"`
		Security    []map[string][]string `yaml:"security,omitempty"`
		Parameters  []object              `yaml:"parameters,omitempty"`
		RequestBody object                `yaml:"requestBody,omitempty"`
		Responses   map[string]response   `yaml:"responses"`
	}
	response struct {
		Description string            `yaml:"description"`
		Content     map[string]object `yaml:"content,omitempty"`
	}
)

// call is a request of an operation, and what is answered.
type call struct {
	name   string
	target string // in place of the path: with a query, or with the values of its parameters
	header map[string]string
	body   string
	change func(f *fixture)
	code   int
}

// endpoint is one operation: what is documented, and the calls that show it.
type endpoint struct {
	method, path, id, summary, description string

	changes bool // asks who calls
	query   [][2]string
	request any // a value of the type of the body, or its schema
	says    map[int]answerOf
	calls   []call
}

// answerOf is an answer: of a type, or of another media type than JSON.
type answerOf struct {
	text  string
	typ   any    // a value of the type; nil: no JSON
	media string // of another answer
	ref   string // a schema of another file
}

type (
	// ErrorAnswer is what every refusal of the API has.
	ErrorAnswer struct {
		Status string `json:"status"` // error
		Error  string `json:"error"`  // what is wrong, and what to send
	}
	// StatusAnswer is the answer to a request that was taken.
	StatusAnswer struct {
		Status string `json:"status"`           // success
		RunID  string `json:"run_id,omitempty"` // of the run that it began
	}
	pausesAnswer struct {
		Status  string  `json:"status"`
		Warning string  `json:"warning,omitempty"` // it is in effect, but could not be written to the journal
		Pauses  []Pause `json:"pauses"`            // that hold now
	}
	targetsAnswer struct {
		Status  string `json:"status"`
		Targets []struct {
			Name  string `json:"name"`
			Mode  string `json:"mode,omitempty"`
			Level string `json:"level,omitempty"`
		} `json:"targets"`
	}
	seriesAnswer struct {
		Status string `json:"status"`
		Series []struct {
			Name   string            `json:"name"`
			Labels map[string]string `json:"labels"`
			Points []struct {
				Time time.Time `json:"time"`
				Min  *float64  `json:"min"`
				Max  *float64  `json:"max"`
				Last *float64  `json:"last"`
			} `json:"points"`
		} `json:"series"`
	}
	journalAnswer struct {
		Status   string           `json:"status"`
		Records  []journal.Record `json:"records"`            // the newest first
		Next     string           `json:"next,omitempty"`     // for after=, where there are more
		Withheld string           `json:"withheld,omitempty"` // what this caller is not shown, and how to be
	}
	alertsAnswer struct {
		Status     string  `json:"status"`
		Standalone bool    `json:"standalone"`
		Reflex     bool    `json:"reflex"`
		Alerts     []Alert `json:"alerts"`
		Rules      []Rule  `json:"rules"`
	}
	evidenceAnswer struct {
		Status   string               `json:"status"`
		Captures []captureEntry       `json:"captures"`
		Newest   *evidence.Profile    `json:"newest,omitempty"`
		Grew     *evidence.Difference `json:"grew,omitempty"`
		Why      string               `json:"why,omitempty"` // nothing is said of what grew
		Folders  []evidence.Folder    `json:"folders,omitempty"`
		Mappings *evidence.Mappings   `json:"mappings,omitempty"`
	}
	runsAnswer struct {
		Status string `json:"status"`
		Activity
	}
	proposalsAnswer struct {
		Status    string     `json:"status"`
		Proposals []Proposal `json:"proposals"`
	}
)

var bearer = map[string]string{"Content-Type": "application/json", "Authorization": "Bearer sesame"}

// with is the proof and one more header.
func with(name, value string) map[string]string {
	return map[string]string{"Content-Type": "application/json", "Authorization": "Bearer sesame", name: value}
}

// refusals are the answers that all endpoints that change something have in common.
func refusals(path, body string) []call {
	return []call{
		{name: "no token", target: path, header: map[string]string{"Content-Type": "application/json"}, body: body, code: 401},
		{name: "another site", target: path, header: with("Origin", "http://evil.example"), body: body, code: 403},
		{name: "a form", target: path, header: with("Content-Type", "text/plain"), body: body, code: 415},
		{name: "too large", target: path, header: bearer, body: `{"` + strings.Repeat("x", 2<<20) + `": 1}`, code: 413},
		{name: "no JSON", target: path, header: bearer, body: "nonsense", code: 400},
		{name: "the token cannot be read", target: path, header: bearer, body: body, change: func(f *fixture) { f.token += ".gone" }, code: 503},
	}
}

var refusalTexts = map[int]answerOf{
	400: {text: "The request cannot be understood, or refers to what there is not.", typ: ErrorAnswer{}},
	401: {text: "No token, or a wrong one.", typ: ErrorAnswer{}},
	403: {text: "The caller may not change anything.", typ: ErrorAnswer{}},
	408: {text: "The body did not arrive within 10 seconds.", typ: ErrorAnswer{}},
	413: {text: "The body is larger than 1 MiB.", typ: ErrorAnswer{}},
	415: {text: "The Content-Type is not application/json.", typ: ErrorAnswer{}},
	503: {text: "Retry later, as Retry-After says: too many requests, the run queue is full, the exporter is shutting down, or the journal cannot be written.", typ: ErrorAnswer{}},
}

// changing completes an endpoint that changes something.
func changing(e endpoint, body string) endpoint {
	e.method, e.changes = "post", true
	for code, a := range refusalTexts {
		if _, own := e.says[code]; !own {
			e.says[code] = a
		}
	}
	path := strings.ReplaceAll(e.path, "{id}", "p1")
	e.calls = append(e.calls, refusals(path, body)...)
	for i := range e.calls {
		if e.calls[i].header == nil {
			e.calls[i].header = bearer
		}
		if e.calls[i].target == "" {
			e.calls[i].target = path
		}
	}
	return e
}

// unseen are answers that no call of this test brings about, with the reason.
var unseen = map[string]string{
	"408":                   "it takes 10 seconds of a slow sender",
	"get /metrics 503":      "it takes as many scrapes as are served at once",
	"get /api/v1/watch 200": "it does not end",
	"get /api/v1/watch 503": "it takes as many streams as there are places",
}

func newDocument(t testing.TB) document {
	s := newSchemas(t)
	d := document{
		OpenAPI: "3.1.0",
		Info: object{
			"title": "spillway_exporter", "version": "v1", "license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "Made from the types that the handlers write, and held against them by TestOpenAPI of internal/web. A method that a path does not have is answered with 405 and Allow. What the answers mean: webhook.md, health.md and journal.md.",
		},
		Servers: []object{{"url": "http://localhost:10042"}},
		Paths:   make(map[string]map[string]operation),
	}
	for _, e := range endpoints() {
		if d.Paths[e.path] == nil {
			d.Paths[e.path] = make(map[string]operation)
		}
		d.Paths[e.path][e.method] = e.operation(s)
	}
	d.Components = object{
		"schemas": s.of,
		"securitySchemes": object{
			"token": object{"type": "http", "scheme": "bearer", "description": "The content of webhook.token_file."},
			"basic": object{"type": "http", "scheme": "basic", "description": "Of --web.config.file. In mode dry_run without either, callers on the same host need none."},
		},
	}
	return d
}

func (e *endpoint) operation(s *schemas) operation {
	op := operation{OperationID: e.id, Summary: e.summary, Description: e.description, Responses: make(map[string]response)}
	if e.changes {
		op.Security = []map[string][]string{{"token": {}}, {"basic": {}}, {}}
	}
	for name := range strings.SplitSeq(e.path, "{") {
		if name, _, ok := strings.Cut(name, "}"); ok {
			op.Parameters = append(op.Parameters, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	for _, q := range e.query {
		op.Parameters = append(op.Parameters, object{"name": q[0], "in": "query", "description": q[1], "schema": object{"type": "string"}})
	}
	switch r := e.request.(type) {
	case nil:
	case object:
		op.RequestBody = body(r)
	default:
		op.RequestBody = body(optional(s.schema(reflect.TypeOf(r)), s))
	}
	for code, a := range e.says {
		r := response{Description: a.text, Content: make(map[string]object)}
		switch {
		case a.ref != "":
			r.Content["application/json"] = object{"schema": object{"$ref": a.ref}}
		case a.typ != nil:
			r.Content["application/json"] = object{"schema": s.schema(reflect.TypeOf(a.typ))}
		}
		if a.media != "" {
			r.Content[a.media] = object{"schema": object{"type": "string"}}
		}
		op.Responses[strconv.Itoa(code)] = r
	}
	return op
}

func body(schema object) object {
	return object{"required": true, "content": object{"application/json": object{"schema": schema}}}
}

// optional says of the schema of a request that no field of it has to be sent.
func optional(ref object, s *schemas) object {
	if name, ok := ref["$ref"].(string); ok {
		if of, ok := s.of[name[strings.LastIndex(name, "/")+1:]].(object); ok {
			delete(of, "required")
		}
	}
	return ref
}

// TestOpenAPIIsFresh fails when docs/openapi.yaml is not what the types and this test say;
// go test ./internal/web -run TestOpenAPIIsFresh -update writes it.
func TestOpenAPIIsFresh(t *testing.T) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(newDocument(t)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(openapiDoc, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(openapiDoc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(have)); diff != "" {
		t.Errorf("%s is stale, run go test ./internal/web -run TestOpenAPIIsFresh -update (-want +have):\n%s", openapiDoc, diff)
	}
}

// published compiles the schemas of the published document.
func published(t testing.TB) (document, *jsonschema.Compiler) {
	t.Helper()
	raw, err := os.ReadFile(openapiDoc)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	var v any
	if err := errors.Join(yaml.Unmarshal(raw, &d), yaml.Unmarshal(raw, &v)); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	health, err := os.ReadFile("../../docs/health.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for url, text := range map[string][]byte{openapiURL: asJSON, "https://spillway.invalid/docs/health.schema.json": health} {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err == nil {
			err = c.AddResource(url, doc)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return d, c
}

// patterns are what web.go registers with the mux.
func patterns(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "web.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(file, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok || len(c.Args) != 2 {
			return true
		}
		if f, ok := c.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "Handle" && f.Sel.Name != "HandleFunc" {
			return true
		}
		switch a := c.Args[0].(type) {
		case *ast.BasicLit:
			text, _ := strconv.Unquote(a.Value)
			out = append(out, text)
		case *ast.SelectorExpr: // the path of the metrics
			out = append(out, "/metrics")
		case *ast.BinaryExpr:
			out = append(out, "GET "+watchPath)
		}
		return true
	})
	return out
}

// TestOpenAPIRoutes: each pattern of the mux is documented, each documented path is one of the mux, and a method that is
// not documented is refused.
func TestOpenAPIRoutes(t *testing.T) {
	d, _ := published(t)
	known := make(map[string]bool)
	for _, pattern := range patterns(t) {
		_, path, spaced := strings.Cut(pattern, " ")
		if !spaced {
			path = pattern
		}
		path = strings.TrimSuffix(path, "{$}")
		if path == "/" && !spaced { // what there is not
			continue
		}
		if path == "/static/" {
			path = "/static/{file}"
		}
		known[path] = true
		if d.Paths[path] == nil {
			t.Errorf("%s is not documented", path)
		}
	}
	f := newFixture(t, nil)
	for path, operations := range d.Paths {
		if !known[path] {
			t.Errorf("%s is documented, and the mux does not have it", path)
		}
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			if _, documented := operations[strings.ToLower(method)]; documented || path == "/metrics" {
				continue
			}
			if w := f.do(method, strings.NewReplacer("{id}", "p1", "{name}", "app", "{file}", "style.css").Replace(path), bearer, "{}"); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
				t.Errorf("%s %s is answered with %d and Allow %q, and is not documented", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
}

// TestOpenAPI: every documented answer is given, and is what is documented.
func TestOpenAPI(t *testing.T) {
	d, c := published(t)
	for _, e := range endpoints() {
		op, ok := d.Paths[e.path][e.method]
		if !ok {
			t.Fatalf("%s %s is not documented", e.method, e.path)
		}
		var given []string
		for _, one := range e.calls {
			code := exchange(t, c, &e, &op, &one)
			given = append(given, code)
		}
		for code := range op.Responses {
			if !slices.Contains(given, code) && unseen[code] == "" && unseen[e.method+" "+e.path+" "+code] == "" {
				t.Errorf("%s %s: no call is answered with %s", e.method, e.path, code)
			}
		}
	}
}

// exchange makes one call and validates its answer.
func exchange(t *testing.T, c *jsonschema.Compiler, e *endpoint, op *operation, one *call) string {
	t.Helper()
	f := newFixture(t, func(o *Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { text(w, 200, "up 1") })
		o.Evidence = func(string) ([]evidence.Profile, error) { return nil, nil }
	})
	f.token = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(f.token, []byte("sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.submit = func(alert.Batch) ([]alert.Disposition, error) {
		return []alert.Disposition{{Fingerprint: "1", Disposition: alert.Accepted, Reason: "r", RunID: "7"}}, nil
	}
	f.run = func(RunRequest) (string, error) { return "7", nil }
	f.pause = func(PauseRequest) error { return nil }
	f.decide = func(Decision) (string, error) { return "7", nil }
	busy(f)
	f.sample(f.now, .9, series.LevelCritical)
	if one.change != nil {
		one.change(f)
	}
	target := one.target
	if target == "" {
		target = e.path
	}
	w := f.do(strings.ToUpper(e.method), target, one.header, one.body)
	at := e.method + " " + target + " (" + one.name + ")"
	code := strconv.Itoa(w.Code)
	if w.Code != one.code {
		t.Errorf("%s: %d, want %d: %s", at, w.Code, one.code, w.Body)
		return code
	}
	if e.request != nil && w.Code == http.StatusOK {
		validate(t, c, at+", the request", e, "/requestBody", []byte(one.body))
	}
	said, documented := op.Responses[code]
	media, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	if _, ok := said.Content[media]; !documented || !ok && w.Body.Len() > 0 {
		t.Errorf("%s: %d with %q is not documented", at, w.Code, media)
		return code
	}
	if media != "application/json" {
		return code
	}
	validate(t, c, at, e, "/responses/"+code, w.Body.Bytes())
	return code
}

// validate holds a JSON text against the schema of a part of an operation.
func validate(t *testing.T, c *jsonschema.Compiler, at string, e *endpoint, part string, text []byte) {
	t.Helper()
	path := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(e.path)
	schema, err := c.Compile(openapiURL + "#/paths/" + path + "/" + e.method + part + "/content/application~1json/schema")
	if err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", at, err, text)
	}
}
