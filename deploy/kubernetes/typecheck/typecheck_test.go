package typecheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	rbac "k8s.io/api/rbac/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// kinds makes an empty object of each kind that the manifests may hold.
var kinds = map[string]func() any{
	"v1 Namespace":                             func() any { return &core.Namespace{} },
	"v1 ConfigMap":                             func() any { return &core.ConfigMap{} },
	"v1 Service":                               func() any { return &core.Service{} },
	"apps/v1 DaemonSet":                        func() any { return &apps.DaemonSet{} },
	"apps/v1 Deployment":                       func() any { return &apps.Deployment{} },
	"v1 Secret":                                func() any { return &core.Secret{} },
	"networking.k8s.io/v1 NetworkPolicy":       func() any { return &networking.NetworkPolicy{} },
	"monitoring.coreos.com/v1 PodMonitor":      func() any { return &monitoring.PodMonitor{} },
	"monitoring.coreos.com/v1 ServiceMonitor":  func() any { return &monitoring.ServiceMonitor{} },
	"monitoring.coreos.com/v1 PrometheusRule":  func() any { return &monitoring.PrometheusRule{} },
	"v1 ServiceAccount":                        func() any { return &core.ServiceAccount{} },
	"rbac.authorization.k8s.io/v1 Role":        func() any { return &rbac.Role{} },
	"rbac.authorization.k8s.io/v1 RoleBinding": func() any { return &rbac.RoleBinding{} },
}

// elsewhere are the kinds that only the chart has (Secret and NetworkPolicy) or only eviction/role.yaml.
const elsewhere = 5

// check reads one document and returns its kind.
func check(doc []byte) (string, error) {
	var head struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal(doc, &head); err != nil {
		return "", err
	}
	kind := head.APIVersion + " " + head.Kind
	make, ok := kinds[kind]
	if !ok {
		return kind, fmt.Errorf("the kind %q is not known here: add it to kinds", kind)
	}
	raw, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return kind, err
	}
	// As an API server decodes: the case of a field counts.
	strict, err := kjson.UnmarshalStrict(raw, make())
	return kind, errors.Join(append(strict, err)...)
}

// unmarshal reads a document of YAML as JSON.
func unmarshal(doc []byte, into any) error {
	raw, err := yaml.YAMLToJSON(doc)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

func TestManifests(t *testing.T) {
	files, err := filepath.Glob("../*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	valid := conform(t)
	seen := map[string]bool{}
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
			kind, err := check(doc)
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
			if err := valid(string(doc)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			seen[kind] = true
		}
	}
	if len(seen) != len(kinds)-elsewhere {
		t.Errorf("the manifests hold %v, want one of each of %d kinds", seen, len(kinds)-elsewhere)
	}
}

// The check must be able to fail.
func TestCheckCatches(t *testing.T) {
	for _, tc := range []struct{ doc, want string }{
		{"apiVersion: v1\nkind: Service\nspec: {clusterIp: None}\n", "unknown field"},
		{"apiVersion: apps/v1\nkind: DaemonSet\nspec: {template: {spec: {hostPID: often}}}\n", "cannot unmarshal"},
		{"apiVersion: v2\nkind: Service\n", "is not known"},
	} {
		if _, err := check([]byte(tc.doc)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q gives %v, want %q", tc.doc, err, tc.want)
		}
	}
}
