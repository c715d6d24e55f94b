package typecheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/yannh/kubeconform/pkg/resource"
	"github.com/yannh/kubeconform/pkg/validator"
)

// The kinds of the operator have no schema in Kubernetes; their types have checked them.
var operatorKinds = map[string]struct{}{"ServiceMonitor": {}, "PodMonitor": {}, "PrometheusRule": {}}

// specs are the files of the OpenAPI specification that hold the kinds we use.
var specs = []string{"api__v1", "apis__apps__v1", "apis__networking.k8s.io__v1", "apis__rbac.authorization.k8s.io__v1", "apis__authorization.k8s.io__v1"}

// kubernetesModule returns the folder of the sources of Kubernetes in the module cache.
var kubernetesModule = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", "k8s.io/kubernetes@v"+kubeVersion).Output()
	var info struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &info); jsonErr != nil || info.Error != "" {
		return "", fmt.Errorf("go mod download k8s.io/kubernetes: %w %s", errors.Join(err, jsonErr), info.Error)
	}
	return info.Dir, err
})

// writeSchemas writes a strict JSON schema for every kind of the specification.
func writeSchemas(t *testing.T, dir string) {
	t.Helper()
	source, err := kubernetesModule()
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range specs {
		text, err := os.ReadFile(filepath.Join(source, "api/openapi-spec/v3", spec+"_openapi.json"))
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Components struct {
				Schemas map[string]map[string]any `json:"schemas"`
			} `json:"components"`
		}
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		for _, schema := range doc.Components.Schemas {
			if _, object := schema["properties"]; object && schema["additionalProperties"] == nil {
				schema["additionalProperties"] = false // an unknown field is an error
			}
		}
		for name, schema := range doc.Components.Schemas {
			kinds, _ := schema["x-kubernetes-group-version-kind"].([]any)
			if len(kinds) != 1 {
				continue
			}
			gvk := kinds[0].(map[string]any)
			group, _, _ := strings.Cut(gvk["group"].(string), ".") // as kubeconform names its files
			file := strings.ToLower(fmt.Sprintf("%s-%s-%s.json", gvk["kind"], group, gvk["version"]))
			out, err := json.Marshal(map[string]any{"$ref": "#/components/schemas/" + name, "components": doc.Components})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(file, "--", "-")), out, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// conform returns a function that validates one document with kubeconform.
func conform(t *testing.T) func(doc string) error {
	t.Helper()
	dir := t.TempDir()
	writeSchemas(t, dir)
	v, err := validator.New([]string{dir + "/{{.ResourceKind}}{{.KindSuffix}}.json"}, validator.Opts{Strict: true, KubernetesVersion: kubeVersion, SkipKinds: operatorKinds})
	if err != nil {
		t.Fatal(err)
	}
	return func(doc string) error {
		switch res := v.ValidateResource(resource.Resource{Bytes: []byte(doc)}); res.Status {
		case validator.Valid, validator.Skipped:
			return nil
		case validator.Empty:
			return fmt.Errorf("an empty document")
		default:
			return res.Err
		}
	}
}

// The validation must be able to fail, and where the types alone do not.
func TestConformCatches(t *testing.T) {
	valid := conform(t)
	for _, tc := range []struct{ doc, want string }{
		{"apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {clusterIP: None}\n", ""},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {clusterIp: None}\n", "clusterIp"},
		{"apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: x}\nspec: {selector: {}}\n", "missing property 'template'"},
		{"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: {policyTypes: Ingress}\n", "array"},
		{"apiVersion: v1\nkind: Teapot\nmetadata: {name: x}\n", "could not find schema"},
	} {
		err := valid(tc.doc)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%q gives %v, want %q", tc.doc, err, tc.want)
		}
	}
}
