package policy

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The values of the keys that choose.
const (
	AgeNewest = "newest" // the newer of mtime and ctime
	AgeMtime  = "mtime"
	AgeAtime  = "atime"
	AgeAll    = "all" // the newest of atime, mtime and ctime

	SizeAllocated = "allocated"
	SizeApparent  = "apparent"

	HitRateNone     = "none"
	HitRateInferred = "inferred"
	HitRateApp      = "app"

	LinksSkip   = "skip"
	LinksRemove = "remove"

	EntryFile = "file"
	EntryDir  = "dir"

	GroupStem = "stem" // of the key group

	LinksIntoKeep   = "keep"
	LinksIntoRemove = "remove"
)

const (
	defaultMinAge  = units.Duration(time.Minute)
	defaultEvictTo = units.Ratio(0.7)
	maxMinAge      = 365 * 24 * time.Hour
)

// IsRecursive reports whether sub-folders belong to the policy.
func (c *Common) IsRecursive() bool { return c.Recursive == nil || *c.Recursive }

// Floor returns the age below which no file is removed.
func (c *Common) Floor() time.Duration {
	if c.MinAge == nil {
		return defaultMinAge.Std()
	}
	return c.MinAge.Std()
}

// AgeNs returns the time, in nanoseconds since 1970, that an entry's age is measured from.
func (c *Common) AgeNs(e *dirscan.Entry) int64 {
	switch c.AgeBy {
	case AgeMtime:
		return e.MtimeNs
	case AgeAtime:
		return max(e.AtimeNs, e.MtimeNs)
	case AgeAll:
		return max(e.AtimeNs, e.NewestNs())
	}
	return e.NewestNs()
}

// Size returns the size that counts against the limits.
func (c *Common) Size(e *dirscan.Entry) int64 {
	if c.SizeBy == SizeApparent {
		return e.SizeBytes
	}
	return e.AllocatedBytes
}

// Verdict is why an entry is due or not.
type Verdict uint8

// The verdicts.
const (
	NotDue  Verdict = iota
	Expired         // older than max_age
	Empty           // empty and older than empty_max_age
	TooYoung
	Future    // its time lies in the future
	Oversized // larger than one file may be
	Surplus   // more than are to be kept
)

// Reason returns the name used in counters and listings.
func (v Verdict) Reason() string {
	return [...]string{"not_due", "expired", "empty", "too_young", "future", "oversized", "over_limit"}[v]
}

// Due reports whether the verdict is to remove.
func (v Verdict) Due() bool { return v == Expired || v == Empty || v == Oversized || v == Surplus }

// futureSlack is how far ahead of the clock a time may be before it is called future: other
// clocks (network filesystems) may be a little ahead.
const futureSlack = 2 * time.Second

// Removable says whether an entry may be removed at all by its age: Expired (here: old enough),
// TooYoung or Future.
func (c *Common) Removable(e *dirscan.Entry, now time.Time) Verdict {
	age := now.UnixNano() - c.AgeNs(e)
	switch {
	case age < -int64(futureSlack):
		return Future
	case age < int64(c.Floor()):
		return TooYoung
	}
	return Expired
}

// Judge says whether a temporary file is to go by age or emptiness.
func (t *Temp) Judge(e *dirscan.Entry, now time.Time) Verdict {
	age := now.UnixNano() - t.AgeNs(e)
	v := NotDue
	switch {
	case t.MaxAge > 0 && age >= int64(t.MaxAge):
		v = Expired
	case e.SizeBytes == 0 && t.EmptyMaxAge > 0 && age >= int64(t.EmptyMaxAge):
		v = Empty
	case age < -int64(futureSlack):
		return Future
	}
	if v.Due() && age < int64(t.Floor()) {
		return TooYoung
	}
	return v
}

// Judge says whether a cache entry has expired.
func (c *Cache) Judge(e *dirscan.Entry, now time.Time) Verdict {
	age := now.UnixNano() - c.AgeNs(e)
	switch {
	case age < -int64(futureSlack):
		return Future
	case c.MaxAge == 0 || age < int64(c.MaxAge):
		return NotDue
	case age < int64(c.Floor()):
		return TooYoung
	}
	return Expired
}

