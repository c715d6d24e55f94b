package proc

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

const (
	tableHead  = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	listenTail = " 00000000:0000 0A 00000000:00000000 00:00000000 00000000 "
)

// TestReached: which of the sockets that listen a connection reaches. The kernel prints words in the byte order of a
// little-endian host here.
func TestReached(t *testing.T) {
	if _, err := parseAddrPort("0100007F:0050"); err != nil {
		t.Fatal(err)
	}
	if at, _ := parseAddrPort("0100007F:0050"); at.Addr() != netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
		t.Skip("the words of the test are those of a little-endian host")
	}
	const (
		same    = "   0: 0100007F:0050" + listenTail + "  1001        0 11 1\n"
		other   = "   0: 0200007F:0050" + listenTail + "  1002        0 12 1\n"
		anyV4   = "   0: 00000000:0050" + listenTail + "  1003        0 13 1\n"
		anyV6   = "   0: 00000000000000000000000000000000:0050" + listenTail + "  1004        0 14 1\n"
		mapped  = "   0: 0000000000000000FFFF00000100007F:0050" + listenTail + "  1005        0 15 1\n"
		ownV6   = "   0: 00000000000000000000000001000000:0050" + listenTail + "  1006        0 16 1\n"
		port    = "   0: 0100007F:0051" + listenTail + "  1007        0 17 1\n"
		joined  = "   0: 0100007F:0050 0100007F:A000 01 00000000:00000000 00:00000000 00000000  1008        0 18 1\n"
		another = "   0: 0100007F:0050" + listenTail + "  1001        0 19 1\n"
	)
	f := func(at, v4, v6 string, want ...uint64) {
		t.Helper()
		addr := netip.MustParseAddrPort(at)
		best, out, err := reached(strings.NewReader(tableHead+v4), addr, 0, nil)
		if err == nil {
			_, out, err = reached(strings.NewReader(tableHead+v6), addr, best, out)
		}
		if err != nil || len(out) != len(want) {
			t.Fatalf("%s: %v, %v, want %v", at, out, err, want)
		}
		for i, inode := range want {
			if out[i].Inode != inode || out[i].UID != uint32(inode)+990 && inode != 19 {
				t.Errorf("%s: %+v, want %d", at, out[i], inode)
			}
		}
	}
	f("127.0.0.1:80", anyV4+same+other+port+joined, anyV6, 11)
	f("127.0.0.1:80", same+another, "", 11, 19)
	f("127.0.0.1:80", other+anyV4, anyV6, 13)
	f("127.0.0.1:80", other, anyV6+ownV6, 14)
	f("127.0.0.1:80", anyV4, mapped+anyV6, 15)
	f("127.0.0.1:80", other+port, ownV6)
	f("127.0.0.1:80", joined, "")
	f("[::1]:80", same+anyV4, anyV6, 14)
	f("[::1]:80", same, anyV6+ownV6, 16)
	if _, _, err := reached(strings.NewReader(tableHead+"   0: 01:0050"+listenTail+" 1 0 1 1\n"), netip.MustParseAddrPort("127.0.0.1:80"), 0, nil); err == nil {
		t.Error("an address of one byte was read")
	}
}

// TestListenersAt: the kernel's own tables name the sockets of this process.
func TestListenersAt(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), l.Addr().(*net.TCPAddr).AddrPort().Port())
		found, err := ListenersAt(at)
		if err != nil || len(found) != 1 || found[0].UID != uint32(os.Getuid()) {
			t.Errorf("%s: %+v, %v", address, found, err)
		}
		l.Close()
		if found, err := ListenersAt(at); err != nil || len(found) != 0 {
			t.Errorf("%s is closed: %+v, %v", address, found, err)
		}
	}
}

// BenchmarkListenersAt: what is read before and after each connection to a heap.
func BenchmarkListenersAt(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	at := l.Addr().(*net.TCPAddr).AddrPort()
	for b.Loop() {
		if found, err := ListenersAt(at); err != nil || len(found) != 1 {
			b.Fatal(found, err)
		}
	}
}
