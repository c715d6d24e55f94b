package journal

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func TestConfig(t *testing.T) {
	f := func(c Config, want ...string) {
		t.Helper()
		var got []string
		c.Validate(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v: mistakes (-want +got):\n%s", c, diff)
		}
	}
	f(Config{})
	f(Config{Dir: "/srv/journal", Keep: units.Duration(time.Hour), OnCorrupt: OnCorruptRecreate})
	f(Config{Dir: "journal"}, `dir: "journal" is not absolute: write the whole path, such as /var/lib/spillway`)
	f(Config{Dir: "//"}, `dir: "/" is no folder for a journal: write one of its own, such as /var/lib/spillway`)
	f(Config{Keep: units.Duration(time.Minute), OnCorrupt: "ignore"},
		"keep: 1m is too short: write at least 1h, such as 90d",
		`on_corrupt: "ignore" is not a way to go on: write refuse or recreate`)

	var c Config
	c.Validate(func(string, string, ...any) {})
	if c.Keep.String() != "90d" || c.OnCorrupt != OnCorruptRefuse || c.Dir != "" {
		t.Errorf("defaults %+v", c)
	}
}

func TestDirs(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/home/me/state")
	f := func(dir string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, (&Config{Dir: dir}).Dirs()); diff != "" {
			t.Errorf("dir %q (-want +got):\n%s", dir, diff)
		}
	}
	f("/srv//journal/", "/srv/journal")
	f("", DefaultDir, "/home/me/state/spillway")
	t.Setenv("XDG_STATE_HOME", "relative")
	f("", DefaultDir)
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "/home/me")
	f("", DefaultDir, "/home/me/.local/state/spillway")
}
