//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// heardAlert is an alert as people see it in Alertmanager.
type heardAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
}

// heard returns the active alerts of an Alertmanager about a target.
func heard(am *server, target string) (out []heardAlert, err error) {
	resp, err := client.Get(am.url + "/api/v2/alerts?active=true&filter=target%3D" + target)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("Alertmanager answered %s", resp.Status)
	}
	return out, json.NewDecoder(resp.Body).Decode(&out)
}

// startAlertmanager31 starts the version that CI builds, with a receiver that does nothing.
func startAlertmanager31(t *testing.T, dir string) *server {
	t.Helper()
	config := filepath.Join(dir, "alertmanager31.yml")
	writeFile(t, config, "route: {receiver: none}\nreceivers: [{name: none}]\n")
	port := freePort(t)
	s := &server{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	s.process = start(t, nil, alertmanager31(t), "--config.file="+config, "--storage.path="+filepath.Join(dir, "alertmanager31"),
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port), "--cluster.listen-address=")
	eventually(t, startLimit, "Alertmanager 0.31 is ready", func() error {
		_, err := get(s.url + "/-/ready")
		return err
	})
	return s
}

// TestPush: on a host that no Prometheus scrapes, Debian's Alertmanager and a newer one get each alert
// with its start, its link and the host's name, and its end; a third that is down holds up neither. The
// log has one line for the begin and one for the end.
func TestPush(t *testing.T) {
	dir := testDir(t)
	temp := filepath.Join(dir, "temp")
	if err := os.Mkdir(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	old, recent := startAlertmanager(t, dir, "127.0.0.1:1", filepath.Join(dir, "none")), startAlertmanager31(t, dir)
	writeFiles(t, temp, "f%d.tmp", 7, 10, time.Hour)
	e := startExporter(t, dir, fmt.Sprintf(`sample_interval: 1s
scan_interval: 1s
evaluation_interval: 1s
dashboard_url: 'https://grafana.example.org/d/spillway-target?var-instance={instance}&var-target={target}'
alertmanager: {push: [%s, %s, 'http://127.0.0.1:9']}
targets: [{name: app, temp_dirs: [{name: t, dir: %s, include: ['*.tmp'], max_age: 2h, max_files: 5}]}]`, old.url, recent.url, temp))
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	instance := host + e.addr[strings.LastIndex(e.addr, ":"):]
	for _, am := range []*server{old, recent} {
		var got []heardAlert
		eventually(t, 30*time.Second, "the alert is heard", func() (err error) {
			if got, err = heard(am, "app"); err == nil && len(got) != 1 {
				err = fmt.Errorf("%d alerts\n%s", len(got), am.out.String())
			}
			return err
		})
		a := got[0]
		if a.Labels["alertname"] != "SpillwayTempFilesPiledUp" || a.Labels["instance"] != instance || a.Annotations["summary"] != "Temporary files of app on "+instance+" pile up in t" {
			t.Errorf("labels %v, annotations %v", a.Labels, a.Annotations)
		}
		if !strings.HasSuffix(a.Annotations["description"], "Spillway would remove empty and expired ones, then the oldest.") {
			t.Errorf("description %q", a.Annotations["description"])
		}
		if want := "https://grafana.example.org/d/spillway-target?var-instance=" + strings.Replace(instance, ":", "%3A", 1) + "&var-target=app"; a.Annotations["dashboard_url"] != want {
			t.Errorf("link %q, want %q", a.Annotations["dashboard_url"], want)
		}
		if want := "http://" + instance + "/target/app"; a.GeneratorURL != want {
			t.Errorf("generator %q, want %q", a.GeneratorURL, want)
		}
		if until := time.Until(a.EndsAt); until < 2*time.Minute || until > 5*time.Minute || time.Since(a.StartsAt) > time.Minute {
			t.Errorf("starts %s, ends in %s", a.StartsAt, until)
		}
	}
	if err := os.Remove(filepath.Join(temp, "f0.tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(temp, "f1.tmp")); err != nil {
		t.Fatal(err)
	}
	for _, am := range []*server{old, recent} {
		eventually(t, 30*time.Second, "the end is heard", func() error {
			got, err := heard(am, "app")
			if err == nil && len(got) != 0 {
				err = fmt.Errorf("%v", got)
			}
			return err
		})
	}
	log := e.out.String()
	for _, line := range []string{`msg="alert fires" alert=SpillwayTempFilesPiledUp target=app severity=warning`, `msg="alert resolved" alert=SpillwayTempFilesPiledUp target=app severity=warning`, `msg="alerts cannot be sent to the alertmanager" address=http://127.0.0.1:9`} {
		if n := strings.Count(log, line); n != 1 {
			t.Errorf("%d times %s in\n%s", n, line, log)
		}
	}
	m, err := e.scrape()
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]float64{old.url: 1, recent.url: 1, "http://127.0.0.1:9": 0} {
		if got, ok := m.sum("spillway_alertmanager_push_up", "address="+address); !ok || got != want {
			t.Errorf("%s is up: %v, want %v", address, got, want)
		}
	}
}
