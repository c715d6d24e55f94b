package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// recorder is a Registerer that remembers what was registered.
type prometheusDesc struct {
	name, help string
	labels     []string
}

var descForm = regexp.MustCompile(`fqName: "([^"]+)", help: "((?:[^"\\]|\\.)*)".*variableLabels: \{([^}]*)\}`)

// describe sends the definition of every registered metric that describes itself.
func describe(a *App, out chan<- *prometheusDesc) {
	defer close(out)
	descs := make(chan *prometheus.Desc, 16)
	go func() {
		a.registry.Describe(descs)
		close(descs)
	}()
	for d := range descs {
		m := descForm.FindStringSubmatch(d.String())
		if m == nil {
			continue
		}
		var labels []string
		for l := range strings.SplitSeq(m[3], ",") {
			if l = strings.TrimSpace(l); l != "" {
				labels = append(labels, l)
			}
		}
		out <- &prometheusDesc{name: m[1], help: strings.ReplaceAll(m[2], `\"`, `"`), labels: labels}
	}
}

func testOptions(t *testing.T, config string) Options {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	none := ""
	o := Options{
		Roots: hostfs.Roots{ProcFS: "/proc", SysFS: "/sys", RootFS: "/"}, TelemetryPath: "/metrics",
		Web: &web.FlagConfig{WebListenAddresses: &[]string{"127.0.0.1:0"}, WebConfigFile: &none},
	}
	dir := realDir(t)
	if config == "" {
		config = "discover: {by: comm, top: 5}\n"
	}
	o.ConfigFile = filepath.Join(dir, "spillway.yml")
	writeTest(t, o.ConfigFile, config+"\njournal: {dir: "+dir+"/journal}\n")
	return o
}

func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeTest(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startApp runs an exporter until the test ends and waits for it to be ready.
func startApp(t *testing.T, config string) *App {
	t.Helper()
	return runApp(t, testOptions(t, config))
}

func runApp(t *testing.T, o Options) *App {
	t.Helper()
	a, err := New(t.Context(), o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	<-a.graph.Load().sampler.Ready()
	return a
}

func (a *App) url(path string) string { return "http://" + a.Addrs()[0].String() + path }

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestServesEverything(t *testing.T) {
	a := startApp(t, "")
	for path, want := range map[string]string{
		"/": "Spillway", "/metrics": "spillway_memory_used_ratio", "/health/memory": `"timestamp"`, "/-/ready": "ready", "/-/healthy": "healthy",
		"/api/v1/targets": `"host"`, "/api/v1/journal": `"records":[]`, "/api/v1/alerts": `"rules"`, "/api/v1/series?target=host": `"points"`,
		"/target/host": "host", "/static/style.css": "--bg", "/static/live.js": "EventSource",
	} {
		if code, body := fetch(t, a.url(path)); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, want 200 with %q in it:\n%.300s", path, code, want, body)
		}
	}
	for path, want := range map[string]string{
		"/nothing": "status page", "/api/v1/nothing": "/api/v1/targets", "/target/nobody": "lists them",
		"/health/memory?target=nobody": "/api/v1/targets", "/api/v1/series?target=nobody": "/api/v1/targets",
	} {
		if code, body := fetch(t, a.url(path)); code != http.StatusNotFound || !strings.Contains(body, want) {
			t.Errorf("%s: %d %q, want 404 with %q in it", path, code, body, want)
		}
	}
}

// TestReload exchanges the graph: the new target is there, the old one is gone, the rings of the
// host go on, and nothing is open twice.
func TestReload(t *testing.T) {
	dir := realDir(t)
	writeTest(t, dir+"/one/f.tmp", "x")
	writeTest(t, dir+"/two/f.tmp", "x")
	target := func(name string) string {
		return fmt.Sprintf("discover: {by: comm}\nsample_interval: 1s\ntargets: [{name: %s, temp_dirs: [{name: t, dir: %s/%s, include: ['*.tmp'], max_age: 1h}]}]\n", name, dir, name)
	}
	a := startApp(t, target("one"))
	if _, body := fetch(t, a.url("/metrics")); !strings.Contains(body, `spillway_temp_files{dir="t",target="one"} 1`) {
		t.Fatal("the first target is not observed")
	}
	journal := "\njournal: {dir: " + filepath.Dir(a.opts.ConfigFile) + "/journal}\n"
	writeTest(t, a.opts.ConfigFile, target("two")+journal)
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	_, body := fetch(t, a.url("/metrics"))
	if strings.Contains(body, `target="one"`) || !strings.Contains(body, `spillway_temp_files{dir="t",target="two"} 1`) {
		t.Errorf("after the reload the targets are not exchanged:\n%s", grep(body, "spillway_temp_files"))
	}
	writeTest(t, a.opts.ConfigFile, "sample_interval: never\n")
	if err := a.Reload(); err == nil || !strings.Contains(err.Error(), "sample_interval") {
		t.Errorf("a bad reload: %v, want the key", err)
	}
	_, body = fetch(t, a.url("/metrics"))
	if !strings.Contains(body, "spillway_config_last_reload_successful 0") || !strings.Contains(body, `target="two"`) {
		t.Error("after a bad reload the old configuration is not running")
	}
	if _, page := fetch(t, a.url("/")); !strings.Contains(page, "The configuration was not loaded") {
		t.Error("the page does not say that the reload failed")
	}
}

func grep(text, word string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestSecondInstanceIsLocked(t *testing.T) {
	a := startApp(t, "")
	_, err := New(t.Context(), a.opts, slog.New(slog.DiscardHandler))
	if !errors.Is(err, journal.ErrLocked) {
		t.Errorf("a second instance on one journal: %v, want %v", err, journal.ErrLocked)
	}
}
