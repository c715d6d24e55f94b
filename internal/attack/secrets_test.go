//go:build attack

package attack

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The attackers of this file have no rights: one only reads what everyone may, one is another user of the host.
const (
	secretsUser  = 4242
	secretsToken = "the-token-of-the-webhook"
	secretsStart = 30 * time.Second
)

// secretsTime is for how long an attack goes on.
func secretsTime(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(os.Getenv("ATTACK_TIME"))
	if err != nil {
		return 5 * time.Second
	}
	return d
}

// secretsDir is a folder of root below one that all may write to, as /tmp is.
func secretsDir(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("takes root")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func secretsWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// secretsExporter starts the exporter with a configuration and returns its URL, "" when it refuses it.
func secretsExporter(t *testing.T, dir, config string) (url, log string, stop func()) {
	t.Helper()
	binary := os.Getenv("ATTACK_BINARY")
	if binary == "" {
		binary = "../../spillway_exporter"
	}
	file, logFile := filepath.Join(dir, "spillway.yml"), filepath.Join(dir, "log")
	if config != "" {
		secretsWrite(t, file, config)
	}
	out, err := os.Create(logFile)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "--config.file="+file, "--web.listen-address=127.0.0.1:0", "--log.level=debug")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		out.Close()
		close(ended)
	}()
	stop = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	}
	address := regexp.MustCompile(`msg="Listening on" address=([0-9.]+:[0-9]+)`)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(secretsStart); time.Now().Before(deadline); <-tick.C {
		raw, _ := os.ReadFile(logFile)
		if m := address.FindSubmatch(raw); m != nil {
			return "http://" + string(m[1]), logFile, stop
		}
		select {
		case <-ended:
			return "", logFile, func() {}
		default:
		}
	}
	stop()
	t.Fatal("the exporter neither listens nor ends")
	return "", "", nil
}

func secretsPost(url, token, body string) (int, string) {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

func secretsGet(url string) string {
	client := &http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	return string(text)
}

// TestAttackSecrets reads everything that is public, without a token: no secret of a URL, and nothing that a
// step printed or was answered, is in it.
func TestAttackSecrets(t *testing.T) {
	dir := secretsDir(t)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/leak-moved":
			http.Redirect(w, r, "http://127.0.0.1:1/leak-location", http.StatusFound)
		case "/leak-broken":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				io.WriteString(conn, "-ERR leak-line\r\n")
				conn.Close()
			}
		default:
			io.WriteString(w, "leak-answer")
		}
	}))
	defer service.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	secretsWrite(t, dir+"/token", secretsToken)
	secretsWrite(t, dir+"/url", service.URL+"/leak-file?key=leak-file-query\n")
	url, log, stop := secretsExporter(t, dir, fmt.Sprintf(`
mode: enforce
sample_interval: 1s
webhook: {token_file: %[1]s/token}
journal: {dir: %[1]s/journal}
watchers: [{on: [normal, warning, critical, emergency], post: '%[2]s/leak-broken?leak=leak-watch'}]
targets:
  - name: app
    processes: {match: {comm: spillway_export}}
    memory: {limit: 1MiB}
    app: {url: '%[2]s/leak-app?token=leak-app-query', map: {jobs: jobs}}
    probe: {url: 'http://%[3]s/leak-probe?token=leak-probe-query'}
    playbooks:
      mine:
        - {do: command, argv: [/bin/sh, -c, 'echo lea""k-printed']}
        - {do: command, argv: [/bin/sh, -c, 'echo lea""k-failed; exit 3', 'https://hooks.example/leak-argv']}
        - {do: http, url: '%[2]s/leak-ok?token=leak-query'}
        - {do: http, url: '%[2]s/leak-moved?token=leak-query'}
        - {do: http, url: '%[2]s/leak-broken?token=leak-query'}
        - {do: http, url: 'http://%[3]s/leak-gone?token=leak-query'}
  - name: heap
    heap: {provider: json, url: '%[2]s/leak-heap?token=leak-heap-query', map: {used: used}}
`, dir, service.URL, closed.Addr()))
	if url == "" {
		raw, _ := os.ReadFile(log)
		t.Fatalf("the exporter does not start:\n%s", raw)
	}
	defer stop()
	if code, text := secretsPost(url+"/api/v1/run", secretsToken, `{"target":"app","playbook":"mine"}`); code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	public := []string{"/", "/target/app", "/target/heap", "/metrics", "/health/memory", "/api/v1/targets", "/api/v1/series?target=app", "/api/v1/journal?limit=1000", "/api/v1/alerts", "/api/v1/runs", "/journal", "/api/v1/"}
	leak := regexp.MustCompile(`leak-[a-z-]+`)
	tries, seen := 0, make(map[string]bool)
	look := func(where, text string) {
		tries++
		for _, at := range leak.FindAllStringIndex(text, -1) {
			if !seen[where+text[at[0]:at[1]]] {
				seen[where+text[at[0]:at[1]]] = true
				t.Errorf("%s shows %s: ...%s...", where, text[at[0]:at[1]], text[max(0, at[0]-60):min(len(text), at[1]+20)])
			}
		}
	}
	ended := false
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(max(secretsTime(t), 5*time.Second)); time.Now().Before(deadline); <-tick.C {
		for _, path := range public {
			text := secretsGet(url + path)
			ended = ended || strings.Contains(path, "journal") && strings.Contains(text, `"step":6`)
			look(path, text)
		}
		raw, _ := os.ReadFile(log)
		look("the log", string(raw))
	}
	if !ended {
		t.Error("the playbook did not come to its last step: nothing was shown")
	}
	t.Logf("attack=secrets tries=%d harm=%d", tries, len(seen))
}

