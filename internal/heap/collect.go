package heap

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The ways to ask for a collection.
const (
	CollectGentle   = "gentle"   // the shortest pause that the runtime offers for a full collection
	CollectThorough = "thorough" // node_inspector: the heap profiler's, which goes over the heap several times
	CollectOff      = "off"      // never: the heap is read only
)

// The defaults of Collect.
const (
	defaultCollectCooldown = 15 * time.Minute
	defaultCollectMaxHeap  = units.Bytes(4 << 30)
)

// Collect is the yaml key `heap.collect`: when the action collect_garbage may ask the runtime for
// a full collection, which pauses the service.
type Collect struct {
	Mode     string         `yaml:"mode"`      // gentle has the shortest pause, thorough (node_inspector only) goes over the heap several times, off never asks
	MinLevel string         `yaml:"min_level"` // lowest level of a run that may ask
	Cooldown units.Duration `yaml:"cooldown"`  // between two collections
	MaxHeap  units.Bytes    `yaml:"max_heap"`  // a heap that uses more is not collected, since its pause would be long
}

func (c *Collect) validate(provider string, report report.Func) {
	if c.Mode == "" {
		c.Mode = CollectGentle
	}
	switch {
	case c.Mode == CollectThorough && provider != ProviderNode:
		report("collect.mode", "%s is for %s: write %s or %s", CollectThorough, ProviderNode, CollectGentle, CollectOff)
	case c.Mode != CollectGentle && c.Mode != CollectThorough && c.Mode != CollectOff:
		report("collect.mode", "%q is not a way to collect: write %s, %s or %s", c.Mode, CollectGentle, CollectThorough, CollectOff)
	}
	if c.MinLevel == "" {
		c.MinLevel = series.LevelCritical.String()
	}
	if level, ok := series.ParseLevel(c.MinLevel); !ok || level == series.LevelNormal {
		report("collect.min_level", "%q is not a level: write warning, critical or emergency", c.MinLevel)
	}
	if c.Cooldown == 0 {
		c.Cooldown = units.Duration(defaultCollectCooldown)
	}
	if c.Cooldown.Std() < time.Minute || c.Cooldown.Std() > 7*24*time.Hour {
		report("collect.cooldown", "%s is out of range: write 1m to 7d", c.Cooldown)
	}
	if c.MaxHeap == 0 {
		c.MaxHeap = defaultCollectMaxHeap
	}
	if c.MaxHeap < 1<<20 {
		report("collect.max_heap", "%s is too small to be a heap: write a size of 1MiB or more, such as 4GiB", c.MaxHeap)
	}
}

// Levels returns the levels at which a collection may be asked for.
func (c *Collect) Levels() []series.Level {
	from, _ := series.ParseLevel(c.MinLevel)
	var out []series.Level
	for l := max(from, series.LevelWarning); l <= series.LevelEmergency; l++ {
		out = append(out, l)
	}
	return out
}
