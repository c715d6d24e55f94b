package typecheck

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	rbac "k8s.io/api/rbac/v1"

	"github.com/spillway-exporter/spillway_exporter/internal/restart"
)

const evictedUID = "6b7a3d3e-0000-4000-8000-000000000001"

// operations are the methods of each path of the specification.
func operations(t *testing.T) map[string]map[string]any {
	t.Helper()
	source, err := kubernetesModule()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]map[string]any)
	for _, spec := range specs {
		text, err := os.ReadFile(filepath.Join(source, "api/openapi-spec/v3", spec+"_openapi.json"))
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Paths map[string]map[string]any `json:"paths"`
		}
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		for path, methods := range doc.Paths {
			out[path] = methods
		}
	}
	return out
}

var placeholder = regexp.MustCompile(`\\\{[a-z]+\\\}`)

// known reports whether the specification has an operation, and how its path is written there.
func known(ops map[string]map[string]any, method, path string) (string, bool) {
	for template, methods := range ops {
		form := "^" + placeholder.ReplaceAllString(regexp.QuoteMeta(template), "[^/]+") + "$"
		if ok, _ := regexp.MatchString(form, path); ok && methods[strings.ToLower(method)] != nil {
			return template, true
		}
	}
	return "", false
}

// strictAPI is an API server that takes only what the specification has, and what the Role allows.
type strictAPI struct {
	t     *testing.T
	ops   map[string]map[string]any
	valid func(string) error
	rules []rbac.PolicyRule

	mu      sync.Mutex
	gone    bool
	evicted int
}

// allowed asks the Role about a resource of the core group.
func (s *strictAPI) allowed(verb, resource string) bool {
	for _, r := range s.rules {
		for _, v := range r.Verbs {
			for _, res := range r.Resources {
				if v == verb && res == resource {
					return true
				}
			}
		}
	}
	return false
}

func (s *strictAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	template, ok := known(s.ops, r.Method, r.URL.Path)
	if !ok {
		s.t.Errorf("the specification has no %s %s", r.Method, r.URL.Path)
	}
	body, _ := io.ReadAll(r.Body)
	if len(body) > 0 {
		if err := s.valid(string(body)); err != nil || r.Header.Get("Content-Type") != "application/json" {
			s.t.Errorf("%s %s: %s: %v", r.Method, r.URL.Path, body, err)
		}
	}
	switch template {
	case "/api/v1/namespaces/{namespace}/pods/{name}":
		switch {
		case r.Method != http.MethodGet || !s.allowed("get", "pods"):
			w.WriteHeader(http.StatusForbidden)
		case s.gone:
			w.WriteHeader(http.StatusNotFound)
		default:
			fmt.Fprintf(w, `{"metadata": {"name": "web-1", "uid": %q}, "status": {"phase": "Running"}}`, evictedUID)
		}
	case "/api/v1/namespaces/{namespace}/pods/{name}/eviction":
		if !s.allowed("create", "pods/eviction") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		s.evicted, s.gone = s.evicted+1, true
		w.WriteHeader(http.StatusCreated)
	case "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
		var review struct {
			Spec struct {
				ResourceAttributes struct{ Verb, Resource, Subresource string }
			}
		}
		_ = json.Unmarshal(body, &review)
		a := review.Spec.ResourceAttributes
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"status": {"allowed": %t}}`, s.allowed(a.Verb, strings.TrimSuffix(a.Resource+"/"+a.Subresource, "/")))
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// role returns the rules of the shipped Role, after each document has been checked.
func role(t *testing.T, valid func(string) error) []rbac.PolicyRule {
	t.Helper()
	text, err := os.ReadFile("../eviction/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var r rbac.Role
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		kind, err := check(doc)
		if err == nil {
			err = valid(string(doc))
		}
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if strings.HasSuffix(kind, " Role") {
			if err := unmarshal(doc, &r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(r.Rules) != 2 {
		t.Errorf("the Role has %+v, want pods and pods/eviction alone", r.Rules)
	}
	return r.Rules
}

// TestEviction: what is sent to the API server is what its specification has, and the shipped Role is enough for it.
func TestEviction(t *testing.T) {
	valid := conform(t)
	api := &strictAPI{t: t, ops: operations(t), valid: valid, rules: role(t, valid)}
	srv := httptest.NewTLSServer(api)
	defer srv.Close()
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	for name, content := range map[string][]byte{"ca.crt": ca, "token": []byte("sesame\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := restart.OpenKubernetes(&restart.Spec{Via: restart.ViaKubernetes, Pod: "web-1", Namespace: "shop", PodUID: evictedUID}, restart.Cluster{Address: srv.URL, Account: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check(t.Context()); err != nil {
		t.Error(err)
	}
	from, err := m.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Restart(t.Context(), from); err != nil || api.evicted != 1 {
		t.Errorf("%v, %d evictions, want one", err, api.evicted)
	}
}

// TestEvictionCatches: the API server of the test refuses what a real one would.
func TestEvictionCatches(t *testing.T) {
	valid, ops := conform(t), operations(t)
	if err := valid(`{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "x"}, "deleteOptions": {"precondition": {"uid": "x"}}}`); err == nil {
		t.Error("an unknown field is taken")
	}
	if _, ok := known(ops, http.MethodPost, "/api/v1/namespaces/shop/pods/web-1/evict"); ok {
		t.Error("an unknown path is taken")
	}
}