// TestAttackRotatedToken uses the old token after another of the same size has taken its place with the times of
// the old one, as after a restored backup.
func TestAttackRotatedToken(t *testing.T) {
	dir := secretsDir(t)
	token := dir + "/token"
	secretsWrite(t, token, "token-000000")
	url, log, stop := secretsExporter(t, dir, fmt.Sprintf("mode: enforce\nwebhook: {token_file: %s}\njournal: {dir: %s/journal}\ntargets: [{name: app, processes: {match: {comm: nothing}}}]\n", token, dir))
	if url == "" {
		raw, _ := os.ReadFile(log)
		t.Fatalf("the exporter does not start:\n%s", raw)
	}
	defer stop()
	at := time.Now().Add(-time.Hour)
	try := func(n int) int {
		code, _ := secretsPost(url+"/api/v1/run", fmt.Sprintf("token-%06d", n), `{"target":"app","playbook":"none"}`)
		return code
	}
	tries, harm := 0, 0
	for deadline := time.Now().Add(secretsTime(t)); time.Now().Before(deadline); {
		secretsWrite(t, token, fmt.Sprintf("token-%06d", tries))
		if err := os.Chtimes(token, at, at); err != nil {
			t.Fatal(err)
		}
		if code := try(tries); code == http.StatusUnauthorized {
			harm++
		}
		if tries > 0 && try(tries-1) != http.StatusUnauthorized {
			harm++
		}
		tries++
	}
	if harm > 0 {
		t.Error("a token that was taken away is accepted, or the new one is not")
	}
	t.Logf("attack=rotated-token tries=%d harm=%d", tries, harm)
}

