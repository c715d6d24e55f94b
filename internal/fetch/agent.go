package fetch

import (
	"strings"

	"github.com/prometheus/common/version"
)

// UserAgent returns the User-Agent of every request of this exporter: spillway_exporter/VERSION,
// where VERSION is "unknown" in a binary that does not know its own.
func UserAgent() string {
	v := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+-._", r) {
			return r
		}
		return -1 // "(devel)": parentheses would begin a comment
	}, version.Version)
	if v == "" {
		v = "unknown"
	}
	return "spillway_exporter/" + v
}
