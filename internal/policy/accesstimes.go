package policy

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// AccessTimes is what a file system does when a file is read.
type AccessTimes uint8

// What it does.
const (
	AccessExact AccessTimes = iota // write the time, or nothing is known of it
	AccessDaily                    // relatime: write it when the one before is a day old, or older than mtime or ctime
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
	switch {
	case flags&unix.ST_NOATIME != 0:
		return AccessNever
	case flags&unix.ST_RELATIME != 0:
		return AccessDaily
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
	const observe = "write hit_rate: inferred, which remembers each open"
	switch {
	case !c.NeedsAccessTimes():
	case times == AccessNever:
		return fmt.Sprintf("%q is on a file system that writes no access times (noatime), so an eviction removes what was written first, however often it is read: %s, or lru_by: mtime if that is meant", c.Dir, observe)
	case times == AccessDaily:
		return fmt.Sprintf("%q is on a file system that writes the access time of a file once in 24 hours (relatime), so an eviction may remove what was read a minute ago: %s, or lru_by: mtime to go by the time of writing", c.Dir, observe)
	}
	return ""
}
