package proc

import (
	"net"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestListenPortLive finds this very process by a port that it listens on.
func TestListenPortLive(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := watch(t, Options{Targets: []Target{target("a", Config{Match: Match{ListenPort: l.Addr().(*net.TCPAddr).Port}})}})
	w.now = time.Now()
	w.tick(0)
	if got, want := w.pids("a"), strconv.Itoa(os.Getpid()); got != want {
		t.Errorf("members %q, want %s", got, want)
	}
}

func FuzzParseListeners(f *testing.F) {
	f.Add([]byte(tcpHead + "   0: 0100007F:01BB 00000000:0000 0A 0:0 0:0 0     0        0 500 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ports := make(map[int]map[string]bool)
		parseListeners(b, ports)
		for port, links := range ports {
			if port < 0 || port > 65535 || len(links) == 0 {
				t.Errorf("port %d with %d sockets", port, len(links))
			}
		}
	})
}
