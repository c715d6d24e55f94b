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
