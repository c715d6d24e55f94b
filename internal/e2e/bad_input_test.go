//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const payload = `{"version":"4","groupKey":"{}","status":"firing","receiver":"spillway","truncatedAlerts":0,
"groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://am:9093","alerts":[
{"status":"firing","labels":{"alertname":"SpillwayTempFilesExpired","target":%q,"playbook":%q},"annotations":{},
"startsAt":"2026-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"00112233445566ff"}]}`

// TestBadInput sends everything that is wrong to a running exporter: each answer says what to
// send instead, and the exporter keeps running as it was.
func TestBadInput(t *testing.T) {
	dir := testDir(t)
	tokenFile, secret := token(t, dir)
	tts := filepath.Join(dir, "tts")
	writeFiles(t, tts, "a-%d.wav", 3, 10, 2*time.Hour)
	config := `
sample_interval: 1s
standalone: false
webhook: {token_file: ` + tokenFile + `}
targets:
  - name: svc
    temp_dirs: [{name: tts, dir: ` + tts + `, include: ['*.wav'], max_age: 1h, age_by: mtime, min_age: 1s}]
  - name: deaf
    processes: {match: {comm: spillway_export}}
    heap: {provider: node_inspector, address: '127.0.0.1:1'}
`
	e := startExporter(t, dir, config)
	hook := e.url + "/api/v1/webhook"
	good := fmt.Sprintf(payload, "svc", "clean_temp")
	tests := []struct {
		name                     string
		contentType, token, body string
		status                   int
		says                     string
	}{
		{"not JSON", "application/json", secret, "status=firing", 400, "byte"},
		{"a wrong version", "application/json", secret, strings.Replace(good, `"4"`, `"3"`, 1), 400, "version"},
		{"a missing field", "application/json", secret, strings.Replace(good, `"fingerprint":"00112233445566ff"`, `"x":1`, 1), 400, "fingerprint"},
		{"2 MiB", "application/json", secret, `{"version":"4","x":"` + strings.Repeat("a", 2<<20) + `"}`, 413, "MiB"},
		{"no token", "application/json", "", good, 401, "Bearer"},
		{"a wrong token", "application/json", "guess", good, 401, "token"},
		{"not JSON by its type", "text/plain", secret, good, 415, "application/json"},
		{"an unknown target", "application/json", secret, fmt.Sprintf(payload, "nobody", "clean_temp"), 200, "svc"},
		{"an unknown playbook", "application/json", secret, fmt.Sprintf(payload, "svc", "format_disk"), 200, "no_playbook"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := post(t, hook, tt.contentType, tt.token, tt.body)
			if status != tt.status || !strings.Contains(answer, tt.says) {
				t.Errorf("answer %d %q, want %d and a word about %q", status, answer, tt.status, tt.says)
			}
		})
	}
	t.Run("not POST", func(t *testing.T) {
		resp, err := client.Get(hook)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") == "" {
			t.Errorf("GET: %s, Allow %q, want 405 with the method that is allowed", resp.Status, resp.Header.Get("Allow"))
		}
	})
	t.Run("a bad reload leaves the old configuration", func(t *testing.T) {
		file := filepath.Join(dir, "spillway.yml")
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, file, "targets: [{name: svc, temp_dirs: [{name: tts, dir: /, include: ['*']}]}]\nsample_intervall: 1s\n")
		status, answer := post(t, e.url+"/-/reload", "", secret, "")
		if status == http.StatusOK || !strings.Contains(answer, "sample_interval") {
			t.Errorf("reload: %d %q, want an error that names the key", status, answer)
		}
		m, err := e.scrape()
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := m.sum("spillway_config_last_reload_successful"); !ok || v != 0 {
			t.Errorf("spillway_config_last_reload_successful = %v, %v, want 0", v, ok)
		}
		if v, _ := m.sum("spillway_temp_files", "target=svc", "dir=tts"); v != 3 {
			t.Errorf("the old configuration no longer observes: %v files, want 3", v)
		}
		writeFile(t, file, string(before))
		if status, answer := post(t, e.url+"/-/reload", "", secret, ""); status != http.StatusOK {
			t.Errorf("reload of the good file: %d %q", status, answer)
		}
		if m, err = e.scrape(); err != nil {
			t.Fatal(err)
		}
		if v, _ := m.sum("spillway_config_last_reload_successful"); v != 1 {
			t.Errorf("spillway_config_last_reload_successful = %v after a good reload, want 1", v)
		}
	})
	t.Run("a rule file with a syntax error", func(t *testing.T) {
		file := filepath.Join(dir, "spillway.yml")
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rules := filepath.Join(dir, "own.rules.yml")
		writeFile(t, rules, "groups:\n  - name: own\n    rules:\n      - alert: Own\n        expr: spillway_temp_files > > 3\n")
		writeFile(t, file, strings.Replace(string(before), "standalone: false", "rule_files: ["+rules+"]", 1))
		status, answer := post(t, e.url+"/-/reload", "", secret, "")
		if status == http.StatusOK || !strings.Contains(answer, "own.rules.yml") || !strings.Contains(answer, "5:") {
			t.Errorf("reload: %d %q, want an error that names the file and the line", status, answer)
		}
		writeFile(t, file, string(before))
		if status, answer := post(t, e.url+"/-/reload", "", secret, ""); status != http.StatusOK {
			t.Errorf("reload of the good file: %d %q", status, answer)
		}
	})
	t.Run("an inspector that does not answer", func(t *testing.T) {
		eventually(t, 20*time.Second, "the failing source", func() error {
			m, err := e.scrape()
			if err != nil {
				return err
			}
			if v, ok := m.sum("spillway_source_success", "source=heap", "target=deaf"); !ok || v != 0 {
				return fmt.Errorf("spillway_source_success = %v, %v, want 0", v, ok)
			}
			if v, ok := m.sum("spillway_heap_used_bytes", "target=deaf"); ok {
				return fmt.Errorf("a heap that cannot be read is published as %v", v)
			}
			return nil
		})
		page, err := get(e.url + "/target/deaf")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "--inspect=127.0.0.1:1") {
			t.Errorf("the page does not say how to make the inspector answer:\n%s", page)
		}
	})
	t.Run("a second instance on one journal", func(t *testing.T) {
		second := start(t, nil, binary(t), "--config.file="+filepath.Join(dir, "spillway.yml"), "--web.listen-address=127.0.0.1:0")
		select {
		case <-second.done:
		case <-time.After(20 * time.Second):
			t.Fatal("it runs on")
		}
		if code := second.cmd.ProcessState.ExitCode(); code != 75 || !strings.Contains(second.out.String(), "another") {
			t.Errorf("exit code %d, output %q, want 75 and a word about the other instance", code, second.out)
		}
	})
	if got := countFiles(t, tts); got != 3 {
		t.Errorf("%d files are left, want all 3: nothing here asked for a clean-up in mode enforce", got)
	}
	if _, err := get(e.url + "/-/healthy"); err != nil {
		t.Errorf("the exporter no longer runs: %v", err)
	}
}
