package typecheck

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"sigs.k8s.io/yaml"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
)

// sets returns the sets of values that the chart is checked with, by the name of their file.
func sets(t *testing.T) map[string]map[string]any {
	t.Helper()
	files, err := filepath.Glob(valueSets)
	if err != nil || len(files) < 8 {
		t.Fatalf("%d sets of values, %v", len(files), err)
	}
	out := make(map[string]map[string]any)
	for _, file := range files {
		out[filepath.Base(file)] = readValues(t, file)
	}
	return out
}

// helm lint, with every set of values.
func TestChartLints(t *testing.T) {
	version, err := chartutil.ParseKubeVersion(kubeVersion)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range sets(t) {
		for _, m := range lint.AllWithKubeVersion(chartDir, values, "spillway", version).Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

// Every set renders to objects that Kubernetes takes, with a configuration that loads.
func TestChartRenders(t *testing.T) {
	valid := conform(t)
	seen := map[string]bool{}
	for name, values := range sets(t) {
		t.Run(name, func(t *testing.T) {
			rendered, err := render(t, values)
			if err != nil {
				t.Fatal(err)
			}
			for file, text := range rendered {
				if file == "NOTES.txt" {
					continue
				}
				kind, err := check([]byte(text))
				if err != nil {
					t.Errorf("%s: %v", file, err)
				}
				if err := valid(text); err != nil {
					t.Errorf("%s: %v", file, err)
				}
				seen[kind] = true
			}
			loadConfig(t, rendered["configmap.yaml"], values["mode"] == "enforce")
		})
	}
	for _, kind := range []string{"v1 Secret", "networking.k8s.io/v1 NetworkPolicy", "monitoring.coreos.com/v1 PodMonitor", "monitoring.coreos.com/v1 PrometheusRule"} {
		if !seen[kind] {
			t.Errorf("no set renders a %s", kind)
		}
	}
}

// loadConfig lets the exporter load the configuration of a ConfigMap.
func loadConfig(t *testing.T, configMap string, enforces bool) *config.Config {
	t.Helper()
	var object struct{ Data map[string]string }
	if err := yaml.Unmarshal([]byte(configMap), &object); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(object.Data["spillway.yml"], "/etc/spillway-token/token", token)
	file := filepath.Join(dir, "spillway.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if cfg.Enforces() != enforces {
		t.Errorf("the configuration enforces: %v, want %v", cfg.Enforces(), enforces)
	}
	return cfg
}

// flatten returns the paths of all keys of values; what config and Kubernetes define is one key.
func flatten(prefix string, values map[string]any, out map[string]bool) {
	for key, v := range values {
		at := prefix + key
		m, deeper := v.(map[string]any)
		if !deeper || len(m) == 0 || slices.Contains([]string{"config", "resources", "updateStrategy", "nodeSelector", "affinity", "labels", "podLabels", "podAnnotations"}, key) {
			out[at] = true
			continue
		}
		flatten(at+".", m, out)
	}
}

// An option that no set uses was never checked.
func TestChartValuesAreAllInASet(t *testing.T) {
	have, used := map[string]bool{}, map[string]bool{}
	flatten("", readValues(t, filepath.Join(chartDir, "values.yaml")), have)
	for _, values := range sets(t) {
		flatten("", values, used)
	}
	for _, key := range slices.Sorted(maps.Keys(have)) {
		if !used[key] {
			t.Errorf("the value %s is in no set of %s", key, valueSets)
		}
	}
	if len(have) < 35 {
		t.Errorf("only %d values were found", len(have))
	}
}

// What each option changes, and what it leaves alone.
func TestChartOptions(t *testing.T) {
	const ds = "daemonset.yaml"
	for _, tc := range []struct{ set, file, want, not string }{
		{"default.yaml", ds, "automountServiceAccountToken: false", "serviceAccountName"},
		{"default.yaml", ds, "add: [DAC_READ_SEARCH, SYS_PTRACE, LEASE]", "hostNetwork"},
		{"default.yaml", ds, "image: ghcr.io/spillway-exporter/spillway_exporter:", "spillway-token"},
		{"default.yaml", "configmap.yaml", "standalone: true", "enforce"},
		{"monitoring.yaml", "configmap.yaml", "standalone: false", "webhook"},
		{"monitoring.yaml", "servicemonitor.yaml", "release: kube-prometheus-stack", "podMetricsEndpoints"},
		{"monitoring.yaml", "servicemonitor.yaml", "scrapeTimeout: 10s", ""},
		{"monitoring.yaml", "servicemonitor.yaml", "team: media", ""},
		{"monitoring.yaml", "prometheusrule.yaml", "release: kube-prometheus-stack", ""},
		{"monitoring.yaml", "prometheusrule.yaml", "{{ $value | humanizePercentage }}", ""},
		{"podmonitor.yaml", "podmonitor.yaml", "release: kube-prometheus-stack", ""},
		{"enforce.yaml", ds, `mountPath: "/host/root/srv/orchestrator/data/tts", mountPropagation: HostToContainer}`, "#- {name: data"},
		{"enforce.yaml", ds, `hostPath: {path: "/srv/with space", type: Directory}`, ""},
		{"enforce.yaml", ds, "add: [DAC_READ_SEARCH, SYS_PTRACE, LEASE, DAC_OVERRIDE, KILL]", ""},
		{"enforce.yaml", ds, "items: [{key: bearer, path: token}]", ""},
		{"enforce.yaml", "configmap.yaml", "mode: enforce", "discover"},
		{"enforce.yaml", "configmap.yaml", "token_file: /etc/spillway-token/token", "#targets"},
		{"token-value.yaml", ds, "secretName: spillway-exporter-token", "0123456789abcdef"},
		{"token-value.yaml", "configmap.yaml", "token_file: /etc/spillway-token/token", "0123456789abcdef"},
		{"network-policy.yaml", "networkpolicy.yaml", "policyTypes: [Ingress, Egress]", ""},
		{"host-network.yaml", ds, "dnsPolicy: ClusterFirstWithHostNet", ""},
		{"placement.yaml", ds, "nodeSelector:", "priorityClassName"},
		{"placement.yaml", ds, "tier: node", "tolerations"},
		{"image.yaml", ds, "image: registry.example.com/spillway_exporter@sha256:0123", "spillway_exporter:"},
		{"image.yaml", "service.yaml", "name: node-spill", "spillway-exporter-"},
		{"extra.yaml", ds, "- --web.config.file=/etc/spillway-web/web.yml", ""},
		{"extra.yaml", ds, "path: /srv/spillway-journal", ""},
	} {
		rendered, err := render(t, sets(t)[tc.set])
		if err != nil {
			t.Fatal(err)
		}
		text := rendered[tc.file]
		if strings.HasSuffix(tc.file, "service.yaml") {
			text = strings.ReplaceAll(text, "helm.sh/chart: spillway-exporter-", "")
		}
		if !strings.Contains(text, tc.want) {
			t.Errorf("%s: %s has no %q", tc.set, tc.file, tc.want)
		}
		if tc.not != "" && strings.Contains(text, tc.not) {
			t.Errorf("%s: %s has %q", tc.set, tc.file, tc.not)
		}
	}
}

// Values that contradict each other, or that are misspelt, are rejected with what to write.
func TestChartRefuses(t *testing.T) {
	for _, tc := range []struct{ values, want string }{
		{"mode: enforce", "mode is enforce and there is no token: set token.existingSecret"},
		{"mode: enfroce", "mode"},
		{"config: {mode: enforce}", "config.mode is set: use the value mode"},
		{"token: {value: a, existingSecret: b}", "are both set: use one of them"},
		{"{token: {value: x}, config: {webhook: {token_file: /x}}}", "are both set: use one of them"},
		{"{serviceMonitor: {enabled: true}, podMonitor: {enabled: true}}", "Enable one of them"},
		{"networkPolicy: {enabled: true}", "networkPolicy.from is empty: name the pods"},
		{"{hostNetwork: true, networkPolicy: {enabled: true, from: [{podSelector: {}}]}}", "no effect with hostNetwork"},
		{"writeablePaths: [/srv]", "writeablePaths"},
		{"writablePaths: [/]", "writablePaths"},
		{"writablePaths: [srv]", "writablePaths"},
		{"writablePaths: [/srv/../etc]", "writablePaths"},
		{"extraCapabilities: [SYS_ADMIN]", "extraCapabilities"},
		{"image: {digest: 0123}", "digest"},
		{"extraArgs: [serve]", "extraArgs"},
	} {
		var values map[string]any
		if err := yaml.Unmarshal([]byte(tc.values), &values); err != nil {
			t.Fatal(err)
		}
		if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s gives %v, want %q", tc.values, err, tc.want)
		}
	}
}
