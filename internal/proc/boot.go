package proc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// bootSlack is how far the clocks may run apart between the two readings of exactBoot.
	bootSlack  = 50 * time.Millisecond
	latestBoot = 1 << 36 // seconds, in the year 4147
)

// bootTime returns when the host started.
func bootTime(root string) (time.Time, error) {
	file, err := os.Open(filepath.Join(root, "stat"))
	if err != nil {
		return time.Time{}, fmt.Errorf("the start times of processes are not known: %w", err)
	}
	defer file.Close()
	seconds, err := parseBoot(file)
	if err != nil {
		return time.Time{}, fmt.Errorf("the start times of processes are not known: %s: %w", file.Name(), err)
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Unix(seconds, 0), nil //nolint:nilerr // the whole second will do
	}
	return exactBoot(seconds, time.Now(), time.Duration(up.Nano())), nil
}

// parseBoot finds the line btime of /proc/stat, in seconds since 1970. No other line matters, whatever
// it holds: the one of the interrupts is longer than a megabyte on large hosts, and counters wrap.
func parseBoot(r io.Reader) (int64, error) {
	lines := bufio.NewReaderSize(r, 4096)
	for begins := true; ; {
		line, err := lines.ReadSlice('\n')
		if value, ok := bytes.CutPrefix(line, []byte("btime ")); ok && begins {
			text := string(bytes.TrimSpace(value))
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n <= 0 || n > latestBoot {
				return 0, fmt.Errorf("btime %q is not a time", text)
			}
			return n, nil
		}
		if errors.Is(err, io.EOF) {
			return 0, errors.New("it has no line btime")
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return 0, err
		}
		begins = err == nil // else the rest of a long line follows
	}
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
