package fetch

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// TestPublicURL: a path, a query and a password are shown to no one.
func TestPublicURL(t *testing.T) {
	f := func(raw, want string) {
		t.Helper()
		if got := PublicURL(raw); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
	f("http://127.0.0.1:4545", "http://127.0.0.1:4545")
	f("http://127.0.0.1:4545/", "http://127.0.0.1:4545")
	f("https://hooks.example/services/T0/B0/sesame", "https://hooks.example/…")
	f("https://hooks.example?token=sesame", "https://hooks.example/…")
	f("https://hooks.example#sesame", "https://hooks.example/…")
	f("https://user:sesame@hooks.example/", "https://hooks.example")
	f("http://[::1]:80/x", "http://[::1]:80/…")
	f("sesame", "")
	f("http://%zz/sesame", "")
	f("/run/sesame", "")
}

// TestPublicText shortens URLs wherever they stand.
func TestPublicText(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := PublicText(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	f(`["/usr/bin/curl" "-fsS" "https://hooks.example/sesame?a=b"]`, `["/usr/bin/curl" "-fsS" "https://hooks.example/…"]`)
	f("--url=http://a/b --other=http://u:p@c", "--url=http://a/… --other=http://c")
	f("http://%zz/sesame", "…")
	f("/usr/bin/systemctl restart app", "/usr/bin/systemctl restart app")
}

// TestPublicError: the errors of the library repeat the whole URL, also nested in one another, and what a
// server answered that does not speak HTTP.
func TestPublicError(t *testing.T) {
	cause := errors.New("refused")
	if got := PublicError(fmt.Errorf("x: %w", &url.Error{Op: "Get", URL: "http://a/sesame", Err: &url.Error{Op: "parse", URL: "sesame", Err: cause}})); !errors.Is(got, cause) || got.Error() != "refused" {
		t.Errorf("%v", got)
	}
	if _, err := http.NewRequest(http.MethodGet, "http://a\x7f/sesame", http.NoBody); err == nil || PublicError(err).Error() != "net/url: invalid control character in URL" {
		t.Errorf("%v", PublicError(err))
	}
	if PublicError(nil) != nil || PublicError(cause) != cause { //nolint:errorlint // the very same
		t.Error("other errors are kept")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for _, answer := range []string{"-ERR sesame\r\n", "HTTP/1.1 sesame no\r\n\r\n", "HTTP/1.1 200 OK\r\nsesame\r\n\r\n"} {
			if conn, err := l.Accept(); err == nil {
				fmt.Fprint(conn, answer)
				conn.Close()
			}
		}
	}()
	for range 3 {
		c := NewClient(Endpoint{URL: "http://" + l.Addr().String() + "/sesame", Timeout: units.Duration(5 * time.Second)})
		if out := c.Probe(t.Context()); out.Err == nil || strings.Contains(out.Err.Error(), "sesame") {
			t.Errorf("%v, want an error that does not show what was answered", out.Err)
		}
		c.Close()
	}
}

// TestURLFile: the URL is read for each request, checked as one in the configuration is, and shown to no one.
func TestURLFile(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/sesame" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "url")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := Endpoint{URLFile: file}
	mistakes := func() (out string) {
		e.Validate(func(key, format string, args ...any) { out += key + ": " + fmt.Sprintf(format, args...) })
		return out
	}
	f := func(text, want string) {
		t.Helper()
		write(text)
		if got := mistakes(); !strings.HasPrefix(got, want) || want == "" && got != "" || strings.Contains(got, "sesame") {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	f("http://far.example/sesame", `url_file: the URL in "`+file+`" names "far.example", which is not on this host's loopback`)
	f("sesame", "url_file: the URL in")
	f("http://u:sesame@127.0.0.1/", "url_file: the URL in")
	f("", "url_file: ")
	f(s.URL+"/wrong/sesame", "")
	c := NewClient(e)
	defer c.Close()
	if out := c.Probe(t.Context()); out.Status != http.StatusNotFound {
		t.Errorf("before: %+v", out)
	}
	write(s.URL + "/sesame")
	if out := c.Probe(t.Context()); out.Status != http.StatusOK {
		t.Errorf("after: %+v", out)
	}
	write("http://far.example/sesame")
	if out := c.Probe(t.Context()); out.Err == nil || out.Status != 0 || strings.Contains(out.Err.Error(), "sesame") {
		t.Errorf("of another host: %+v, want it refused", out)
	}
	e.URL = s.URL
	if got := mistakes(); !strings.HasPrefix(got, "url_file: stands next to the URL itself") {
		t.Errorf("both: %q", got)
	}
	e = Endpoint{URLFile: "url"}
	if got := mistakes(); !strings.Contains(got, "is not absolute") {
		t.Errorf("relative: %q", got)
	}
}
