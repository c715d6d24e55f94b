package action

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func httpRequest(url string) Request {
	req := commandRequest()
	req.Settings = &HTTPSettings{URL: url}
	return req
}

func TestHTTPPosts(t *testing.T) {
	token := filepath.Join(realDir(t), "token")
	if err := os.WriteFile(token, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var seen *http.Request
	var body string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		seen, body = r, string(raw)
		io.WriteString(w, "trimmed 12 entries")
	}))
	defer srv.Close()
	req := httpRequest(srv.URL + "/internal/trim?x=1")
	req.Alert, req.Settings.(*HTTPSettings).TokenFile = someAlert(), token
	res, err := NewHTTP(quiet).Run(t.Context(), req)
	if err != nil || res.Outcome != Done || res.Output != "trimmed 12 entries" || !strings.Contains(res.Detail, "answered 200 OK") {
		t.Fatalf("%+v, %v", res, err)
	}
	if seen.Method != http.MethodPost || seen.URL.String() != "/internal/trim?x=1" || seen.Header.Get("Authorization") != "Bearer s3cret" ||
		seen.Header.Get("Content-Type") != "application/json" || seen.Header.Get("X-Spillway-Run") != "r1" {
		t.Errorf("%s %s %v", seen.Method, seen.URL, seen.Header)
	}
	if !strings.Contains(body, `"alertname":"Full"`) || !strings.Contains(body, `"run":{"id":"r1"`) {
		t.Errorf("body %s", body)
	}
	req.Settings.(*HTTPSettings).Body = "gc now"
	if _, err := NewHTTP(quiet).Run(t.Context(), req); err != nil || body != "gc now" || !strings.HasPrefix(seen.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("own body %q as %s, %v", body, seen.Header.Get("Content-Type"), err)
	}
}

func TestHTTPOutcomes(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	hang := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no such cache", http.StatusInternalServerError)
	})
	mux.HandleFunc("/hang", func(http.ResponseWriter, *http.Request) { <-hang })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		for range 200 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	defer close(hang)
	closed := httptest.NewServer(mux)
	closed.Close()
	f := func(url string, outcome Outcome, says string) Result {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		res, err := NewHTTP(quiet).Run(ctx, httpRequest(url))
		if res.Outcome != outcome || (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %s, %v, want %s and %q", url, res.Outcome, err, outcome, says)
		}
		return res
	}
	f(srv.URL+"/redirect", Failed, "redirects are not followed")
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
	if res := f(srv.URL+"/bad", Failed, "answered 500"); res.Output != "no such cache\n" {
		t.Errorf("output %q", res.Output)
	}
	f(srv.URL+"/hang", Unknown, "deadline exceeded")
	f(closed.URL, Failed, "nothing was sent")
	if res := f(srv.URL+"/huge", Done, ""); len(res.Output) > 64<<10 {
		t.Errorf("%d bytes of output", len(res.Output))
	}
}

// A name that was loopback when the configuration was read and is not any more is not called.
func TestHTTPStaysOnLoopback(t *testing.T) {
	var outside net.IP
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			outside = n.IP
		}
	}
	if outside == nil {
		t.Skip("this host has no address other than loopback")
	}
	l, err := net.Listen("tcp", net.JoinHostPort(outside.String(), "0"))
	if err != nil {
		t.Skip(err)
	}
	var calls atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	req := httpRequest(srv.URL)
	res, err := NewHTTP(quiet).Run(t.Context(), req)
	if res.Outcome != Failed || err == nil || !strings.Contains(err.Error(), "is not a loopback address") || calls.Load() != 0 {
		t.Errorf("%+v, %v, %d calls", res, err, calls.Load())
	}
	req.Settings.(*HTTPSettings).Hosts = []string{outside.String()}
	if res, err := NewHTTP(quiet).Run(t.Context(), req); res.Outcome != Done || err != nil || calls.Load() != 1 {
		t.Errorf("listed: %+v, %v, %d calls", res, err, calls.Load())
	}
}

// TestHTTPShowsNoSecret: what a URL holds beyond its host, and what the server words as the reason of its status, is
// in no text that is public; the answer is in the output alone.
func TestHTTPShowsNoSecret(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/secret-path", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("token") {
		case "secret-ok":
			io.WriteString(w, "secret-answer")
		case "secret-moved":
			http.Redirect(w, r, "/secret-elsewhere", http.StatusFound)
		case "secret-cut":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		case "secret-worded":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				io.WriteString(conn, "HTTP/1.1 500 secret-reason\r\n\r\n")
				conn.Close()
			}
		case "secret-garbage":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				io.WriteString(conn, "-ERR secret-garbage\r\n")
				conn.Close()
			}
		}
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	gone := httptest.NewServer(mux)
	gone.Close()
	file := filepath.Join(realDir(t), "url")
	for _, base := range []string{srv.URL, gone.URL} {
		for _, token := range []string{"secret-ok", "secret-moved", "secret-cut", "secret-worded", "secret-garbage"} {
			raw := base + "/secret-path?token=" + token
			if err := os.WriteFile(file, []byte(raw+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, s := range []*HTTPSettings{{URL: raw}, {URLFile: file}} {
				for _, dry := range []bool{true, false} {
					var log bytes.Buffer
					req := httpRequest("")
					req.Settings, req.DryRun = s, dry
					res, err := NewHTTP(slog.New(slog.NewTextHandler(&log, nil))).Run(t.Context(), req)
					text := fmt.Sprint(s, res.Detail, res.Before, res.After, err, log.String())
					if strings.Contains(text, "secret") {
						t.Errorf("%s, dry run %v: %s", raw, dry, text)
					}
					if token == "secret-ok" && base == srv.URL && !dry && res.Output != "secret-answer" {
						t.Errorf("output %q, %v", res.Output, err)
					}
				}
			}
		}
	}
	for content, want := range map[string]string{
		"http://192.0.2.2/secret": "names \"192.0.2.2\", which is not on this host's loopback", "secret": "is not a URL of a server",
		"http://u:secret@127.0.0.1/": "holds a user", "": "does not hold one line",
	} {
		if err := os.WriteFile(file, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &HTTPSettings{URLFile: file}
		var mistakes string
		s.Validate(func(key, format string, args ...any) { mistakes += key + ": " + fmt.Sprintf(format, args...) })
		req := httpRequest("")
		req.Settings = s
		res, err := NewHTTP(quiet).Run(t.Context(), req)
		if !strings.HasPrefix(mistakes, "url_file: ") || !strings.Contains(mistakes, want) || strings.Contains(mistakes, "secret") || res.Outcome != Failed || err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %q, %+v, %v", content, mistakes, res, err)
		}
	}
}
