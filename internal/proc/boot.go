package proc

import (
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// bootSlack is how far the clocks may run apart between the two readings of exactBoot.
const bootSlack = 50 * time.Millisecond

// bootTime returns when the host started, zero when that cannot be read.
func bootTime(root string) time.Time {
	fs, err := procfs.NewFS(root)
	if err != nil {
		return time.Time{}
	}
	s, err := fs.Stat()
	if err != nil || s.BootTime == 0 {
		return time.Time{}
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Unix(int64(s.BootTime), 0)
	}
	return exactBoot(int64(s.BootTime), time.Now(), time.Duration(up.Nano()))
}

// exactBoot adds the fraction of a second that the kernel cuts off in /proc/stat: without it every
// process seems to have started up to a second too early, and one that was seen to start seems
// older than the watch. now and up are the clocks of this process; where they do not agree with
// the file, which is then of another machine, the whole second stands.
func exactBoot(seconds int64, now time.Time, up time.Duration) time.Time {
	whole := time.Unix(seconds, 0)
	exact := now.Add(-up).Round(0) // without the monotonic reading
	if fraction := exact.Sub(whole); fraction < -bootSlack || fraction > time.Second+bootSlack {
		return whole
	}
	return exact
}
