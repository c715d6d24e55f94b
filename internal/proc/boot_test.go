package proc

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestExactBoot(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	f := func(name string, seconds int64, up time.Duration, want time.Time) {
		t.Helper()
		if got := exactBoot(seconds, now, up); !got.Equal(want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	f("a fraction is added", 1_799_999_899, 100*time.Second+207*time.Millisecond, time.Unix(1_799_999_899, 793e6))
	f("a whole second", 1_799_999_900, 100*time.Second, time.Unix(1_799_999_900, 0))
	f("the file of another machine", 1_700_000_000, 100*time.Second, time.Unix(1_700_000_000, 0))
	f("a boot after that of the clocks", 1_799_999_902, 100*time.Second, time.Unix(1_799_999_902, 0))
}

// The start of a process that was just begun is not before the look that came before it.
func TestBootTimeOfThisHost(t *testing.T) {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		t.Fatal(err)
	}
	want := time.Now().Add(-time.Duration(up.Nano()))
	got, err := bootTime("/proc")
	if off := got.Sub(want).Abs(); err != nil || off > 100*time.Millisecond {
		t.Errorf("off by %s, %v, want less than 100ms", off, err)
	}
}
