package typecheck

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/yaml"
)

const (
	chartDir    = "../../helm/spillway-exporter"
	valueSets   = "../../helm/ci/*.yaml"
	kubeVersion = "1.34.0"
)

var update = flag.Bool("update", false, "write the manifests that are rendered from the chart")

// readValues reads a file of values.
func readValues(t *testing.T, file string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return values
}

// render returns what helm template makes of the chart, by the name of the template. Templates that
// render to nothing are left out.
func render(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	version, err := chartutil.ParseKubeVersion(kubeVersion)
	if err != nil {
		t.Fatal(err)
	}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.KubeVersion = *version
	release := chartutil.ReleaseOptions{Name: "spillway-exporter", Namespace: "spillway", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, values, release, caps)
	if err != nil {
		return nil, err
	}
	rendered, err := engine.Render(chart, all)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string)
	for name, text := range rendered {
		if strings.TrimSpace(text) != "" && path.Ext(name) != ".tpl" {
			out[path.Base(name)] = text
		}
	}
	return out, nil
}

// What only Helm needs is not in the manifests: the labels by which it knows its releases, and the
// checksum that restarts pods, which would go stale where the ConfigMap is edited by hand.
var onlyHelm = regexp.MustCompile(`(?m)^ *(app\.kubernetes\.io/(instance|version|managed-by)|helm\.sh/chart): .*\n|^ +annotations:\n +# The configuration is read.*\n +checksum/config: .*\n`)

const renderedHead = "# Rendered from deploy/helm/spillway-exporter by: make manifests\n"

// The manifests are the chart with the values in helm/ci/manifests.yaml.
func TestManifestsAreRendered(t *testing.T) {
	rendered, err := render(t, readValues(t, "../../helm/ci/manifests.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	delete(rendered, "NOTES.txt")
	want := []string{"configmap.yaml", "daemonset.yaml", "prometheusrule.yaml", "service.yaml", "servicemonitor.yaml"}
	if got := slices.Sorted(maps.Keys(rendered)); !slices.Equal(got, want) {
		t.Fatalf("the chart renders %v, want %v", got, want)
	}
	for name, text := range rendered {
		text = renderedHead + onlyHelm.ReplaceAllString(strings.Trim(text, "\n")+"\n", "")
		if strings.Contains(text, "checksum") || strings.Contains(strings.ToLower(strings.TrimPrefix(text, renderedHead)), "helm") {
			t.Errorf("%s: something of Helm is left in it", name)
		}
		file := filepath.Join("..", name)
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(have) != text {
			t.Errorf("%s is not what the chart renders: change the chart, then make manifests (%s)", file, firstDifference(string(have), text))
		}
	}
}

// firstDifference describes the first line that differs.
func firstDifference(have, want string) string {
	a, b := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d: %q, want %q", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(a), len(b))
}
