package fetch

import (
	"testing"

	"github.com/prometheus/common/version"
)

func TestUserAgent(t *testing.T) {
	was := version.Version
	defer func() { version.Version = was }()
	f := func(v, want string) {
		t.Helper()
		version.Version = v
		if got := UserAgent(); got != want {
			t.Errorf("version %q: %q, want %q", v, got, want)
		}
	}
	f("1.2.3-rc.1+dirty", "spillway_exporter/1.2.3-rc.1+dirty")
	f("(devel)", "spillway_exporter/devel")
	f("", "spillway_exporter/unknown")
	f("1\r\nX: y", "spillway_exporter/1Xy")
}
