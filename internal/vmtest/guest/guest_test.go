//go:build vm

// Package guest holds the tests that run in the virtual machine, see internal/vmtest. They use the
// package as it is shipped: its unit, its drop-ins, its program. A test says in the attribute "what"
// which row of the table in docs/install.md it is.
package guest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	unit       = "spillway_exporter.service"
	configFile = "/etc/spillway/spillway.yml"
	dropIns    = "/etc/systemd/system/" + unit + ".d"
	shipped    = "/usr/share/doc/spillway-exporter/enforce.conf"
	deb        = "/payload/spillway-exporter.deb"
)

// address is where the exporter listens: that of the unit, or of a pod.
var address = "http://127.0.0.1:10042"

// what names the row of the table.
func what(t *testing.T, text string) {
	t.Helper()
	t.Attr("what", text)
}

// try runs a command and returns what it printed.
func try(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}

// run is try, and a failure is fatal.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sh runs lines of a shell that stops at the first failure.
func sh(t *testing.T, script string) string {
	t.Helper()
	return run(t, "bash", "-euo", "pipefail", "-c", script)
}

// within waits until the check returns nil.
func within(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.After(limit)
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("not within %v: %v", limit, err)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// serve restarts the shipped unit with a configuration and drop-ins, and returns when it is ready.
func serve(t *testing.T, config string, conf ...string) {
	t.Helper()
	configure(t, config, conf...)
	if _, err := try("systemctl", "restart", unit); err != nil {
		t.Fatalf("%v\n%s", err, logs(t))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(logs(t))
		}
	})
	ready(t)
}

// configure writes the configuration, and drop-ins in the place of all that were there.
func configure(t *testing.T, config string, conf ...string) {
	t.Helper()
	write(t, configFile, "sample_interval: 1s\nscan_interval: 1s\nstandalone: true\n"+config)
	if err := os.RemoveAll(dropIns); err != nil {
		t.Fatal(err)
	}
	for i, text := range conf {
		write(t, filepath.Join(dropIns, strconv.Itoa(i)+".conf"), text)
	}
	run(t, "systemctl", "daemon-reload")
}

func ready(t *testing.T) {
	t.Helper()
	within(t, time.Minute, func() error {
		_, err := get("/-/ready")
		return err
	})
}

func logs(t *testing.T) string {
	t.Helper()
	out, _ := try("journalctl", "-u", unit, "-n", "40", "--no-pager", "-o", "cat")
	return out
}

// property is one property of a unit of systemd.
func property(t *testing.T, unit, name string) string {
	t.Helper()
	return run(t, "systemctl", "show", "--value", "-p", name, unit)
}

var client = &http.Client{Timeout: 10 * time.Second}

func get(path string) (string, error) {
	resp, err := client.Get(address + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, body)
	}
	return string(body), err
}

// post asks for a run of a playbook and returns the answer.
func post(path, body, token string) (string, error) {
	req, err := http.NewRequest(http.MethodPost, address+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, text)
	}
	return string(text), err
}

// metric returns the value of one series as /metrics writes it.
func metric(series string) (float64, error) {
	text, err := get("/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	name, _, _ := strings.Cut(series, "{")
	var near []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name+"{") || strings.HasPrefix(line, "spillway_source_success") && strings.HasSuffix(line, " 0\n") {
			near = append(near, line)
		}
	}
	return 0, fmt.Errorf("/metrics has no %s, but:\n%s", series, strings.Join(near, ""))
}

// expect waits until a series has a value.
func expect(t *testing.T, series string, want float64) {
	t.Helper()
	within(t, 2*time.Minute, func() error { // what discovery finds has to live for a minute
		got, err := metric(series)
		if err == nil && got != want {
			err = fmt.Errorf("%s is %v, want %v", series, got, want)
		}
		return err
	})
}

// atLeast waits until a series has at least a value.
func atLeast(t *testing.T, series string, want float64) {
	t.Helper()
	within(t, 2*time.Minute, func() error {
		got, err := metric(series)
		if err == nil && got < want {
			err = fmt.Errorf("%s is %v, want at least %v", series, got, want)
		}
		return err
	})
}

// transient starts a transient unit that ends with the test.
func transient(t *testing.T, name string, args ...string) {
	t.Helper()
	run(t, "systemd-run", append([]string{"--quiet", "--collect", "--unit=" + name}, args...)...)
	t.Cleanup(func() { _, _ = try("systemctl", "kill", "-s", "KILL", name); _, _ = try("systemctl", "stop", name) })
}

// old makes a file that every policy finds expired.
func old(t *testing.T, path string) {
	t.Helper()
	write(t, path, "x")
	when := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}
