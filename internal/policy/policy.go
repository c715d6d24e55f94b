package policy

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Common are the keys that every directory policy has.
type Common struct {
	// Value of the label cache or dir; unique within the target and kind.
	Name string `yaml:"name"`
	// Absolute path of the root; it may appear later. Refused: `/`, system and home directories, paths through links.
	Dir string `yaml:"dir"`
	// The folder is named as the target's container has it.
	InContainer bool `yaml:"in_container"`
	// The folder is named as the target's oldest process has it, such as its own `/tmp` with `PrivateTmp=` of systemd.
	TargetRoot bool `yaml:"target_root"`
	// The name of a volume of the target's pod, in place of `dir`.
	Volume string `yaml:"volume"`
	// Globs on the file name, such as `['*.wav', '*.mp3']`; of uploads every name when it is not written. A dot at the beginning of a name has to be written: `.*`.
	Include []string `yaml:"include"`
	// Globs of names that are never touched and never counted.
	Keep []string `yaml:"keep"`
	// Globs on paths below the folder, such as `['models/', 'streams/**/*.mp4']`: never touched, never counted, and an excluded folder is not walked. As in .gitignore, `**` is any number of folders, and a glob without a slash holds at any depth (`./x`: in the folder itself).
	Exclude []string `yaml:"exclude"`
	// Sub-folders too; never another mount, never a link.
	Recursive *bool `yaml:"recursive"`

	// What an age is measured from; newest is the newer of mtime and ctime, so that a file just moved in is young, and all the newest of the three times.
	AgeBy string `yaml:"age_by"`
	// Files younger than this are never removed.
	MinAge *units.Duration `yaml:"min_age"`

	// What counts as the size of a file: its blocks on the disk, or its length.
	SizeBy string `yaml:"size_by"`
	// Users, by name or number, whose files may go as well as those of the folder's owner. Without the key, where this
	// exporter has root's rights, files of anybody else stay; else the kernel decides.
	Owner []string `yaml:"owner"`
	// What goes as one: a file, or a directory with all that is in it. With dir, `include` and `keep` are on the names of the directories.
	Entry string `yaml:"entry"`
	// With `entry: dir`: how many levels below `dir` the entries are, 1 when it is not written. What lies above stays.
	Depth int `yaml:"depth"`
	// Files of one folder that go together: with `stem` those with the same name up to the first dot; with a regular
	// expression on the whole name, such as `(.+)\.part\d+`, those with the same text in its one group.
	Group string `yaml:"group"`
	// This many of the newest entries never go.
	KeepNewest int64 `yaml:"keep_newest"`
	// Symbolic links in the folder that point to an entry: with keep the entry stays, with remove the links go with it.
	// With `entry: dir` and `group` the default is keep; otherwise, without the key, links are not looked at.
	LinksInto string `yaml:"links_into"`
	// LinkRoot is the folder as absolute links in it name it, where this process has it under another path; else Dir is.
	LinkRoot string `yaml:"-"`

	// What is done with a file that has a name elsewhere, as a hard link: it stays, or its names here are removed, which frees nothing. One whose names are all the policy's counts once, and they go together.
	Links string `yaml:"links"`
	// Move a file into a private folder and look again before removing it.
	Strict bool `yaml:"strict"`
	// A run that would remove a larger share of the files stops before the first; `--force` overrides. Else there is no such limit.
	MaxRemoveFraction *units.Ratio `yaml:"max_remove_fraction"`
}

// Cache is the policy of a file cache.
type Cache struct {
	Common `yaml:",inline"`

	// Above it the least recently used entries go.
	MaxBytes units.Bytes `yaml:"max_bytes"`
	// Above it empty entries go first, and then the least recently used.
	MaxEntries int64 `yaml:"max_entries"`
	// Entries older than this go.
	MaxAge units.Duration `yaml:"max_age"`

	// What must stay free on the cache's file system; below it entries are evicted, even if the cache is within its own limits.
	MinFreeBytes units.Bytes `yaml:"min_free_bytes"`
	// How many files more must fit on the cache's file system; below it entries are evicted.
	MinFreeInodes int64 `yaml:"min_free_inodes"`

	// The share of the limits that an eviction goes down to.
	EvictTo *units.Ratio `yaml:"evict_to"`
	// What decides which was used least recently: atime is the newer of atime and mtime.
	LRUBy string `yaml:"lru_by"`
	// With inferred: hits and misses from the opens of the files, and a better order for evictions. With app: those that the target's key app reads.
	HitRate string `yaml:"hit_rate"`
	// Below this share SpillwayCacheHitRatioLow fires; needs a hit_rate.
	MinHitRate *units.Ratio `yaml:"min_hit_rate"`

	// Remove empty folders too, those older than `min_age`, from the bottom up; by default with `min_free_inodes`.
	RemoveEmptyDirs *bool `yaml:"remove_empty_dirs"`

	Every units.Duration `yaml:"every"` // also trim on this schedule, without an alert, when a limit is exceeded
}

// Schedule returns how often the cache is trimmed without an alert.
func (c *Cache) Schedule() time.Duration { return c.Every.Std() }

// EmptyDirs reports whether empty folders go.
func (c *Cache) EmptyDirs() bool {
	if c.RemoveEmptyDirs == nil {
		return c.IsRecursive() && c.MinFreeInodes > 0
	}
	return c.IsRecursive() && !c.EntriesAreDirs() && *c.RemoveEmptyDirs
}

// Temp is the policy of a folder of temporary files.
type Temp struct {
	Common `yaml:",inline"`

	MaxAge      units.Duration `yaml:"max_age"`       // files older than this go
	EmptyMaxAge units.Duration `yaml:"empty_max_age"` // empty files older than this go; else as max_age
	MaxFiles    int64          `yaml:"max_files"`     // beyond this number empty files go first, and then the oldest
	MaxBytes    units.Bytes    `yaml:"max_bytes"`     // beyond this size the oldest files go

	// What must stay free on the folder's file system; below it the oldest files go, whatever the other limits are.
	MinFreeBytes units.Bytes `yaml:"min_free_bytes"`
	// How many files more must fit on the folder's file system; below it empty files go first, and then the oldest.
	MinFreeInodes int64 `yaml:"min_free_inodes"`

	// The share of the limits that a clean-up goes down to once one of them is exceeded.
	CleanTo *units.Ratio `yaml:"clean_to"`

	Every units.Duration `yaml:"every"` // also clean on this schedule, without an alert

	// Remove empty folders too, those older than `min_age`, from the bottom up; by default where the policy is recursive.
	RemoveEmptyDirs *bool `yaml:"remove_empty_dirs"`
}

// EmptyDirs reports whether empty folders go.
func (t *Temp) EmptyDirs() bool {
	return t.IsRecursive() && !t.EntriesAreDirs() && (t.RemoveEmptyDirs == nil || *t.RemoveEmptyDirs)
}

// Schedule returns how often the folder is cleaned without an alert.
func (t *Temp) Schedule() time.Duration { return t.Every.Std() }
