package proc

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
)

// A port belongs to a process only at the address where it listens: at another one there may be
// someone else.
func TestPortsAreLoopbackAddresses(t *testing.T) {
	listen := func(network, address string) netip.AddrPort {
		t.Helper()
		l, err := net.Listen(network, address)
		if err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.Addr().(*net.TCPAddr).AddrPort()
	}
	four := listen("tcp4", "127.0.0.1:0")
	six := listen("tcp6", "[::1]:0")
	all := listen("tcp4", "0.0.0.0:0")
	both := listen("tcp", "[::]:0")
	second := listen("tcp4", "127.0.0.2:0")
	want := []netip.AddrPort{
		four, six, second,
		netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), all.Port()), netip.AddrPortFrom(netip.IPv6Loopback(), both.Port()),
	}
	got, err := Ports("/proc", Member{PID: os.Getpid(), Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%v, want %s among them", got, w)
		}
	}
}

func TestParseLocal(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		at, ok := parseLocal([]byte(text))
		got := ""
		if ok {
			got = at.String()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	f("0100007F:240D", "127.0.0.1:9229")
	f("0500A8C0:240D", "") // 192.168.0.5
	f("00000000:240D", "127.0.0.1:9229")
	f("00000000000000000000000001000000:240D", "[::1]:9229")
	f("00000000000000000000000000000000:240D", "[::1]:9229")
	f("0000000000000000FFFF00000100007F:240D", "127.0.0.1:9229")
	f("0100007F", "")
	f("0100007F:240DD", "")
	f("xx00007F:240D", "")
	f("01007F:240D", "")
	f("", "")
}

func FuzzParseLoopback(f *testing.F) {
	f.Add([]byte("   0: 0100007F:240D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0\n"))
	f.Add([]byte("   0: 00000000000000000000000001000000:240D 0:0 0A 0 0 0 0 0 7\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := make(map[string]netip.AddrPort)
		parseLoopback(b, got)
		for link, at := range got {
			if !at.Addr().IsLoopback() {
				t.Errorf("%s at %s is not on loopback", link, at)
			}
		}
	})
}
