package deploy

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/rules"
)

var update = flag.Bool("update", false, "write the generated files anew")

// The bundle is copied into the chart, which can only read its own folder.
const (
	ruleFile  = "kubernetes/prometheusrule.yaml"
	chartFile = "helm/spillway-exporter/files/spillway.rules.yml"
)

// The head of the PrometheusRule as the chart renders it; the groups of the bundle follow, as they
// stand there, deeper by one level. kubernetes/typecheck compares the whole with the chart.
const ruleHead = `# Rendered from deploy/helm/spillway-exporter by: make manifests
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: spillway-exporter
  namespace: spillway
  labels:
    app.kubernetes.io/name: spillway-exporter
spec:
`

// prometheusRule makes the PrometheusRule of a bundle.
func prometheusRule(t *testing.T, bundle []byte) string {
	t.Helper()
	_, groups, found := bytes.Cut(bundle, []byte("\ngroups:\n"))
	if !found {
		t.Fatal("the bundle has no line groups:")
	}
	var out strings.Builder
	out.WriteString(ruleHead + "  groups:\n")
	for line := range strings.Lines(string(groups)) {
		if line != "\n" {
			out.WriteString("  ")
		}
		out.WriteString(line)
	}
	return out.String()
}

func TestPrometheusRuleIsFresh(t *testing.T) {
	bundle, err := rules.Read(rules.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	want := prometheusRule(t, bundle)
	for file, want := range map[string]string{ruleFile: want, chartFile: string(bundle)} {
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if read(t, file) != want {
			t.Errorf("%s is not what rules/%s says: go test ./deploy -update", file, rules.Bundle)
		}
	}
	// The text was moved; that it still says the same is seen by reading both.
	var a struct{ Groups any }
	var b struct{ Spec struct{ Groups any } }
	if err := errors.Join(yaml.Unmarshal(bundle, &a), yaml.Unmarshal([]byte(want), &b)); err != nil {
		t.Fatal(err)
	}
	x, errX := yaml.Marshal(a.Groups)
	y, errY := yaml.Marshal(b.Spec.Groups)
	if errX != nil || errY != nil || !bytes.Equal(x, y) || len(x) < 1000 {
		t.Errorf("the groups differ once they are read: %v %v, %d and %d bytes", errX, errY, len(x), len(y))
	}
}

type object struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Data     map[string]string
	Spec     struct {
		Template struct{ Spec podSpec }
	}
	Resources []string // of a Kustomization
}

type podSpec struct {
	HostPID    bool `yaml:"hostPID"`
	Containers []struct {
		Name  string
		Args  []string
		Ports []struct {
			Name          string
			ContainerPort int `yaml:"containerPort"`
		}
		SecurityContext struct {
			Capabilities struct{ Drop, Add []string }
		} `yaml:"securityContext"`
		VolumeMounts []struct{ Name, MountPath string } `yaml:"volumeMounts"`
	}
	Volumes []struct{ Name string }
}

// objects reads every document of every manifest.
func objects(t *testing.T) map[string][]object {
	t.Helper()
	files, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d manifests, %v", len(files), err)
	}
	out := make(map[string][]object)
	for _, file := range files {
		dec := yaml.NewDecoder(strings.NewReader(read(t, file)))
		for {
			var o object
			err := dec.Decode(&o)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			out[filepath.Base(file)] = append(out[filepath.Base(file)], o)
		}
	}
	return out
}

// A configuration in a ConfigMap must load and change nothing, and so must its examples.
func TestKubernetesConfigs(t *testing.T) {
	seen := 0
	for file, list := range objects(t) {
		for _, o := range list {
			text, ok := o.Data["spillway.yml"]
			if !ok {
				continue
			}
			seen++
			t.Run(file, func(t *testing.T) {
				if loadText(t, text).Enforces() || loadText(t, uncomment(text)).Enforces() {
					t.Error("it enforces")
				}
			})
		}
	}
	if seen != 2 {
		t.Errorf("%d configurations, want those of the DaemonSet and of the sidecar", seen)
	}
}

// What the pods say of themselves must fit together, and the exporter must get no right that
// docs/install.md does not explain.
func TestKubernetesPods(t *testing.T) {
	install := read(t, "../docs/install.md")
	seen := 0
	for file, list := range objects(t) {
		for _, o := range list {
			pod := o.Spec.Template.Spec
			var volumes []string
			for _, v := range pod.Volumes {
				volumes = append(volumes, v.Name)
			}
			for _, c := range pod.Containers {
				for _, m := range c.VolumeMounts {
					if !slices.Contains(volumes, m.Name) {
						t.Errorf("%s: container %s mounts %s, which is not a volume", file, c.Name, m.Name)
					}
				}
				if c.Name != "spillway-exporter" {
					continue
				}
				seen++
				if len(c.Ports) != 1 || c.Ports[0].ContainerPort != 10042 {
					t.Errorf("%s: ports %v", file, c.Ports)
				}
				if !slices.Equal(c.SecurityContext.Capabilities.Drop, []string{"ALL"}) {
					t.Errorf("%s drops %v, want ALL", file, c.SecurityContext.Capabilities.Drop)
				}
				for _, name := range c.SecurityContext.Capabilities.Add {
					if !strings.Contains(install, "CAP_"+name) {
						t.Errorf("%s: docs/install.md does not say why CAP_%s", file, name)
					}
				}
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d containers of the exporter, want those of the DaemonSet and of the sidecar", seen)
	}
}

func TestKustomizationNamesItsFiles(t *testing.T) {
	all := objects(t)
	want := slices.Sorted(slices.Values(all["kustomization.yaml"][0].Resources))
	var got []string
	for file := range all {
		if !slices.Contains([]string{"kustomization.yaml", "sidecar.yaml", "podmonitor.yaml"}, file) {
			got = append(got, file)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("kustomization.yaml names %v, the folder has %v", want, got)
	}
}
