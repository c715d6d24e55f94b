package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// plainNginx passes requests on as nginx does with nothing but proxy_pass: it adds no header, and
// sends the address of what it calls as the Host.
func plainNginx(t *testing.T, to string) string {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }})
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// call posts to a changing endpoint.
func call(t *testing.T, endpoint, token, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

const forcedRun = `{"target":"app","action":"clean_temp","force":true}`

// oldFile makes a folder with one file that is due.
func oldFile(t *testing.T, path string) {
	t.Helper()
	writeTest(t, path, "x")
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

func accessConfig(dir, more string) string {
	return more + `
standalone: false
sample_interval: 1s
targets:
  - name: app
    temp_dirs: [{name: t, dir: ` + dir + `/t, include: ['*.tmp'], max_age: 1h, age_by: mtime, min_age: 1s}]
`
}

// TestPlainProxyIsRefused: a proxy that hides who calls must not let the network run clean-ups.
func TestPlainProxyIsRefused(t *testing.T) {
	dir := realDir(t)
	oldFile(t, dir+"/t/due.tmp")
	a := startApp(t, accessConfig(dir, "mode: enforce"))
	front := plainNginx(t, a.url(""))
	for _, endpoint := range []string{"/api/v1/run", "/api/v1/webhook", "/-/reload"} {
		for _, base := range []string{front, a.url("")} {
			code, body := call(t, base+endpoint, "", forcedRun)
			if code != http.StatusForbidden || !strings.Contains(body, "webhook: {token_file: ...}") {
				t.Errorf("%s%s: %d %s, want 403 and what to write", base, endpoint, code, body)
			}
		}
	}
	if _, err := os.Stat(dir + "/t/due.tmp"); err != nil {
		t.Error(err)
	}
}

// TestReloadWantsProof: a reload that turns enforce on makes the endpoints need the token at once, and
// trust_loopback lets callers on this host go on.
func TestReloadWantsProof(t *testing.T) {
	dir := realDir(t)
	oldFile(t, dir+"/t/due.tmp")
	writeTest(t, dir+"/token", "sesame\n")
	token := "webhook: {token_file: " + dir + "/token}\n"
	a := startApp(t, accessConfig(dir, ""))
	load := func(more string) {
		t.Helper()
		reloadAs(t, a, accessConfig(dir, more))
	}
	f := func(what, sent string, want int) {
		t.Helper()
		if code, body := call(t, a.url("/api/v1/run"), sent, `{"target":"app","action":"clean_temp","dry_run":true}`); code != want {
			t.Errorf("%s: %d %s, want %d", what, code, body, want)
		}
	}
	f("dry_run, no token", "", http.StatusOK)
	load("mode: enforce\n")
	f("enforce, no token", "", http.StatusForbidden)
	load("mode: enforce\ntrust_loopback: true\n")
	f("enforce, trusting", "", http.StatusOK)
	load("mode: enforce\n" + token)
	f("enforce, no token sent", "", http.StatusUnauthorized)
	f("enforce, a token sent", "sesame", http.StatusOK)
	load("mode: enforce\ntrust_loopback: true\n" + token)
	f("enforce, trusting, no token sent", "", http.StatusUnauthorized)
	load("")
	f("dry_run again", "", http.StatusOK)
	if _, err := os.Stat(dir + "/t/due.tmp"); err != nil {
		t.Error(err)
	}
}

// TestListenerStopsAuthenticating: the file of the listener is read for each request, so that what it
// no longer asks for is no longer taken as proof.
func TestListenerStopsAuthenticating(t *testing.T) {
	dir := realDir(t)
	oldFile(t, dir+"/t/due.tmp")
	file := dir + "/web.yml"
	const users = "basic_auth_users: {me: $2a$04$gV1/IhtazWvldg7v.sqLqOoVM7v2mTP.GXdFhpSDKA0eki1tDvCH2}\n" // sesame
	writeTest(t, file, users)
	o := testOptions(t, accessConfig(dir, "mode: enforce"))
	o.Web.WebConfigFile = &file
	a := runApp(t, o)
	base := strings.Replace(a.url("/api/v1/run"), "http://", "http://me:sesame@", 1)
	const dry = `{"target":"app","action":"clean_temp","dry_run":true}`
	f := func(what, url, body string, want int) {
		t.Helper()
		if code, text := call(t, url, "", body); code != want {
			t.Errorf("%s: %d %s, want %d", what, code, text, want)
		}
	}
	f("a user", base, dry, http.StatusOK)
	f("no user", a.url("/api/v1/run"), forcedRun, http.StatusUnauthorized)
	writeTest(t, file, "{}\n")
	f("no user where none is asked for", a.url("/api/v1/run"), forcedRun, http.StatusForbidden)
	f("a user whom no one checks", base, forcedRun, http.StatusForbidden)
	writeTest(t, file, users)
	f("a user again", base, dry, http.StatusOK)
	if _, err := os.Stat(dir + "/t/due.tmp"); err != nil {
		t.Error(err)
	}
}
