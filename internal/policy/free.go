package policy

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Free is what is left on a file system for those who are not root.
type Free struct{ Bytes, Inodes int64 }

// FreeOf returns what is left on the file system of a folder. A file system that has no number of
// inodes of its own (btrfs) has as many as anybody wants.
func FreeOf(dir string) (Free, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Free{}, fmt.Errorf("free space of %s: %w", dir, err)
	}
	f, err := freeFrom(&st)
	if err != nil {
		return Free{}, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return f, nil
}

func freeFrom(st *unix.Statfs_t) (Free, error) {
	bytes, err := left("blocks", st.Bavail, st.Blocks, uint64(max(st.Bsize, 1)))
	if err != nil {
		return Free{}, err
	}
	if st.Files == 0 {
		return Free{Bytes: bytes, Inodes: math.MaxInt64 / 2}, nil
	}
	inodes, err := left("inodes", st.Ffree, st.Files, 1)
	if err != nil {
		return Free{}, err
	}
	return Free{Bytes: bytes, Inodes: inodes}, nil
}

// left returns how much is free of a total, times size. Where root has used what is reserved for it,
// some file systems count on below 0, which arrives as an enormous number: then nothing is left.
func left(what string, free, total, size uint64) (int64, error) {
	switch {
	case free > math.MaxInt64:
		return 0, nil
	case total > 0 && free > total:
		return 0, fmt.Errorf("the file system reports %d free %s of %d in all", free, what, total)
	case free > math.MaxInt64/2/size:
		return math.MaxInt64 / 2, nil
	}
	return int64(free * size), nil
}

// Limits are how much a folder may hold; Unlimited where it does not matter.
type Limits struct{ Entries, Bytes int64 }

// Unlimited is a limit that no folder reaches.
const Unlimited = math.MaxInt64

// Limited is a policy that bounds how many files a folder holds, how large they are, or what is free
// alongside them.
type Limited interface {
	// NeedsFree reports whether the policy asks for free space.
	NeedsFree() bool
	// Limits returns the tighter of what the policy allows and of what leaves enough free alongside so many
	// entries and bytes.
	Limits(entries, bytes int64, free Free) Limits
	// Low returns the share of the limits that a clean-up goes down to.
	Low() float64
}

// bounds are the limits of a policy; 0 where there is none.
type bounds struct {
	entries    int64
	bytes      units.Bytes
	freeBytes  units.Bytes
	freeInodes int64
}

func (b bounds) needsFree() bool { return b.freeBytes > 0 || b.freeInodes > 0 }

func (b bounds) limits(entries, bytes int64, free Free) Limits {
	l := Limits{Unlimited, Unlimited}
	if b.entries > 0 {
		l.Entries = b.entries
	}
	if b.bytes > 0 {
		l.Bytes = int64(b.bytes)
	}
	if b.freeBytes > 0 {
		l.Bytes = min(l.Bytes, max(bytes+free.Bytes-int64(b.freeBytes), 0))
	}
	if b.freeInodes > 0 {
		l.Entries = min(l.Entries, max(entries+free.Inodes-b.freeInodes, 0))
	}
	return l
}

func (c *Cache) bounds() bounds {
	return bounds{c.MaxEntries, c.MaxBytes, c.MinFreeBytes, c.MinFreeInodes}
}

// NeedsFree implements Limited.
func (c *Cache) NeedsFree() bool { return c.bounds().needsFree() }

// Limits implements Limited.
func (c *Cache) Limits(entries, bytes int64, free Free) Limits {
	return c.bounds().limits(entries, bytes, free)
}

// Low implements Limited.
func (c *Cache) Low() float64 {
	if c.EvictTo == nil {
		return float64(defaultEvictTo)
	}
	return float64(*c.EvictTo)
}

func (t *Temp) bounds() bounds {
	return bounds{t.MaxFiles, t.MaxBytes, t.MinFreeBytes, t.MinFreeInodes}
}

// NeedsFree implements Limited.
func (t *Temp) NeedsFree() bool { return t.bounds().needsFree() }

// Limits implements Limited.
func (t *Temp) Limits(entries, bytes int64, free Free) Limits {
	return t.bounds().limits(entries, bytes, free)
}

// Low implements Limited.
func (t *Temp) Low() float64 {
	if t.CleanTo == nil {
		return 1
	}
	return float64(*t.CleanTo)
}

// UsedRatio returns the fullest of the limits; ok is false when there is none. A folder that has to
// be emptied altogether is infinitely full.
func (l Limits) UsedRatio(entries, bytes int64) (ratio float64, ok bool) {
	for _, pair := range [][2]int64{{entries, l.Entries}, {bytes, l.Bytes}} {
		switch used, limit := pair[0], pair[1]; {
		case limit == Unlimited:
			continue
		case used > 0:
			ratio = max(ratio, float64(used)/float64(limit))
		}
		ok = true
	}
	return ratio, ok
}