// TestAttackFilesOfOthers: another user changes what the exporter goes by, in each way that his rights on it or on
// a folder above it give him. In mode enforce the exporter must not start by it.
func TestAttackFilesOfOthers(t *testing.T) {
	ways := map[string]func(dir string) error{ // what the administrator did wrong
		"a configuration that all can write": func(d string) error { return os.Chmod(d+"/etc/spillway.yml", 0o666) },
		"a configuration of the attacker":    func(d string) error { return os.Chown(d+"/etc/spillway.yml", secretsUser, secretsUser) },
		"a configuration of the attacker's group": func(d string) error {
			return errors.Join(os.Chown(d+"/etc/spillway.yml", 0, secretsUser), os.Chmod(d+"/etc/spillway.yml", 0o660))
		},
		"a folder that all can write":           func(d string) error { return os.Chmod(d+"/etc", 0o777) },
		"a folder of the attacker":              func(d string) error { return os.Chown(d+"/etc", secretsUser, secretsUser) },
		"a token that all can write":            func(d string) error { return os.Chmod(d+"/etc/token", 0o666) },
		"a token of the attacker":               func(d string) error { return os.Chown(d+"/etc/token", secretsUser, secretsUser) },
		"rules that all can write":              func(d string) error { return os.Chmod(d+"/etc/rules.yml", 0o666) },
		"a journal's folder that all can write": func(d string) error { return os.Chmod(d+"/journal", 0o777) },
		"a journal's folder of the attacker":    func(d string) error { return os.Chown(d+"/journal", secretsUser, secretsUser) },
		"a configuration behind a link of everyone": func(d string) error {
			return errors.Join(os.Mkdir(d+"/open", 0o755), os.Chmod(d+"/open", 0o777), os.Rename(d+"/etc/spillway.yml", d+"/open/x.yml"), os.Symlink("../open/x.yml", d+"/etc/spillway.yml"))
		},
	}
	ways["nothing"] = nil // which it has to start by
	tries, harm := 0, 0
	for deadline := time.Now().Add(secretsTime(t)); tries == 0 || time.Now().Before(deadline); {
		for name, make := range ways {
			dir := secretsDir(t)
			for _, sub := range []string{"/etc", "/journal"} {
				if err := os.Mkdir(dir+sub, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			secretsWrite(t, dir+"/etc/token", secretsToken)
			secretsWrite(t, dir+"/etc/rules.yml", "groups: [{name: own, rules: [{record: own:up, expr: spillway_processes}]}]\n")
			secretsWrite(t, dir+"/etc/spillway.yml", fmt.Sprintf("mode: enforce\nrule_files: [%[1]s/etc/rules.yml]\nwebhook: {token_file: %[1]s/etc/token}\njournal: {dir: %[1]s/journal}\ntargets: [{name: app, processes: {match: {comm: nothing}}}]\n", dir))
			if make == nil {
				url, log, stop := secretsExporter(t, dir+"/etc", "")
				if url == "" {
					raw, _ := os.ReadFile(log)
					t.Fatalf("the exporter does not start by files of root either, so that nothing is shown:\n%s", raw)
				}
				stop()
				continue
			}
			if err := make(dir); err != nil {
				t.Fatal(err)
			}
			if err := secretsTamper(dir); err != nil {
				t.Fatalf("%s: the attacker could change nothing: %v", name, err)
			}
			tries++
			if url, _, stop := secretsExporter(t, dir+"/etc", ""); url != "" {
				stop()
				harm++
				t.Errorf("%s: the exporter goes by it", name)
			}
		}
	}
	t.Logf("attack=files-of-others tries=%d harm=%d", tries, harm)
}

// secretsTamper changes, as the attacker, what he can: it writes to a file or makes a name in a folder.
func secretsTamper(dir string) error {
	script := `cd "$1" && for f in etc/spillway.yml etc/token etc/rules.yml open/x.yml; do if test -w "$f"; then echo '#' >>"$f" && exit 0; fi; done
for d in etc journal open; do if test -w "$d"; then : >"$d/planted.$$" && exit 0; fi; done; exit 1`
	cmd := exec.Command("setpriv", fmt.Sprintf("--reuid=%d", secretsUser), fmt.Sprintf("--regid=%d", secretsUser), "--clear-groups", "sh", "-c", script, "sh", dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// TestAttackQuarantine: the uploader takes his file out of the quarantine again. The exporter must not put it
// where he can.
func TestAttackQuarantine(t *testing.T) {
	ways := map[string]func(quarantine string) error{
		"of the uploader":         func(q string) error { return os.Chown(q, secretsUser, secretsUser) },
		"of the uploader's group": func(q string) error { return errors.Join(os.Chown(q, 0, secretsUser), os.Chmod(q, 0o770)) },
		"of root":                 func(string) error { return nil },
	}
	tries, harm := 0, 0
	for deadline := time.Now().Add(secretsTime(t)); tries == 0 || time.Now().Before(deadline); {
		for name, make := range ways {
			dir := secretsDir(t)
			up, q := dir+"/up", dir+"/q"
			if err := errors.Join(os.Mkdir(up, 0o755), os.Mkdir(q, 0o700), os.Chown(up, secretsUser, secretsUser), make(q)); err != nil {
				t.Fatal(err)
			}
			secretsWrite(t, up+"/upload.exe", "malware")
			if err := os.Chown(up+"/upload.exe", secretsUser, secretsUser); err != nil {
				t.Fatal(err)
			}
			old := time.Now().Add(-48 * time.Hour)
			if err := os.Chtimes(up+"/upload.exe", old, old); err != nil {
				t.Fatal(err)
			}
			secretsWrite(t, dir+"/spillway.yml", fmt.Sprintf("mode: enforce\njournal: {dir: %[1]s/journal}\ntargets: [{name: app, uploads: [{name: up, dir: %[1]s/up, max_age: 1h, age_by: mtime, quarantine: %[1]s/q}]}]\n", dir))
			binary := os.Getenv("ATTACK_BINARY")
			if binary == "" {
				binary = "../../spillway_exporter"
			}
			out, _ := exec.Command(binary, "cleanup", "--enforce", "--config.file="+dir+"/spillway.yml").CombinedOutput()
			moved, _ := os.ReadDir(q)
			if name == "of root" && len(moved) != 1 {
				t.Fatalf("nothing is moved at all, so that nothing is shown:\n%s", out)
			}
			// He tries to have it back.
			exec.Command("setpriv", fmt.Sprintf("--reuid=%d", secretsUser), fmt.Sprintf("--regid=%d", secretsUser), "--clear-groups",
				"sh", "-c", `cd "$1" && mv q/* up/`, "sh", dir).Run()
			left, _ := os.ReadDir(q)
			tries++
			if len(left) < len(moved) {
				harm++
				t.Errorf("%s: the uploader has moved his file back", name)
			}
		}
	}
	t.Logf("attack=quarantine tries=%d harm=%d", tries, harm)
}
