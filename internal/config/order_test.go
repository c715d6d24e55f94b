package config

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCheckOrder: a cache whose least recently used entries are not known is named, with what to write.
func TestCheckOrder(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_NOATIME, ""); err != nil {
		t.Skipf("mounting is not permitted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for more, want := range map[string]int{"": 1, ", hit_rate: inferred": 0, ", lru_by: mtime": 0} {
		c, err := Parse("spillway.yml", fmt.Appendf(nil, "targets:\n  - name: app\n    caches:\n      - {name: media, dir: %s, include: ['*'], max_bytes: 1GiB%s}\n", dir, more))
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Warnings) != want || len(c.Orders["app"]) != want {
			t.Errorf("%q: %v, %v; want %d", more, c.Warnings, c.Orders, want)
		}
		for _, w := range c.Warnings {
			if w.Line != 4 || w.Key != "targets[0].caches[0].lru_by" || !strings.Contains(w.Msg, "(noatime)") || !strings.Contains(w.Msg, "write hit_rate: inferred") {
				t.Errorf("%+v", w)
			}
		}
	}
}
