//go:build vm

package guest

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// document returns the object of a kind in a manifest of deploy/kubernetes.
func document(t *testing.T, text, kind string) map[string]any {
	t.Helper()
	dec := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	for {
		var object map[string]any
		err := dec.Decode(&object)
		if errors.Is(err, io.EOF) {
			t.Fatalf("no %s in:\n%s", kind, text)
		}
		if err != nil {
			t.Fatal(err)
		}
		if object["kind"] == kind {
			return object
		}
	}
}

// shippedConfig is the configuration in the ConfigMap of a manifest.
func shippedConfig(t *testing.T, file string) string {
	t.Helper()
	return document(t, read(t, "/payload/"+file), "ConfigMap")["data"].(map[string]any)["spillway.yml"].(string)
}

// staticPod makes a pod for a kubelet without an API server of what a workload would make: the pod
// stays as it is written, but for its configuration, which comes from a folder of the node in place of
// the ConfigMap.
func staticPod(t *testing.T, text, kind, config string) map[string]any {
	t.Helper()
	workload := document(t, text, kind)
	meta := workload["metadata"].(map[string]any)
	template := workload["spec"].(map[string]any)["template"].(map[string]any)
	spec := template["spec"].(map[string]any)
	name := meta["name"].(string)
	folder := filepath.Join(podConfigs, name)
	write(t, filepath.Join(folder, "spillway.yml"), config)
	write(t, filepath.Join(folder, "token"), token+"\n")
	replaced := 0
	for _, v := range spec["volumes"].([]any) {
		volume := v.(map[string]any)
		if _, ok := volume["configMap"]; ok {
			delete(volume, "configMap")
			volume["hostPath"] = map[string]any{"path": folder, "type": "Directory"}
			replaced++
		}
	}
	if replaced != 1 {
		t.Fatalf("%s has %d volumes of a ConfigMap, want 1", name, replaced)
	}
	namespace, ok := meta["namespace"].(string)
	if !ok {
		namespace = "shop"
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Pod", "spec": spec,
		"metadata": map[string]any{"name": name, "namespace": namespace, "labels": template["metadata"].(map[string]any)["labels"]},
	}
}

// exampleMount are the lines of the DaemonSet that mount a folder writable.
var exampleMount = regexp.MustCompile(`(?m)^( *)#(- \{name: data, |- name: data$|  hostPath: \{path: /srv/)`)

// mounted is the DaemonSet with the example in it taken: a folder of the node is writable.
func mounted(t *testing.T, text, dir string) string {
	t.Helper()
	if n := len(exampleMount.FindAllString(text, -1)); n != 3 {
		t.Fatalf("the example of a writable folder has %d lines, want 3:\n%s", n, text)
	}
	text = exampleMount.ReplaceAllString(text, "$1$2")
	return strings.ReplaceAll(text, "/srv/orchestrator/data", dir)
}

// withSys adds the mount by which a sidecar sees the limits of its neighbors.
func withSys(t *testing.T, pod map[string]any) map[string]any {
	t.Helper()
	spec := pod["spec"].(map[string]any)
	spec["volumes"] = append(spec["volumes"].([]any), map[string]any{"name": "sys", "hostPath": map[string]any{"path": "/sys"}})
	for _, c := range spec["containers"].([]any) {
		if container := c.(map[string]any); container["name"] == "spillway-exporter" {
			container["volumeMounts"] = append(container["volumeMounts"].([]any), map[string]any{"name": "sys", "mountPath": "/host/sys", "readOnly": true})
			return pod
		}
	}
	t.Fatal("no container of the exporter")
	return nil
}
