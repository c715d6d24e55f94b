package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func newTestClient(t *testing.T, url string, timeout time.Duration) *Client {
	t.Helper()
	e := Endpoint{URL: url, Timeout: units.Duration(timeout)}
	e.Validate(func(key, format string, args ...any) { t.Fatalf("%s: %s", key, fmt.Sprintf(format, args...)) })
	c := NewClient(e)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestClientReads(t *testing.T) {
	var accept string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		accept = r.Header.Get("Accept")
		if strings.HasPrefix(accept, "text/plain") {
			fmt.Fprintln(w, "jobs 3")
			return
		}
		fmt.Fprint(w, `{"jobs": 3}`)
	}))
	defer s.Close()
	c := newTestClient(t, s.URL+"/stats", time.Second)
	for _, format := range []string{JSON, Prometheus} {
		got, err := c.Values(t.Context(), format, []Want{{Name: "jobs", Path: "jobs"}, {Name: "none", Path: "none"}})
		if err != nil || len(got) != 2 || got[0].V != 3 || got[0].Err != nil || got[1].Err == nil {
			t.Errorf("%s: %v, %v", format, got, err)
		}
	}
}

// What a service may answer in place of what it should.
func TestClientWithHostileAnswers(t *testing.T) {
	stop := make(chan struct{})
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"a": 1}`) }))
	defer elsewhere.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"a": "`+strings.Repeat("x", 10<<20)+`"}`)
	})
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "OK") })
	mux.HandleFunc("/nan", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"a": NaN}`) })
	mux.HandleFunc("/busy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, `{"a": 1}`)
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"a": `)
		w.(http.Flusher).Flush()
		<-stop
	})
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusFound)
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/value", http.StatusFound) })
	mux.HandleFunc("/value", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"a": 1}`) })
	s := httptest.NewServer(mux)
	defer s.Close()
	defer close(stop)

	f := func(path string, sentinel error, text string) {
		t.Helper()
		timeout := 30 * time.Second
		if errors.Is(sentinel, ErrLate) {
			timeout = 200 * time.Millisecond
		}
		got, err := newTestClient(t, s.URL+path+"?token=sesame", timeout).Values(t.Context(), JSON, []Want{{Name: "a", Path: "a"}})
		if err == nil || !strings.Contains(err.Error(), text) || sentinel != nil && !errors.Is(err, sentinel) {
			t.Errorf("%s: %v, %v, want %q", path, got, err, text)
		}
		if err != nil && (strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "sesame")) {
			t.Errorf("%s: the error shows the path or the query: %v", path, err)
		}
	}
	f("/large", ErrTooLarge, "more than 1048576 bytes of JSON")
	f("/ok", nil, `it is not JSON: it begins with 'O'`)
	f("/nan", nil, "it is not JSON")
	f("/busy", ErrStatus, "it answered 503 Service Unavailable")
	f("/cut", nil, "unexpected EOF")
	f("/slow", ErrLate, "no answer in time")
	f("/away", nil, "it redirects to another host")
	f("/loop", nil, "it redirects more than 3 times")
	got, err := newTestClient(t, s.URL+"/here", 30*time.Second).Values(t.Context(), JSON, []Want{{Name: "a", Path: "a"}})
	if err != nil || got[0].V != 1 {
		t.Errorf("a redirect on the same host: %v, %v", got, err)
	}
}

func TestClientWithNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := newTestClient(t, "http://"+address+"/", time.Second)
	if _, err := c.Values(t.Context(), JSON, nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("%v, want ErrUnreachable", err)
	}
	if out := c.Probe(t.Context()); !errors.Is(out.Err, ErrUnreachable) || out.Status != 0 {
		t.Errorf("probe: %+v, want ErrUnreachable", out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Values(ctx, JSON, nil); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		t.Errorf("cancelled: %v", err)
	}
}

// Whatever a name resolves to, only loopback and listed hosts are connected to.
func TestClientStaysOnLoopback(t *testing.T) {
	for _, url := range []string{"http://192.0.2.1:80/", "http://0.0.0.0:80/", "http://[2001:db8::1]:80/"} {
		c := NewClient(Endpoint{URL: url, Timeout: units.Duration(time.Second)})
		if _, err := c.Values(t.Context(), JSON, nil); err == nil || !strings.Contains(err.Error(), "is not a loopback address") {
			t.Errorf("%s: %v, want a refusal", url, err)
		}
		c.Close()
	}
	c := NewClient(Endpoint{URL: "http://0.0.0.0:1/", Timeout: units.Duration(time.Second), AllowHosts: []string{"0.0.0.0"}})
	defer c.Close()
	if _, err := c.Values(t.Context(), JSON, nil); err == nil || strings.Contains(err.Error(), "loopback") {
		t.Errorf("a listed host: %v, want that it was tried", err)
	}
}

func TestProbe(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			fmt.Fprint(w, strings.Repeat("x", 1<<20))
		case "/away":
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		case "/sick":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/cut":
			w.Header().Set("Content-Length", "100")
		}
	}))
	defer s.Close()
	f := func(path string, status int, failed bool) {
		t.Helper()
		out := newTestClient(t, s.URL+path, time.Second).Probe(t.Context())
		if out.Status != status || (out.Err != nil) != failed || out.Duration <= 0 {
			t.Errorf("%s: %+v, want status %d, failed %v", path, out, status, failed)
		}
	}
	f("/", 200, false)
	f("/large", 200, false)
	f("/sick", 503, false)
	f("/away", 302, false)
	f("/cut", 200, true)
}

// A thousand services that come and go leave nothing behind.
func TestClientLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	before := descriptors(t)
	for range 1000 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"a": 1}`) }))
		c := NewClient(Endpoint{URL: s.URL, Timeout: units.Duration(time.Second)})
		if got, err := c.Values(t.Context(), JSON, []Want{{Path: "a"}}); err != nil || got[0].V != 1 {
			t.Fatalf("%v, %v", got, err)
		}
		c.Close()
		s.Close()
	}
	if after := descriptors(t); after > before+5 {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc")
	}
	return len(list)
}
