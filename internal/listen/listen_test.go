package listen

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
)

func flags(addresses ...string) *web.FlagConfig {
	none := ""
	return &web.FlagConfig{WebListenAddresses: &addresses, WebConfigFile: &none}
}

// options are those of a handler whose callers prove who they are by a header.
func options(handler http.Handler) Options {
	return Options{
		Handler: handler, Flags: flags(), Logger: slog.New(slog.DiscardHandler), Grace: time.Second,
		Caller: func(r *http.Request) (proved, stream bool) {
			return r.Header.Get("Authorization") != "", r.URL.Path == "/stream"
		},
	}
}

// TestServe serves on every address until its context is done, and then lets go of them.
func TestServe(t *testing.T) {
	open, err := Open(t.Context(), flags("127.0.0.1:0", "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	go func() {
		ended <- Serve(ctx, open, options(hello))
	}()
	for _, l := range open {
		resp, err := http.Get(URL(l.Addr(), false))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(text) != "hello" {
			t.Errorf("%q, %v", text, err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, l := range open {
		if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
			conn.Close()
			t.Errorf("%s is still served", l.Addr())
		}
	}
}

// TestOpenFails: an address that is in use is named with what to write, and nothing remains open.
func TestOpenFails(t *testing.T) {
	taken, err := Open(t.Context(), flags("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer taken[0].Close()
	address := taken[0].Addr().String()
	spare, err := Open(t.Context(), flags("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	free := spare[0].Addr().String()
	spare[0].Close()
	if _, err := Open(t.Context(), flags(free, address)); err == nil || !strings.Contains(err.Error(), `listen on "`+address+`": `) || !strings.Contains(err.Error(), "another program has this port") {
		t.Errorf("%v", err)
	} else if _, other, ok := strings.Cut(err.Error(), "such as --web.listen-address="); !ok || other == address {
		t.Errorf("no other port than the one in use is suggested: %v", err)
	} else if l, err := Open(t.Context(), flags(other)); err != nil {
		t.Errorf("the port that is suggested is in use, too: %v", err)
	} else {
		l[0].Close()
	}
	if _, err := Open(t.Context(), flags("127.0.0.1")); err == nil || !strings.HasSuffix(err.Error(), "write host:port with --web.listen-address, such as 127.0.0.1:0 for any free port") {
		t.Errorf("no port: %v", err)
	}
	again, err := Open(t.Context(), flags(free))
	if err != nil {
		t.Fatalf("the first address is still open: %v", err)
	}
	again[0].Close()
	if _, err := Open(t.Context(), flags("vsock://:x")); err == nil {
		t.Error("a port of vsock that is not a number was opened")
	}
}

func TestURL(t *testing.T) {
	f := func(host string, tls bool, want string) {
		t.Helper()
		if got := URL(&net.TCPAddr{IP: net.ParseIP(host), Port: 10042}, tls); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	f("0.0.0.0", false, "http://localhost:10042/")
	f("::", true, "https://localhost:10042/")
	f("::1", false, "http://[::1]:10042/")
	f("192.0.2.1", true, "https://192.0.2.1:10042/")
	if got := URL(&net.UnixAddr{Name: "/run/x", Net: "unix"}, false); got != "/run/x" {
		t.Error(got)
	}
}