// UsedNs returns when a cache entry was last used, as far as the filesystem knows: the newer of
// atime and mtime, or mtime alone with lru_by: mtime.
func (c *Cache) UsedNs(e *dirscan.Entry) int64 {
	if c.LRUBy == AgeMtime {
		return e.MtimeNs
	}
	return max(e.AtimeNs, e.MtimeNs)
}

// Overlap reports whether two directories share files: one is the other or contains it.
func Overlap(a, b string) bool {
	a, b = filepath.Clean(a), filepath.Clean(b)
	return a == b || inside(a, b) || inside(b, a)
}

func inside(outer, inner string) bool {
	return strings.HasPrefix(inner, strings.TrimSuffix(outer, "/")+"/")
}

// Validate applies the defaults and reports every mistake of a cache policy, with its key and what
// to write instead.
func (c *Cache) Validate(report report.Func) {
	c.validate(report)
	low := units.Ratio(c.Low())
	c.EvictTo = &low
	c.LRUBy, c.HitRate = cmp.Or(c.LRUBy, AgeAtime), cmp.Or(c.HitRate, HitRateNone)
	if c.MaxBytes == 0 && c.MaxEntries == 0 && c.MaxAge == 0 && !c.NeedsFree() {
		report("max_bytes", "no limit is set: write at least one of max_bytes, max_entries, max_age, min_free_bytes and min_free_inodes")
	}
	if c.MinFreeInodes < 0 {
		report("min_free_inodes", "%d is negative: write a number of files, such as 10000", c.MinFreeInodes)
	}
	if c.MaxEntries < 0 {
		report("max_entries", "%d is negative: write a number of files, such as 1000", c.MaxEntries)
	}
	c.needsPath(report, "min_free_bytes", c.MinFreeBytes > 0, "write max_bytes")
	c.needsPath(report, "min_free_inodes", c.MinFreeInodes != 0, "write max_entries")
	c.countsFiles(report, "min_free_inodes", c.MinFreeInodes != 0, "write max_entries")
	c.needsPath(report, "hit_rate", c.HitRate == HitRateInferred, "write hit_rate: app where the service counts its hits, or none")
	if c.EvictTo != nil && (*c.EvictTo <= 0 || *c.EvictTo > 1) {
		report("evict_to", "%s would empty the cache or evict nothing: write a share between 1%% and 100%%, such as 70%%", *c.EvictTo)
	}
	c.checkEmptyDirs(report, c.RemoveEmptyDirs)
	empty := c.EmptyDirs()
	c.RemoveEmptyDirs = &empty
	choose(report, "lru_by", c.LRUBy, AgeAtime, AgeMtime)
	choose(report, "hit_rate", c.HitRate, HitRateApp, HitRateInferred, HitRateNone)
	if c.MinHitRate != nil && (*c.MinHitRate <= 0 || *c.MinHitRate > 1) {
		report("min_hit_rate", "%s is not a share of the requests: write one between 1%% and 100%%, such as 50%%, or remove the key", *c.MinHitRate)
	}
	if c.MinHitRate != nil && c.HitRate != HitRateInferred && c.HitRate != HitRateApp {
		report("min_hit_rate", "nothing counts the hits of this cache: write hit_rate: inferred too, or hit_rate: app where the service counts them")
	}
}

