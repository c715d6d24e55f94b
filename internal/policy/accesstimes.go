package policy

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// AccessTimes is what a file system does when a file is read.
type AccessTimes uint8

// What it does.
const (
	AccessExact AccessTimes = iota // write the time, with relatime once a day, or nothing is known of it
	AccessNever                    // noatime
)

// AccessTimesOf asks the mount of a folder. A folder that cannot be asked is AccessExact.
func AccessTimesOf(dir string) AccessTimes {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return AccessExact
	}
	return accessTimesBy(st.Flags)
}

func accessTimesBy(flags int64) AccessTimes {
	if flags&unix.ST_NOATIME != 0 {
		return AccessNever
	}
	return AccessExact
}

// NeedsAccessTimes reports whether evictions go by access times alone: something else than age limits the
// cache, and its opens are not observed.
func (c *Cache) NeedsAccessTimes() bool {
	limited := c.MaxBytes > 0 || c.MaxEntries > 0 || c.NeedsFree()
	return limited && c.LRUBy == AgeAtime && c.HitRate != HitRateInferred && !c.Foreign()
}

// OrderNote says what is wrong with the order of evictions on such a file system and what to write; "" where
// nothing is.
func (c *Cache) OrderNote(times AccessTimes) string {
	if times != AccessNever || !c.NeedsAccessTimes() {
		return ""
	}
	return fmt.Sprintf("%q is on a file system that writes no access times (noatime), so an eviction removes what was written first, however often it is read: "+
		"write hit_rate: inferred, which remembers each open, or lru_by: mtime if that is meant", c.Dir)
}
