package web

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

// TestMayChange is the table of who may use the changing endpoints: what the configuration says, the
// listener, the peer and its headers.
func TestMayChange(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type header = map[string]string
	bearer, wrong := header{"Authorization": "Bearer sesame"}, header{"Authorization": "Bearer open"}
	from := func(addr string, more header) header {
		out := header{"Remote": addr}
		maps.Copy(out, more)
		return out
	}
	const far = "192.0.2.1:1"
	var (
		trusting = Access{TrustLoopback: true}                   // dry_run, or trust_loopback
		proof    = Access{}                                      // enforce
		both     = Access{TokenFile: token, TrustLoopback: true} // dry_run with a token
		strict   = Access{TokenFile: token}                      // enforce with a token
		name     = func(s string) header { return header{"Host": s} }
	)
	tests := []struct {
		name     string
		access   Access
		listener bool
		header   header
		code     int
		says     string
	}{
		{"trusted: loopback", trusting, false, nil, 200, ""},
		{"trusted: loopback, IPv6", trusting, false, from("[::1]:1", nil), 200, ""},
		{"trusted: localhost by name", trusting, false, name("localhost:10042"), 200, ""},
		{"trusted: a name that was rebound", trusting, false, name("evil.example:10042"), 403, "is not an address of this host"},
		{"trusted: another host", trusting, false, from(far, nil), 403, "webhook: {token_file: ...}"},
		{"trusted: another host says that it is this one", trusting, false, from(far, header{"X-Real-IP": "127.0.0.1"}), 403, "webhook: {token_file: ...}"},
		{"trusted: a proxy", trusting, false, header{"Via": "1.1 front"}, 403, "(Via)"},
		{"trusted: a proxy with a header that is empty", trusting, false, header{"X-Real-IP": ""}, 403, "(X-Real-Ip)"},
		{"trusted: another site", trusting, false, header{"Origin": "http://evil.example"}, 403, "another site"},
		{"proof: loopback", proof, false, nil, 403, "webhook: {token_file: ...}"},
		{"proof: loopback, IPv6", proof, false, from("[::1]:1", nil), 403, "--web.config.file"},
		{"proof: loopback with a token that no file holds", proof, false, bearer, 403, "trust_loopback: true"},
		{"proof: another host", proof, false, from(far, nil), 403, "webhook: {token_file: ...}"},
		{"proof: loopback, authenticated by the listener", proof, true, nil, 200, ""},
		{"proof: another host, authenticated by the listener", proof, true, from(far, nil), 200, ""},
		{"proof: another site, authenticated by the listener", proof, true, header{"Origin": "http://evil.example"}, 403, "another site"},
		{"proof: a browser says that it is another site, whatever its name", proof, true, header{"Sec-Fetch-Site": "cross-site"}, 403, "another site"},
		{"a token: none sent from loopback", both, false, nil, 401, "no bearer token"},
		{"a token: sent from another host", both, false, from(far, bearer), 200, ""},
		{"a token: sent through a proxy", both, false, header{"Authorization": "Bearer sesame", "X-Forwarded-For": "192.0.2.1"}, 200, ""},
		{"a token in enforce: none sent from loopback", strict, false, nil, 401, "no bearer token"},
		{"a token in enforce: a wrong one", strict, false, wrong, 401, "wrong token"},
		{"a token in enforce: the right one", strict, false, bearer, 200, ""},
		{"a token in enforce: the right one from another host", strict, false, from(far, bearer), 200, ""},
		{"a token in enforce: none sent, authenticated by the listener", strict, true, from(far, nil), 200, ""},
	}
	for _, tt := range tests {
		for path, body := range map[string]string{"/api/v1/webhook": notification, "/api/v1/run": `{"target":"app","playbook":"clean_temp"}`, "/api/v1/pause": "{}", "/api/v1/resume": "{}", "/api/v1/proposals/p/approve": "{}", "/api/v1/proposals/p/deny": "{}", "/-/reload": ""} {
			t.Run(tt.name+path, func(t *testing.T) {
				changed := false
				f := newFixture(t, func(o *Options) {
					o.Authenticated = func(*http.Request) bool { return tt.listener }
					o.Reload = func() error { changed = true; return nil }
				})
				f.token, f.proof = tt.access.TokenFile, !tt.access.TrustLoopback
				f.run = func(RunRequest) (string, error) { changed = true; return "1", nil }
				f.pause = func(PauseRequest) error { changed = true; return nil }
				f.decide = func(Decision) (string, error) { changed = true; return "", nil }
				f.submit = func(alert.Batch) ([]alert.Disposition, error) { changed = true; return nil, nil }
				all := header{"Content-Type": "application/json"}
				maps.Copy(all, tt.header)
				w := f.do("POST", path, all, body)
				if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) || changed != (tt.code == 200) {
					t.Errorf("%d %s, changed %v; want %d with %q in it", w.Code, w.Body, changed, tt.code, tt.says)
				}
			})
		}
	}
}