// Validate applies the defaults and reports every mistake of a temp policy, with its key and what to
// write instead.
func (t *Temp) Validate(report report.Func) {
	t.validate(report)
	limited := t.bounds() != bounds{}
	if t.MaxAge == 0 && t.EmptyMaxAge == 0 && !limited {
		report("max_age", "no limit is set: write at least one of max_age, empty_max_age, max_files, max_bytes, min_free_bytes and min_free_inodes")
	}
	if t.MaxFiles < 0 {
		report("max_files", "%d is negative: write a number of files, such as 100", t.MaxFiles)
	}
	if t.MinFreeInodes < 0 {
		report("min_free_inodes", "%d is negative: write a number of files, such as 10000", t.MinFreeInodes)
	}
	t.needsPath(report, "min_free_bytes", t.MinFreeBytes > 0, "write max_bytes")
	t.needsPath(report, "min_free_inodes", t.MinFreeInodes != 0, "write max_files")
	t.countsFiles(report, "min_free_inodes", t.MinFreeInodes != 0, "write max_files")
	switch {
	case t.CleanTo == nil:
		t.CleanTo = new(units.Ratio(t.Low()))
	case *t.CleanTo <= 0 || *t.CleanTo > 1:
		report("clean_to", "%s would empty the folder or remove nothing: write a share between 1%% and 100%%, such as 80%%", *t.CleanTo)
	case !limited:
		report("clean_to", "there is no limit that it could be a share of: write max_files, max_bytes, min_free_bytes or min_free_inodes too, or remove the key")
	}
	t.checkEmptyDirs(report, t.RemoveEmptyDirs)
	empty := t.EmptyDirs()
	t.RemoveEmptyDirs = &empty
}

// checkEmptyDirs refuses to remove empty folders where sub-folders are not the policy's.
func (c *Common) checkEmptyDirs(report report.Func, remove *bool) {
	switch {
	case remove == nil || !*remove:
	case !c.IsRecursive():
		report("remove_empty_dirs", "needs recursive: true, and recursive is false: remove one of the two keys")
	case c.EntriesAreDirs():
		report("remove_empty_dirs", "is for policies of files, and with entry: dir a folder goes as a whole: remove one of the two keys")
	}
}

// applyDefaults writes down what holds for the keys that are not written.
func (c *Common) applyDefaults() {
	recursive, floor := c.IsRecursive(), units.Duration(c.Floor())
	c.Recursive, c.MinAge = &recursive, &floor
	c.entryDefaults()
	c.AgeBy, c.SizeBy, c.Links = cmp.Or(c.AgeBy, AgeNewest), cmp.Or(c.SizeBy, SizeAllocated), cmp.Or(c.Links, LinksSkip)
}

func (c *Common) validate(report report.Func) {
	c.applyDefaults()
	c.checkWhere(report)
	c.checkEntries(report)
	switch {
	case c.Volume != "":
	case c.Dir == "":
		report("dir", "is missing: write the absolute path of the folder")
	case !filepath.IsAbs(c.Dir):
		report("dir", "%q is not absolute: write the whole path from /", c.Dir)
	case filepath.Clean(c.Dir) != c.Dir:
		report("dir", "%q is not clean: write %q", c.Dir, filepath.Clean(c.Dir))
	}
	if len(c.Include) == 0 {
		report("include", "is missing: write globs on the file names that may be removed, such as ['*.tmp'], or ['*'] for all")
	}
	c.checkGlobs(report, "include", c.Include)
	c.checkGlobs(report, "keep", c.Keep)
	c.checkExclude(report)
	c.checkOwners(report)
	choose(report, "age_by", c.AgeBy, AgeNewest, AgeMtime, AgeAtime, AgeAll)
	choose(report, "size_by", c.SizeBy, SizeAllocated, SizeApparent)
	choose(report, "links", c.Links, LinksSkip, LinksRemove)
	if c.MinAge != nil && c.MinAge.Std() > maxMinAge {
		report("min_age", "%s is over a year: write a shorter age, such as 60s", *c.MinAge)
	}
	if c.MaxRemoveFraction != nil && *c.MaxRemoveFraction <= 0 {
		report("max_remove_fraction", "%s would stop every run: write a share such as 50%%, or remove the key", *c.MaxRemoveFraction)
	}
}

func choose(report report.Func, key, value string, choices ...string) {
	if value == "" || slices.Contains(choices, value) {
		return
	}
	report(key, "%q is not known: write %s", value, strings.Join(choices, " or "))
}
