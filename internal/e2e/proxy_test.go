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

// proxyHeaders are what operators have nginx add, by the path below which the test has it do so.
var proxyHeaders = map[string]string{
	"/plain":     "",
	"/real":      "proxy_set_header X-Real-IP $remote_addr;",
	"/forwarded": "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
	"/proto":     "proxy_set_header X-Forwarded-Proto $scheme;",
	"/rfc7239":   `proxy_set_header Forwarded "for=$remote_addr";`,
	"/via":       `proxy_set_header Via "1.1 front";`,
	"/host":      "proxy_set_header Host $http_host;",
	"/keepalive": `proxy_http_version 1.1; proxy_set_header Connection "";`,
}

// startNginx passes requests on to addr and returns its URL.
func startNginx(t *testing.T, addr string) string {
	t.Helper()
	dir, port := testDir(t), freePort(t)
	var locations strings.Builder
	for path, header := range proxyHeaders {
		fmt.Fprintf(&locations, "location %s/ { %s proxy_pass http://%s/; }\n", path, header, addr)
	}
	config := fmt.Sprintf(`
daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log stderr;
events {}
http {
  access_log off; proxy_buffering off;
  client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
  server { listen 127.0.0.1:%[2]d; %[3]s }
}
`, dir, port, locations.String())
	if os.Geteuid() == 0 {
		config = "user root;" + config
	}
	writeFile(t, filepath.Join(dir, "nginx.conf"), config)
	start(t, nil, need(t, "nginx"), "-c", filepath.Join(dir, "nginx.conf"), "-p", dir)
	front := fmt.Sprintf("http://127.0.0.1:%d", port)
	eventually(t, startLimit, "nginx passes requests on", func() error {
		_, err := get(front + "/plain/-/ready")
		return err
	})
	return front
}

// TestNginx: who calls through a proxy on this host is not taken for a caller on this host, whatever the
// proxy adds. With nothing but proxy_pass nginx adds nothing, and its requests cannot be distinguished from local ones:
// only in dry_run, or with trust_loopback, do they pass.
func TestNginx(t *testing.T) {
	tokenFile, secret := token(t, testDir(t))
	const forced, dry = `{"target":"svc","action":"clean_temp","force":true}`, `{"target":"svc","action":"clean_temp","dry_run":true}`
	for _, tt := range []struct {
		name, config string
		token        string
		plain, other int // without any header, and with one that says that a proxy passes it on
		says         string
	}{
		{"enforce", "mode: enforce", "", http.StatusForbidden, http.StatusForbidden, ""},
		{"enforce with a token that is not sent", "mode: enforce\nwebhook: {token_file: " + tokenFile + "}", "", http.StatusUnauthorized, http.StatusUnauthorized, ""},
		{"enforce with a token", "mode: enforce\nwebhook: {token_file: " + tokenFile + "}", secret, http.StatusOK, http.StatusOK, ""},
		{"enforce and trusting", "mode: enforce\ntrust_loopback: true", "", http.StatusOK, http.StatusForbidden, "everyone who reaches a proxy on this host, such as nginx"},
		{"dry_run", "mode: dry_run", "", http.StatusOK, http.StatusForbidden, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := testDir(t)
			tts := filepath.Join(dir, "tts")
			writeFiles(t, tts, "a-%d.wav", 3, 10, 2*time.Hour)
			e := startExporter(t, dir, tt.config+`
standalone: false
sample_interval: 1s
targets:
  - name: svc
    temp_dirs: [{name: tts, dir: `+tts+`, include: ['*.wav'], max_age: 1h, age_by: mtime, min_age: 1s}]
`)
			front := startNginx(t, e.addr)
			for path, header := range proxyHeaders {
				want := tt.plain
				if header != "" && path != "/host" && path != "/keepalive" {
					want = tt.other
				}
				body := dry
				if want != http.StatusOK {
					body = forced
				}
				for endpoint, body := range map[string]string{"/api/v1/run": body, "/-/reload": "", "/api/v1/webhook": notification("none", "", 1, 1)} {
					if status, answer := post(t, front+path+endpoint, "application/json", tt.token, body); status != want {
						t.Errorf("%s%s: %d %s, want %d", path, endpoint, status, answer, want)
					}
				}
			}
			if !strings.Contains(e.out.String(), tt.says) {
				t.Errorf("the log does not say %q", tt.says)
			}
			if n := countFiles(t, tts); n != 3 {
				t.Errorf("%d files are left, want 3", n)
			}
		})
	}
}