// TestForwardingHeaders: each header that a proxy may add takes the trust in this host away.
func TestForwardingHeaders(t *testing.T) {
	f := newFixture(t, nil)
	names := []string{
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server", "X-Forwarded-Port", "X-Forwarded-Ssl", "X-Real-IP", "Via",
		"CF-Connecting-IP", "CF-Ray", "CDN-Loop", "True-Client-IP", "X-Client-IP", "X-Cluster-Client-IP", "X-Original-Forwarded-For",
		"X-Forward-For", "X_Forwarded_For", "X-Amz-Cf-Id", "CloudFront-Viewer-Address", "Front-End-Https", "WL-Proxy-Client-IP", "Proxy-Client-IP",
		"Incap-Client-IP", "X-Sucuri-ClientIP", "Ali-Cdn-Real-Ip", "X-Bluecoat-Via", "X-Vercel-Forwarded-For", "X-Host", "X-Url-Scheme", "Cdn-Src-Ip", "X-Nginx-Proxy", "X-Real-Port",
		"X-Envoy-External-Address", "Fly-Client-IP", "Fastly-Client-IP", "X-Azure-ClientIP", "X-ProxyUser-Ip", "x-forwarded-for",
	}
	for _, name := range append(names, forwardingHeaders...) {
		if w := f.do("POST", "/-/reload", map[string]string{name: "192.0.2.1"}, ""); w.Code != 403 || !strings.Contains(w.Body.String(), http.CanonicalHeaderKey(name)) {
			t.Errorf("%s: %d %s, want 403 with its name", name, w.Code, w.Body)
		}
	}
	for _, name := range forwardingHeaders {
		if name != http.CanonicalHeaderKey(name) {
			t.Errorf("%s would never be found: requests have %s", name, http.CanonicalHeaderKey(name))
		}
	}
	for _, name := range []string{"User-Agent", "Accept", "X-Prometheus-Scrape-Timeout-Seconds", "Traceparent", "X-Amzn-Trace-Id", "X-Cloud-Trace-Context", "X-Request-Id", "Cookie"} {
		if w := f.do("POST", "/-/reload", map[string]string{name: "x"}, ""); w.Code != 200 {
			t.Errorf("%s: %d %s, want 200", name, w.Code, w.Body)
		}
	}
}

// TestAccessIsAskedAgain: a request whose body was still on its way when proof became necessary is
// refused.
func TestAccessIsAskedAgain(t *testing.T) {
	for path, body := range map[string]string{"/api/v1/webhook": notification, "/api/v1/run": `{"target":"app","playbook":"clean_temp"}`, "/api/v1/pause": "{ }", "/api/v1/resume": "{ }", "/api/v1/proposals/p/approve": "{ }", "/api/v1/proposals/p/deny": "{ }"} {
		f := newFixture(t, nil)
		f.run = func(RunRequest) (string, error) { t.Error("it ran"); return "1", nil }
		f.pause = func(PauseRequest) error { t.Error("it was paused"); return nil }
		f.decide = func(Decision) (string, error) { t.Error("it was decided"); return "", nil }
		f.submit = func(alert.Batch) ([]alert.Disposition, error) { t.Error("it ran"); return nil, nil }
		r := httptest.NewRequest("POST", "http://127.0.0.1:10042"+path, io.MultiReader(strings.NewReader(body[:1]), readerFunc(func(p []byte) (int, error) {
			f.proof = true
			n := copy(p, body[1:])
			body = body[:1] + body[1+n:]
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		})))
		r.RemoteAddr = "127.0.0.1:4711"
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if f.handler.ServeHTTP(w, r); w.Code != 403 {
			t.Errorf("%s: %d %s, want 403", path, w.Code, w.Body)
		}
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
