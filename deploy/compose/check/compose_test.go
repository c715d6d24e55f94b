package check

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
)

func load(t *testing.T, text []byte) (*types.Project, error) {
	t.Helper()
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	details := types.ConfigDetails{WorkingDir: dir, ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "compose.yaml"), Content: text}}, Environment: types.Mapping{}}
	return loader.LoadWithContext(context.Background(), details, func(o *loader.Options) { o.SetProjectName("spillway", true) })
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(t, read(t, "../compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Services) != 4 {
		t.Fatalf("%d services, want 4", len(p.Services))
	}
	return p
}

// The loader must be able to fail.
func TestLoaderRejects(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"services: {a: {image: b, volume: [x]}}", "volume"},
		{"services: {a: {image: b, cap_add: SYS_PTRACE}}", "cap_add"},
		{"services: {a: {image: b, volumes: [{type: volume, source: x, target: /x}]}}", "undefined volume"},
		{"services: {a: {image: b, secrets: [x]}}", "undefined secret"},
	} {
		if _, err := load(t, []byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s gives %v, want %q", tc.text, err, tc.want)
		}
	}
}

// Every file that is mounted is there; of the host only what the exporter has to see, read-only.
func TestMounts(t *testing.T) {
	p := project(t)
	repository, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	ofHost := []string{"/", "/proc", "/sys", "/sys/fs/cgroup"}
	mounts := 0
	for _, s := range p.Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			mounts++
			if !v.ReadOnly {
				t.Errorf("%s: %s is writable", s.Name, v.Source)
			}
			if slices.Contains(ofHost, v.Source) && s.Name == "spillway" {
				continue
			}
			if !strings.HasPrefix(v.Source, repository+"/") {
				t.Errorf("%s mounts %s of the host", s.Name, v.Source)
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
	}
	if mounts < 10 {
		t.Errorf("%d bind mounts", mounts)
	}
	// The one file that its user makes; README.md says how, and git must not take it.
	if file := p.Secrets["token"].File; file != filepath.Join(repository, "deploy/compose/token") || !strings.Contains(string(read(t, "../README.md")), "/dev/stdin token\n") || string(read(t, "../.gitignore")) != "/token\n" {
		t.Errorf("the token is %q", file)
	}
}

// Nothing listens on other addresses than the loopback, and every image has a version.
func TestPortsAndImages(t *testing.T) {
	version := regexp.MustCompile(`:v?\d+\.\d+\.\d+$`)
	for _, s := range project(t).Services {
		if len(s.Ports) != 1 || s.Ports[0].HostIP != "127.0.0.1" {
			t.Errorf("%s: ports %+v", s.Name, s.Ports)
		}
		if s.Name != "spillway" && !version.MatchString(s.Image) {
			t.Errorf("%s: image %s has no version", s.Name, s.Image)
		}
	}
}

