package pull

import (
	"bytes"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// logged makes a Puller log into a buffer.
func logged(w *world) *bytes.Buffer {
	var log bytes.Buffer
	w.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	return &log
}

// errorsOf returns the requests that failed.
func errorsOf(w *world) float64 {
	return testutil.ToFloat64(w.opts.Metrics.requests.WithLabelValues("error"))
}

// TestTLS: an https Alertmanager is polled with the certificates of ca_file, and refused without.
func TestTLS(t *testing.T) {
	m := newManager(t, "a")
	m.Close()
	m.Server = httptest.NewUnstartedServer(m)
	m.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of the handshake that fails
	m.StartTLS()
	t.Cleanup(m.Close)
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.Certificate().Raw})))
	w := newWorld(t, Config{CAFile: ca}, m)
	w.expect(t, 0, "a firing")
	stranger := newWorld(t, Config{}, m)
	log := logged(stranger)
	stranger.expect(t, 0, "")
	if errorsOf(stranger) != 1 || !strings.Contains(log.String(), "certificate") {
		t.Errorf("%v errors, log %s, want one about the certificate", errorsOf(stranger), log)
	}
}

// TestSecretIsGone: without its secret a poll fails and nothing is sent; with it again all goes on.
func TestSecretIsGone(t *testing.T) {
	for name, config := range map[string]func(file string) Config{
		"token":    func(file string) Config { return Config{TokenFile: file} },
		"password": func(file string) Config { return Config{Username: "me", PasswordFile: file} },
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, "secret", "sesame\n")
			m := newManager(t, "a")
			w := newWorld(t, config(file), m)
			log := logged(w)
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			w.expect(t, 0, "")
			if len(m.queries) != 0 || errorsOf(w) != 1 || !strings.Contains(log.String(), "cannot be read (no such file or directory)") {
				t.Errorf("%d requests, %v errors, log %s", len(m.queries), errorsOf(w), log)
			}
			if strings.Contains(log.String(), "sesame") {
				t.Errorf("the secret is in the log: %s", log)
			}
			if err := os.WriteFile(file, []byte("sesame"), 0o600); err != nil {
				t.Fatal(err)
			}
			w.expect(t, tick, "a firing")
			if !strings.Contains(log.String(), "alertmanager answers again") {
				t.Errorf("log %s", log)
			}
		})
	}
}

// TestAnswerInTheLog: what a server says in place of alerts is in the log once, on one line, bounded, and
// no further until it has answered.
func TestAnswerInTheLog(t *testing.T) {
	m := newManager(t)
	m.set(func() {
		m.status, m.body = http.StatusForbidden, "go\n  \xffaway\r\n"+strings.Repeat("x", 2*maxErrorBytes)
	})
	w := newWorld(t, Config{}, m)
	log := logged(w)
	w.polled(t, 0)
	w.polled(t, maxBackoff)
	text := log.String()
	if strings.Count(text, "alertmanager cannot be polled") != 1 || !strings.Contains(text, `err="answered 403 Forbidden: go away xxx`) || strings.Count(text, "x") > maxErrorBytes {
		t.Errorf("log %s", text)
	}
	if n := errorsOf(w); n != 2 {
		t.Errorf("%v errors, want 2", n)
	}
}

// TestMistakesInFiles: each file that cannot serve is named with what to write.
func TestMistakesInFiles(t *testing.T) {
	const here = "host1:10042"
	f := func(c Config, want string) {
		t.Helper()
		c.Pull = []string{"https://am"}
		if got := validate(&c, here); len(got) != 1 || got[0] != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing")
	dir := t.TempDir()
	long, two, huge := write(t, "long", strings.Repeat("x", 4096+1)), write(t, "two", "one\ntwo\n"), write(t, "huge", strings.Repeat("x", maxCABytes+1))
	f(Config{TokenFile: missing}, `token_file: "`+missing+`" cannot be read (no such file or directory): write the secret into it`)
	f(Config{TokenFile: dir}, `token_file: "`+dir+`" cannot be read (is a folder, not a file): write the secret into it`)
	f(Config{TokenFile: long}, `token_file: "`+long+`" does not hold one line of at most 4 KiB: write the secret into it`)
	f(Config{TokenFile: two}, `token_file: "`+two+`" does not hold one line of at most 4 KiB: write the secret into it`)
	f(Config{Username: "me", PasswordFile: two}, `password_file: "`+two+`" does not hold one line of at most 4 KiB: write the secret into it`)
	f(Config{CAFile: "ca.pem"}, `ca_file: "ca.pem" is not absolute: write the whole path`)
	f(Config{CAFile: missing}, `ca_file: "`+missing+`" cannot be read (no such file or directory): write a file with PEM certificates`)
	f(Config{CAFile: huge}, `ca_file: "`+huge+`" is larger than 1048576 bytes: write a file with PEM certificates`)
	if _, err := New(Options{Config: Config{Pull: []string{"https://am/"}, CAFile: missing}, Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.HasPrefix(err.Error(), `alertmanager https://am: "`+missing+`" cannot be read`) {
		t.Errorf("New: %v", err)
	}
}

// TestOneMemberTwice: a slash at the end makes no other member of the cluster.
func TestOneMemberTwice(t *testing.T) {
	c := Config{Pull: []string{"http://am:9093/", "http://am:9093", "http://other:9093", "http://am:9093/prefix", "http://am:9093/prefix/"}}
	got := validate(&c, "host1:10042")
	want := []string{`pull[1]: "http://am:9093" stands twice: remove one`, `pull[4]: "http://am:9093/…" stands twice: remove one`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestEveryKeyWithoutPull: a key that has no effect is a mistake.
func TestEveryKeyWithoutPull(t *testing.T) {
	if got := validate(&Config{Interval: 1, Push: []string{"http://am"}}, ""); len(got) != 1 || got[0] != "interval: is for pull: write pull: [http://alertmanager:9093] next to it, or remove the key" {
		t.Errorf("%q", got)
	}
	for key, c := range map[string]Config{
		"timeout": {Timeout: 1}, "token_file": {TokenFile: "/x"},
		"username": {Username: "x"}, "password_file": {PasswordFile: "/x"}, "ca_file": {CAFile: "/x"},
	} {
		want := key + ": is for pull and push: write push: [http://alertmanager:9093] next to it, or remove the key"
		if got := validate(&c, "host1:10042"); len(got) != 1 || got[0] != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestMetrics: nothing is published of alerts before a server has answered, and a reload forgets what the
// configuration before it has brought, but no count.
func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	metrics := NewMetrics(reg)
	families := func(want string) {
		t.Helper()
		got, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range got {
			names = append(names, f.GetName())
		}
		if strings.Join(names, " ") != want {
			t.Errorf("published %q, want %q", names, want)
		}
	}
	families("")
	m := newManager(t, "a")
	w := newWorld(t, Config{}, m)
	w.opts.Metrics = metrics
	m.set(func() { m.status = http.StatusBadGateway })
	w.polled(t, 0)
	up, requests := metric.AlertmanagerUp.Name, metric.AlertmanagerRequests.Name
	families(requests + " " + up)
	m.set(func() { m.status = http.StatusOK })
	w.polled(t, maxBackoff)
	families(metric.AlertmanagerAlerts.Name + " " + metric.AlertmanagerLastSuccess.Name + " " + requests + " " + up)
	if at := testutil.ToFloat64(metrics.success.WithLabelValues()); at != float64(w.now.Unix()) {
		t.Errorf("last success at %v, want %v", at, w.now.Unix())
	}
	metrics.Forget()
	families(requests)
}
