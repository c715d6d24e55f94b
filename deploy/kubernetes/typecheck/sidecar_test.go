package typecheck

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// exporter returns the container of the exporter in a file of manifests.
func exporter(t *testing.T, file string) core.Container {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var workload apps.Deployment // the pod of a DaemonSet stands in the same place
		if err := yaml.Unmarshal(doc, &workload); err != nil {
			t.Fatal(err)
		}
		for _, c := range workload.Spec.Template.Spec.Containers {
			if c.Name == "spillway-exporter" {
				return c
			}
		}
	}
	t.Fatalf("%s has no container of the exporter", file)
	return core.Container{}
}

// The sidecar is an example and no part of the chart: what both have in common is held together here.
func TestSidecarAgreesWithDaemonSet(t *testing.T) {
	s, d := exporter(t, "../sidecar.yaml"), exporter(t, "../daemonset.yaml")
	if s.Image != d.Image || s.ImagePullPolicy != d.ImagePullPolicy || !reflect.DeepEqual(s.Args, d.Args[:2]) || s.Ports[0].ContainerPort != d.Ports[0].ContainerPort {
		t.Errorf("%s %s %q %v, want %s %s %q %v", s.Image, s.ImagePullPolicy, s.Args, s.Ports, d.Image, d.ImagePullPolicy, d.Args[:2], d.Ports)
	}
	for _, p := range [][2]*core.Probe{{s.ReadinessProbe, d.ReadinessProbe}, {s.LivenessProbe, d.LivenessProbe}} {
		if p[0].HTTPGet.Path != p[1].HTTPGet.Path || p[0].PeriodSeconds != p[1].PeriodSeconds || p[0].TimeoutSeconds != p[1].TimeoutSeconds {
			t.Errorf("probe %v, want %v", p[0], p[1])
		}
	}
	a, b := s.SecurityContext, d.SecurityContext
	if !*a.ReadOnlyRootFilesystem || *a.AllowPrivilegeEscalation || !reflect.DeepEqual(a.Capabilities.Drop, b.Capabilities.Drop) || len(a.Capabilities.Add) != 0 {
		t.Errorf("security context %v", a)
	}
}

// An emptyDir is writable for everyone, so that a folder in it could be exchanged, and the exporter
// refuses such a folder: each one that it cleans has to be a volume of its own.
func TestSidecarFoldersAreVolumes(t *testing.T) {
	text, err := os.ReadFile("../sidecar.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config, _, _ := bytes.Cut(text, []byte("\n---\n"))
	var cm core.ConfigMap
	if err := yaml.Unmarshal(config, &cm); err != nil {
		t.Fatal(err)
	}
	mounts := exporter(t, "../sidecar.yaml").VolumeMounts
	folders := regexp.MustCompile(`\bdir: (/srv/[^,}]+)`).FindAllStringSubmatch(cm.Data["spillway.yml"], -1)
	if len(folders) != 2 {
		t.Fatalf("folders %q, want those of the cache and of the temporary files", folders)
	}
	for _, folder := range folders {
		if !slices.ContainsFunc(mounts, func(m core.VolumeMount) bool { return m.MountPath == folder[1] }) {
			t.Errorf("%s is not a volume, but: %v", folder[1], mounts)
		}
	}
}