// The exporter sees the host as it does in the DaemonSet.
func TestSameAsDaemonSet(t *testing.T) {
	var ds struct {
		Spec struct {
			Template struct {
				Spec struct {
					HostPID    bool `yaml:"hostPID"`
					Containers []struct {
						Image           string
						Args            []string
						SecurityContext struct {
							Capabilities struct{ Drop, Add []string }
						} `yaml:"securityContext"`
						VolumeMounts []struct {
							MountPath string `yaml:"mountPath"`
						} `yaml:"volumeMounts"`
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(read(t, "../../kubernetes/daemonset.yaml"), &ds); err != nil {
		t.Fatal(err)
	}
	pod := ds.Spec.Template.Spec
	c := pod.Containers[0]
	s := project(t).Services["spillway"]
	if s.Image != c.Image || !slices.Equal(s.Command, c.Args) {
		t.Errorf("image %s, command %q, want %s, %q", s.Image, s.Command, c.Image, c.Args)
	}
	caps := c.SecurityContext.Capabilities
	if !slices.Equal(s.CapAdd, caps.Add) || !slices.Equal(s.CapDrop, caps.Drop) || !s.ReadOnly || (s.Pid == "host") != pod.HostPID {
		t.Errorf("capabilities %v without %v, read-only %v, pid %q", s.CapAdd, s.CapDrop, s.ReadOnly, s.Pid)
	}
	for _, m := range c.VolumeMounts {
		if !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
			return v.Target == m.MountPath || filepath.Dir(v.Target) == m.MountPath
		}) {
			t.Errorf("nothing is mounted at %s", m.MountPath)
		}
	}
}

// asInContainer copies the files that a service mounts below a folder into a folder, under the names that the
// container sees.
func asInContainer(t *testing.T, service, below string) string {
	t.Helper()
	dir := t.TempDir()
	for _, v := range project(t).Services[service].Volumes {
		if name, ok := strings.CutPrefix(v.Target, below+"/"); ok && v.Type == types.VolumeTypeBind {
			if err := os.WriteFile(filepath.Join(dir, name), read(t, v.Source), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// tool runs a program that .ci/install builds.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(cache, "spillway_exporter", name), args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %v: %v (make check-compose builds it)\n%s", name, args, err, out)
	}
}

func TestPrometheusConfig(t *testing.T) {
	dir := asInContainer(t, "prometheus", "/etc/prometheus")
	if _, err := os.Stat(filepath.Join(dir, "spillway.rules.yml")); err != nil {
		t.Error(err)
	}
	tool(t, "promtool-0.316.0", "check", "config", filepath.Join(dir, "prometheus.yml"))
}

func TestAlertmanagerConfig(t *testing.T) {
	dir := asInContainer(t, "alertmanager", "/etc/alertmanager")
	tool(t, "amtool-0.31.0", "check-config", filepath.Join(dir, "alertmanager.yml"))
	// The receiver's token is where the secret is.
	secrets := project(t).Services["alertmanager"].Secrets
	if len(secrets) != 1 || !strings.Contains(string(read(t, filepath.Join(dir, "alertmanager.yml"))), "credentials_file: "+secrets[0].Target+"\n") {
		t.Errorf("secrets %+v", secrets)
	}
}

// The data source differs from the shipped one by its address alone, and the dashboards lie where
// the provider looks for them.
func TestGrafana(t *testing.T) {
	body := func(path string) string {
		_, rest, _ := strings.Cut(string(read(t, path)), "\n")
		return rest
	}
	want := strings.Replace(body("../../grafana/provisioning/datasources/prometheus.yml"), "//localhost:", "//prometheus:", 1)
	if got := body("../datasource.yml"); got != want {
		t.Errorf("datasource.yml is\n%s\nwant\n%s", got, want)
	}
	for _, v := range project(t).Services["grafana"].Volumes {
		if filepath.Base(v.Source) != "dashboards" {
			continue
		}
		boards, err := filepath.Glob(filepath.Join(v.Source, "*.json"))
		provider := string(read(t, "../../grafana/provisioning/dashboards/spillway.yml"))
		if err != nil || len(boards) == 0 || !strings.Contains(provider, "path: "+v.Target+"\n") {
			t.Errorf("%d dashboards at %s, %v", len(boards), v.Target, err)
		}
		return
	}
	t.Error("no dashboards are mounted")
}

// The configuration loads as it stands and with its examples, and changes nothing.
func TestExporterConfig(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(read(t, "../spillway.yml")), "/run/secrets/token", token)
	for _, text := range []string{text, regexp.MustCompile(`(?m)^#(targets| )`).ReplaceAllString(text, "$1")} {
		text = regexp.MustCompile(`(?m)^ [A-Z-].*\n`).ReplaceAllString(text, "") // what was prose
		file := filepath.Join(t.TempDir(), "spillway.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(file)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if cfg.Enforces() || cfg.Webhook.TokenFile != token {
			t.Errorf("enforces %v, token %q", cfg.Enforces(), cfg.Webhook.TokenFile)
		}
	}
}
