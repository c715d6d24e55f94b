package alert

import "strings"

// NormalizeInstance brings an instance label or a Host header to the form in which they are
// compared: lower case, without the port that a scheme implies.
func NormalizeInstance(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	for _, port := range []string{":80", ":443"} {
		// An IPv6 address that ends in :80 keeps it unless it is in brackets.
		if host, ok := strings.CutSuffix(s, port); ok && (!strings.Contains(host, ":") || strings.HasSuffix(host, "]")) {
			return host
		}
	}
	return s
}
