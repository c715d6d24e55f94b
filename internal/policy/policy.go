// Package policy holds what an operator allows for one directory: which names, which limits,
// which ages, and the pure decisions that follow from them. Observing and acting share it, so
// that what a metric or a dry run announces is what a real run removes.
package policy

import "github.com/spillway-exporter/spillway_exporter/internal/units"

// Common are the keys that every directory policy has.
type Common struct {
	Name      string   `yaml:"name"`      // label value; unique within the target and kind
	Dir       string   `yaml:"dir"`       // absolute path of the root
	Include   []string `yaml:"include"`   // globs on the file name; required
	Keep      []string `yaml:"keep"`      // globs of names never touched and never counted
	Recursive *bool    `yaml:"recursive"` // default true

	AgeBy  string          `yaml:"age_by"`  // newest (default: the newer of mtime and ctime) | mtime | atime
	MinAge *units.Duration `yaml:"min_age"` // files younger than this are never removed; default 60s

	SizeBy            string       `yaml:"size_by"`             // allocated (default) | apparent
	Links             string       `yaml:"links"`               // skip (default) | remove
	Strict            bool         `yaml:"strict"`              // rename into a private quarantine before removing
	MaxRemoveFraction *units.Ratio `yaml:"max_remove_fraction"` // a run that would remove more stops first; off when absent
}

// Cache is the policy of a file cache.
type Cache struct {
	Common     `yaml:",inline"`
	MaxBytes   units.Bytes    `yaml:"max_bytes"`   // 0 = no limit
	MaxEntries int64          `yaml:"max_entries"` // 0 = no limit
	MaxAge     units.Duration `yaml:"max_age"`     // 0 = no limit

	// What must stay free on the cache's file system: the cache gives way to it whatever its own
	// limits are. 0 = does not matter.
	MinFreeBytes  units.Bytes `yaml:"min_free_bytes"`
	MinFreeInodes int64       `yaml:"min_free_inodes"`

	EvictTo    *units.Ratio `yaml:"evict_to"`     // share of the limits to evict down to; default 70%
	LRUBy      string       `yaml:"lru_by"`       // atime (default: the newer of atime and mtime) | mtime
	HitRate    string       `yaml:"hit_rate"`     // none (default) | inferred, from the opens of the files | app, by the key app of the target
	MinHitRate *units.Ratio `yaml:"min_hit_rate"` // below it the cache hardly helps: SpillwayCacheHitRatioLow; nil = no alert
}

// Temp is the policy of a folder of temporary files.
type Temp struct {
	Common      `yaml:",inline"`
	MaxAge      units.Duration `yaml:"max_age"`       // 0 = no limit
	EmptyMaxAge units.Duration `yaml:"empty_max_age"` // age at which an empty file goes; 0 = as max_age
	MaxFiles    int64          `yaml:"max_files"`     // 0 = no limit; the oldest beyond it go
	Every       units.Duration `yaml:"every"`         // also run on this schedule; 0 = only when asked
}

// CommonKeys returns the keys that every policy has.
func (c *Common) CommonKeys() *Common { return c }
