package loopback

import (
	"net"
	"net/netip"
	"strings"
)

// Host reports whether a host as it stands in a URL, without brackets and port, is an address of
// loopback or its usual name. Other names are not looked up: what they resolve to can change.
func Host(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() && ip.Zone() == ""
}

// Address is Host for a host with its port, such as 127.0.0.1:80 or [::1]:80.
func Address(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	return err == nil && Host(host)
}

// peerBits is what of an IPv6 address names a network: one host there has as many addresses as it likes.
const peerBits = 64

// Peer names the host behind the remote address of a connection, for limits of one host: "" is this
// one, and what reached it through a file.
func Peer(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		if strings.HasPrefix(hostport, "@") || strings.HasPrefix(hostport, "/") || hostport == "" {
			return ""
		}
		return hostport
	}
	if Host(host) {
		return ""
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(peerBits)
	if err != nil {
		return ip.String()
	}
	return network.String()
}
