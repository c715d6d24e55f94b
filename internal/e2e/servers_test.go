//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// server is a running Prometheus or Alertmanager.
type server struct {
	*process
	url string
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// startAlertmanager starts Debian's Alertmanager with one receiver that calls the exporter's
// webhook with the token in tokenFile.
func startAlertmanager(t *testing.T, dir, exporterAddr, tokenFile string) *server {
	t.Helper()
	config := filepath.Join(dir, "alertmanager.yml")
	writeFile(t, config, fmt.Sprintf(`
route:
  receiver: spillway
  group_by: [instance, alertname, target]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1m
receivers:
  - name: spillway
    webhook_configs:
      - url: http://%s/api/v1/webhook
        send_resolved: true
        http_config:
          authorization: {type: Bearer, credentials_file: %s}
`, exporterAddr, tokenFile))
	port := freePort(t)
	s := &server{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	s.process = start(t, nil, need(t, "prometheus-alertmanager"),
		"--config.file="+config, "--storage.path="+filepath.Join(dir, "alertmanager"),
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port), "--cluster.listen-address=")
	eventually(t, startLimit, "Alertmanager is ready", func() error {
		_, err := get(s.url + "/-/ready")
		return err
	})
	return s
}

// startPrometheus starts Debian's Prometheus, which scrapes the exporter each second, evaluates
// the shipped rule file unchanged each second and sends to the Alertmanager. more are further
// addresses to scrape.
func startPrometheus(t *testing.T, dir, exporterAddr string, am *server, more ...string) *server {
	t.Helper()
	return startPrometheusEvery(t, "1s", dir, exporterAddr, am, more...)
}

// startPrometheusEvery is startPrometheus with another interval of scrapes and evaluations.
func startPrometheusEvery(t *testing.T, every, dir, exporterAddr string, am *server, more ...string) *server {
	t.Helper()
	rules, err := filepath.Abs("../../rules/spillway.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	writeFile(t, config, fmt.Sprintf(`
global: {scrape_interval: %[1]s, evaluation_interval: %[1]s}
rule_files: [%[2]s]
alerting:
  alertmanagers:
    - static_configs: [{targets: ['%[3]s']}]
scrape_configs:
  - job_name: spillway
    static_configs: [{targets: ['%[4]s']}]
`, every, rules, am.url[len("http://"):], strings.Join(append([]string{exporterAddr}, more...), "', '")))
	port := freePort(t)
	s := &server{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	s.process = start(t, nil, need(t, "prometheus"),
		"--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "prometheus"),
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port))
	eventually(t, startLimit, "Prometheus is ready", func() error {
		_, err := get(s.url + "/-/ready")
		return err
	})
	return s
}

// token writes a bearer token and returns the path of its file.
func token(t *testing.T, dir string) (path, value string) {
	t.Helper()
	path, value = filepath.Join(dir, "token"), fmt.Sprintf("secret-%d", time.Now().UnixNano())
	if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, value
}
