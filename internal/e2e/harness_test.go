//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	pollEvery  = 50 * time.Millisecond
	startLimit = 20 * time.Second
)

// eventually polls f until it returns nil and fails the test with its last error at the limit.
func eventually(t *testing.T, limit time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		<-tick.C
	}
}

// binary returns the path of the built exporter.
func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../spillway_exporter")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	return path
}

func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed: run make install-tools", program)
	}
	return path
}

// output collects what a process prints; it is safe for concurrent use.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// process is a started program that ends with the test.
type process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

func start(t *testing.T, env []string, argv ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), out: &output{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", argv[0], err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			text := p.out.String()
			if len(text) > 12000 {
				text = "...\n" + text[len(text)-12000:]
			}
			t.Logf("output of %s:\n%s", filepath.Base(argv[0]), text)
		}
	})
	return p
}

// stop asks the process to end and kills its group when it does not within 10 s.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.kill()
	}
}

func (p *process) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// exporter is a running spillway_exporter.
type exporter struct {
	*process
	url  string // http://127.0.0.1:port
	addr string
	dir  string // holds the config and the journal
}

var listening = regexp.MustCompile(`msg="Listening on" address=([0-9.]+:[0-9]+)`)

// startExporter writes the config and starts the binary on a free loopback port. In the config,
// the journal goes below dir.
func startExporter(t *testing.T, dir, config string, args ...string) *exporter {
	t.Helper()
	return startExporterAt(t, "127.0.0.1:0", dir, config, args...)
}

// startExporterAt is startExporter on another address.
func startExporterAt(t *testing.T, listen, dir, config string, args ...string) *exporter {
	t.Helper()
	return startExporterAs(t, []string{binary(t)}, nil, listen, dir, config, args...)
}

// startExporterAs is startExporterAt by another command line and environment.
func startExporterAs(t *testing.T, program, env []string, listen, dir, config string, args ...string) *exporter {
	t.Helper()
	file := filepath.Join(dir, "spillway.yml")
	if config != "" {
		config += "\njournal: {dir: " + filepath.Join(dir, "journal") + "}\n"
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config.file=" + file}, args...)
	}
	args = append([]string{"--web.listen-address=" + listen, "--log.level=debug"}, args...)
	e := &exporter{dir: dir, process: start(t, append(env, "XDG_STATE_HOME="+dir), append(program, args...)...)}
	eventually(t, startLimit, "the exporter is ready", func() error {
		select {
		case <-e.done:
			t.Fatalf("the exporter ended:\n%s", e.out.String())
		default:
		}
		m := listening.FindStringSubmatch(e.out.String())
		if m == nil {
			return errors.New("no address in its log yet")
		}
		e.addr, e.url = m[1], "http://"+m[1]
		_, err := get(e.url + "/-/ready")
		return err
	})
	return e
}

// client gives up soon; no answer of these servers is slow.
var client = &http.Client{Timeout: 5 * time.Second}

func get(url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	}
	return string(body), nil
}

func getJSON(url string, v any) error {
	body, err := get(url)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(body), v)
}

// post sends body and returns the status and the answer.
func post(t *testing.T, url, contentType, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer)
}

// metrics is one scrape.
type metrics map[string]*dto.MetricFamily

func (e *exporter) scrape() (metrics, error) {
	body, err := get(e.url + "/metrics")
	if err != nil {
		return nil, err
	}
	p := expfmt.NewTextParser(model.LegacyValidation)
	m, err := p.TextToMetricFamilies(strings.NewReader(body))
	return m, err
}

// sum adds the values of a family over the series whose labels include all of want ("k=v").
// found is false when there is no such series.
func (m metrics) sum(name string, want ...string) (total float64, found bool) {
	family := m[name]
	if family == nil {
		return 0, false
	}
	for _, metric := range family.Metric {
		labels := make(map[string]bool)
		for _, l := range metric.Label {
			labels[l.GetName()+"="+l.GetValue()] = true
		}
		match := true
		for _, w := range want {
			match = match && labels[w]
		}
		if !match {
			continue
		}
		found = true
		switch {
		case metric.Gauge != nil:
			total += metric.Gauge.GetValue()
		case metric.Counter != nil:
			total += metric.Counter.GetValue()
		case metric.Untyped != nil:
			total += metric.Untyped.GetValue()
		}
	}
	return total, found
}

// record is what these tests read of a line of the journal.
type record struct {
	ID          string           `json:"id"`
	RunID       string           `json:"run_id"`
	Target      string           `json:"target"`
	Playbook    string           `json:"playbook"`
	Step        int              `json:"step"`
	Action      string           `json:"action"`
	Trigger     string           `json:"trigger"`
	Mode        string           `json:"mode"`
	Intent      string           `json:"intent"`
	Before      string           `json:"before"`
	After       string           `json:"after"`
	Files       int64            `json:"files"`
	Bytes       int64            `json:"bytes"`
	FreedBytes  int64            `json:"freed_bytes"`
	Skipped     map[string]int64 `json:"skipped"`
	Outcome     string           `json:"outcome"`
	Error       string           `json:"error"`
	Detail      string           `json:"detail"`
	Fingerprint string           `json:"fingerprint"`
}

// journal returns all records, newest first, through the API.
func (e *exporter) journal() ([]record, error) {
	var page struct {
		Status  string   `json:"status"`
		Records []record `json:"records"`
	}
	err := getJSON(e.url+"/api/v1/journal?limit=1000", &page)
	return page.Records, err
}

// runs returns the run records (step 0) of a playbook that have ended.
func runs(records []record, playbook string) []record {
	var out []record
	for _, r := range records {
		if r.Step == 0 && r.Action == "" && r.Playbook == playbook && r.Outcome != "" {
			out = append(out, r)
		}
	}
	return out
}

// freePort returns a loopback port that was free a moment ago, for servers that cannot choose
// one and say which.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// writeFiles makes n files of size bytes in dir with the given modification age.
func writeFiles(t *testing.T, dir, pattern string, n, size int, age time.Duration) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, size)
	at := time.Now().Add(-age)
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf(pattern, i))
		if err := os.WriteFile(path, body, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func countFiles(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// testDir returns a folder on a real disk that may hold a root for clean-ups: the ancestors of
// t.TempDir are fine (sticky /tmp), and it is removed with the test.
func testDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
