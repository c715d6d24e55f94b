package regret

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// Day is how soon a use counts as soon.
const Day = 24 * time.Hour

// The flags of statfs(2) that say whether the time of access is kept.
const (
	flagReadOnly = 0x1
	flagNoAtime  = 0x400
	flagRelatime = 0x1000
)

// Options say where a policy's files are, and what is looked at.
type Options struct {
	Dir       string // an absolute path
	Recursive bool
	Since     time.Time // only victims from then on
	Now       time.Time
}

// Count is what became of the victims of one policy. The numbers are those of the sample; there were about
// Scale times as many.
type Count struct {
	Victims int `json:"victims"`
	Soon    int `json:"used_within_a_day"`
	Later   int `json:"used_later"` // last used more than a day after; there may have been a use within the day, too
	NotUsed int `json:"not_used"`   // for a day and longer
	Recent  int `json:"too_recent"` // not used so far, and a day has not passed
	NotSeen int `json:"not_known"`  // gone since, or the time of access is not kept
	Scale   int `json:"scale"`

	NoAtime bool `json:"no_atime,omitempty"` // the mount keeps no time of access
}

// Used returns how many were used again.
func (c *Count) Used() int { return c.Soon + c.Later }

// Known returns how many it is known of, for a day, whether they were used.
func (c *Count) Known() int { return c.Used() + c.NotUsed }

// Add sums up.
func (c *Count) Add(o *Count) {
	c.Victims, c.Soon, c.Later = c.Victims+o.Victims*o.Scale, c.Soon+o.Soon*o.Scale, c.Later+o.Later*o.Scale
	c.NotUsed, c.Recent, c.NotSeen = c.NotUsed+o.NotUsed*o.Scale, c.Recent+o.Recent*o.Scale, c.NotSeen+o.NotSeen*o.Scale
	c.NoAtime = c.NoAtime || o.NoAtime
	c.Scale = 1
}

// Look scans the folder of a policy and says what became of its victims. A folder that cannot be read is an
// error, with all of them not known.
func Look(ctx context.Context, s Source, of Of, o Options) (Count, error) {
	v, err := read(s, of)
	if err != nil {
		return Count{Scale: 1}, fmt.Errorf("%s %s: %w", of.Kind, of.Policy, err)
	}
	c := Count{Scale: 1 << v.level}
	for _, at := range v.at {
		if !victimTime(at).Before(o.Since) {
			c.Victims++
		}
	}
	c.NotSeen = c.Victims
	if c.Victims == 0 {
		return c, nil
	}
	var path []byte
	var flags int64
	_, err = dirscan.Scan(ctx, dirscan.Options{
		Dir: o.Dir, Recursive: o.Recursive,
		Enter: func(f *dirscan.Folder) {
			var st unix.Statfs_t
			if f.Parent() == nil && unix.Fstatfs(f.FD(), &st) == nil {
				flags = int64(st.Flags)
			}
		},
		Visit: func(e *dirscan.Entry) error {
			path = e.AppendPath(path[:0])
			at, found := v.at[hash(path)]
			if !found || victimTime(at).Before(o.Since) {
				return nil
			}
			c.NotSeen--
			c.judge(times{access: time.Unix(0, e.AtimeNs), write: time.Unix(0, e.MtimeNs), change: time.Unix(0, e.CtimeNs)}, victimTime(at), o.Now, flags)
			return nil
		},
	})
	c.NoAtime = flags&(flagNoAtime|flagReadOnly) != 0
	if err != nil {
		return c, fmt.Errorf("%s %s: %w", of.Kind, of.Policy, err)
	}
	return c, nil
}

func victimTime(seconds uint32) time.Time { return time.Unix(int64(seconds), 0) }

// times are those of a file.
type times struct{ access, write, change time.Time }

// judge counts a file that became a victim at a time.
func (c *Count) judge(t times, at, now time.Time, flags int64) {
	last := t.access
	if t.write.After(last) {
		last = t.write
	}
	switch {
	case last.After(at) && last.Sub(at) <= Day:
		c.Soon++
	case last.After(at):
		c.Later++
	case !t.observed(at, flags):
		c.NotSeen++
	case now.Sub(at) < Day:
		c.Recent++
	default:
		c.NotUsed++
	}
}

// observed reports whether the kernel would have noted a use from at on. With relatime it does where the time
// of access is not newer than that of the last write or change, or a day old (mount(8)).
func (t *times) observed(at time.Time, flags int64) bool {
	switch {
	case flags&(flagNoAtime|flagReadOnly) != 0:
		return false
	case flags&flagRelatime == 0:
		return true
	}
	return !t.access.After(t.write) || !t.access.After(t.change) || at.Sub(t.access) >= Day
}
