package loopback

import (
	"net"
	"strings"
	"testing"
)

func TestHost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost":           true,
		"LocalHost":           true,
		"127.0.0.1":           true,
		"127.255.3.4":         true,
		"::1":                 true,
		"::ffff:127.0.0.1":    true,
		"":                    false,
		"localhost.":          false, // looked up with the search list of the resolver
		"localhost.localnet":  false,
		"127.0.0.1.nip.io":    false,
		"127.1":               false, // some resolvers take it, netip does not
		"0x7f000001":          false,
		"2130706433":          false,
		"0.0.0.0":             false,
		"::":                  false,
		"10.0.0.1":            false,
		"::ffff:10.0.0.1":     false,
		"::1%eth0":            false,
		"[::1]":               false,
		" 127.0.0.1":          false,
		"127.0.0.1:80":        false,
		"fe80::1":             false,
		"ip6-localhost":       false,
		"128.0.0.1":           false,
		"::ffff:127.0.0.1%lo": false,
	} {
		if got := Host(host); got != want {
			t.Errorf("Host(%q) = %v", host, got)
		}
		if strings.ContainsAny(host, "[] ") || strings.Count(host, ":") == 1 {
			continue
		}
		if got := Address(net.JoinHostPort(host, "80")); got != want {
			t.Errorf("Address(%q with a port) = %v", host, got)
		}
	}
	for _, a := range []string{"", "127.0.0.1", "::1", "localhost", ":80", "[::1]", "unix:/run/a.sock", "@"} {
		if Address(a) {
			t.Errorf("Address(%q) is true", a)
		}
	}
}

func TestPeer(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:4711":           "",
		"[::1]:4711":               "",
		"[::ffff:127.0.0.1]:4711":  "",
		"@":                        "",
		"":                         "",
		"/run/a.sock":              "",
		"192.0.2.1:1":              "192.0.2.1",
		"[::ffff:192.0.2.1]:1":     "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64",
		"[2001:db8:1:2::1]:2":      "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":         "fe80::/64",
		"host(3):1024":             "host(3)",
		"vm":                       "vm",
	} {
		if got := Peer(addr); got != want {
			t.Errorf("Peer(%q) = %q, want %q", addr, got, want)
		}
	}
}
