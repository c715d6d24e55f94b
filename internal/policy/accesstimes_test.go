package policy

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func TestAccessTimes(t *testing.T) {
	for flags, want := range map[int64]AccessTimes{
		0: AccessExact, unix.ST_RELATIME | unix.ST_NOSUID: AccessExact, unix.ST_NOATIME: AccessNever, unix.ST_RDONLY | unix.ST_RELATIME: AccessExact,
	} {
		if got := accessTimesBy(flags); got != want {
			t.Errorf("flags %#x: %d, want %d", flags, got, want)
		}
	}
	if got := AccessTimesOf(t.TempDir() + "/missing"); got != AccessExact {
		t.Errorf("a folder that is not there: %d", got)
	}
}

func TestOrderNote(t *testing.T) {
	f := func(name string, times AccessTimes, change func(*Cache), says string) {
		t.Helper()
		c := Cache{Common: Common{Dir: "/srv/cache", Include: []string{"*"}}, MaxBytes: 1 << 20}
		change(&c)
		c.Validate(report.Ignore)
		if got := c.OrderNote(times); says == "" && got != "" || !strings.Contains(got, says) {
			t.Errorf("%s: %q, want %q", name, got, says)
		}
	}
	nothing := func(*Cache) {}
	f("noatime", AccessNever, nothing, "(noatime)")
	f("what to write", AccessNever, nothing, "write hit_rate: inferred")
	f("strictatime", AccessExact, nothing, "")
	f("observed", AccessNever, func(c *Cache) { c.HitRate = HitRateInferred }, "")
	f("counted by the service", AccessNever, func(c *Cache) { c.HitRate = HitRateApp }, "(noatime)")
	f("by mtime", AccessNever, func(c *Cache) { c.LRUBy = AgeMtime }, "")
	f("by age only", AccessNever, func(c *Cache) { c.MaxBytes, c.MaxAge = 0, units.Duration(1) }, "")
	f("by free space", AccessNever, func(c *Cache) { c.MaxBytes, c.MinFreeInodes = 0, 10 }, "(noatime)")
	f("of the target", AccessNever, func(c *Cache) { c.TargetRoot = true }, "")
}
