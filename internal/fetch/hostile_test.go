package fetch

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serveRaw answers each connection with f, on a listener that is closed with the test.
func serveRaw(t *testing.T, network, address string, f func(n int, c net.Conn, in *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Skip(err)
	}
	done := make(chan struct{})
	var count atomic.Int64
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(count.Add(1))
			go func() {
				defer c.Close()
				f(n, c, bufio.NewReader(c))
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String() + "/"
}

const goodAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\": 1}"

// A service that closes an idle connection without a word, or in the moment of the next request,
// is asked again on a new one: that is not a failed reading.
func TestClientSurvivesAKeepAliveThatDied(t *testing.T) {
	f := func(what string, after func(c net.Conn, in *bufio.Reader)) {
		t.Helper()
		url := serveRaw(t, "tcp", "127.0.0.1:0", func(n int, c net.Conn, in *bufio.Reader) {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			io.WriteString(c, goodAnswer)
			after(c, in)
		})
		c := newTestClient(t, url, time.Second)
		for i := range 20 {
			if got, err := c.Values(t.Context(), JSON, []Want{{Name: "a", Path: "a"}}); err != nil || got[0].V != 1 {
				t.Errorf("%s: reading %d: %v, %v", what, i, got, err)
			}
			if out := c.Probe(t.Context()); out.Err != nil || out.Status != 200 {
				t.Errorf("%s: probe %d: %+v", what, i, out)
			}
		}
	}
	f("closed at once", func(net.Conn, *bufio.Reader) {})
	f("closed at the next request", func(_ net.Conn, in *bufio.Reader) { in.ReadByte() })
	f("reset at the next request", func(c net.Conn, in *bufio.Reader) {
		in.ReadByte()
		c.(*net.TCPConn).SetLinger(0)
	})
	f("half closed at the next request", func(c net.Conn, in *bufio.Reader) {
		http.ReadRequest(in)
		c.(*net.TCPConn).CloseWrite()
	})
}

func TestClientBoundsWhatItReads(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 64<<20))
	z.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 1<<20))
	})
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb.Bytes())
	})
	mux.HandleFunc("/drip", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, " "); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	places := []string{"unix:///var/run/docker.sock", "file:///etc/passwd", "gopher://127.0.0.1/", "//192.0.2.1/x", "http://[::1]:1/"}
	for i, place := range places {
		mux.HandleFunc(fmt.Sprintf("/to/%d", i), func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Location"] = []string{place}
			w.WriteHeader(http.StatusFound)
		})
	}
	s := httptest.NewServer(mux)
	defer s.Close()
	f := func(path string, sentinel error, text string, status int) {
		t.Helper()
		c := newTestClient(t, s.URL+path, 200*time.Millisecond)
		got, err := c.Values(t.Context(), JSON, []Want{{Name: "a", Path: "a"}})
		if err == nil || !strings.Contains(err.Error(), text) || sentinel != nil && !errors.Is(err, sentinel) {
			t.Errorf("%s: %v, %v, want %q", path, got, err, text)
		}
		if out := c.Probe(t.Context()); out.Status != status {
			t.Errorf("%s: probe %+v, want status %d", path, out, status)
		}
	}
	f("/headers", nil, "headers exceeded", 0)
	f("/bomb", nil, "it is not JSON", 200)
	f("/drip", ErrLate, "no answer in time", 200)
	for i := range places {
		f(fmt.Sprintf("/to/%d", i), nil, "it redirects to another host", 302)
	}
}

// The service may listen on IPv6 only.
func TestClientReadsOverIPv6(t *testing.T) {
	url := serveRaw(t, "tcp6", "[::1]:0", func(_ int, c net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err == nil {
			io.WriteString(c, goodAnswer)
		}
	})
	got, err := newTestClient(t, url, time.Second).Values(t.Context(), JSON, []Want{{Name: "a", Path: "a"}})
	if err != nil || got[0].V != 1 {
		t.Errorf("%s: %v, %v", url, got, err)
	}
}

// A connection that goes silent costs one reading: the next one opens another.
func TestClientLeavesASilentConnection(t *testing.T) {
	f := func(what string, http2 bool) {
		t.Helper()
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"a": 1}`) }))
		s.EnableHTTP2 = http2
		s.StartTLS()
		defer s.Close()
		url := serveRaw(t, "tcp", "127.0.0.1:0", func(n int, c net.Conn, in *bufio.Reader) {
			up, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				return
			}
			defer up.Close()
			go io.Copy(c, up)
			buf := make([]byte, 4096)
			for {
				k, err := in.Read(buf)
				if err != nil {
					return
				}
				if n != 2 {
					up.Write(buf[:k])
				}
			}
		})
		c := newTestClient(t, strings.Replace(url, "http:", "https:", 1), 200*time.Millisecond)
		c.transport.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
		read := func() error {
			_, err := c.Values(t.Context(), JSON, []Want{{Name: "a", Path: "a"}})
			return err
		}
		if err := read(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := read(); !errors.Is(err, ErrLate) {
			t.Errorf("%s: on a silent connection: %v, want ErrLate", what, err)
		}
		if err := read(); err != nil {
			t.Errorf("%s: after it: %v, want a reading on another connection", what, err)
		}
	}
	f("HTTP/1.1", false)
	f("HTTP/2", true)
}
