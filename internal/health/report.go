package health

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
	"github.com/spillway-exporter/spillway_exporter/internal/verdict"
)

// Report is the JSON of /health/memory for one target: the form that operators of the first
// service have always read, and alongside it the numbers in base units. What is not known is left
// out. docs/health.schema.json is its schema.
type Report struct {
	Memory          MemoryReport     `json:"memory"`
	Cache           *CacheReport     `json:"cache,omitempty"`
	Recommendations []Recommendation `json:"recommendations"`
	Verdicts        []Verdict        `json:"verdicts,omitempty"`
	Outlook         *Outlook         `json:"outlook,omitempty"`
	Raw             Raw              `json:"raw"`
	Target          string           `json:"target"`
	Timestamp       string           `json:"timestamp,omitempty"` // RFC 3339, of the newest value
}

// Verdict says what makes a target grow, or that it is not known yet.
type Verdict struct {
	State   verdict.State      `json:"state"`
	About   string             `json:"about"`
	Text    string             `json:"text"`
	Since   string             `json:"since"` // RFC 3339
	Numbers map[string]float64 `json:"numbers"`
}

// MemoryReport is the memory of a target, for people.
type MemoryReport struct {
	RSS        string `json:"rss,omitempty"`        // "512MB"
	HeapUsed   string `json:"heapUsed,omitempty"`   // "256MB"
	Percentage string `json:"percentage,omitempty"` // "45.2%" of the limit
	Level      string `json:"level,omitempty"`      // normal, warning, critical, emergency
}

// CacheReport is the sum of a target's caches, for people.
type CacheReport struct {
	Entries *int64 `json:"entries,omitempty"`
	Size    string `json:"size,omitempty"`
	HitRate string `json:"hitRate,omitempty"` // "87%"
}

// Raw are the numbers in base units.
type Raw struct {
	Processes      *float64 `json:"processes,omitempty"`
	ResidentBytes  *float64 `json:"resident_bytes,omitempty"`
	UsedBytes      *float64 `json:"used_bytes,omitempty"`
	LimitBytes     *float64 `json:"limit_bytes,omitempty"`
	UsedRatio      *float64 `json:"used_ratio,omitempty"`
	LevelNumber    *int     `json:"level,omitempty"`
	GrowthPerSec   *float64 `json:"growth_bytes_per_second,omitempty"`
	ExhaustionSecs *float64 `json:"exhaustion_seconds,omitempty"` // absent when not growing
	GrowthSure     *float64 `json:"growth_confidence,omitempty"`
	HeapUsedBytes  *float64 `json:"heap_used_bytes,omitempty"`
	HeapLimitBytes *float64 `json:"heap_limit_bytes,omitempty"`
	CacheEntries   *float64 `json:"cache_entries,omitempty"`
	CacheSizeBytes *float64 `json:"cache_size_bytes,omitempty"`
	CacheHitRatio  *float64 `json:"cache_hit_ratio,omitempty"`
	TempFiles      *float64 `json:"temp_files,omitempty"`
	TempSizeBytes  *float64 `json:"temp_size_bytes,omitempty"`
}

// Report returns the report of a target.
func (t *Target) Report() Report {
	r := Report{
		Target: t.Name, Recommendations: t.Recommendations, Outlook: t.Outlook,
		Raw: Raw{
			Processes: finite(t.Processes), ResidentBytes: finite(t.ResidentBytes), UsedBytes: finite(t.UsedBytes), LimitBytes: finite(t.LimitBytes),
			UsedRatio: finite(t.UsedRatio), GrowthPerSec: finite(t.GrowthPerSec), ExhaustionSecs: finite(t.ExhaustionSecs), GrowthSure: finite(t.GrowthSure),
		},
	}
	for i := range t.Verdicts {
		v := &t.Verdicts[i]
		r.Verdicts = append(r.Verdicts, Verdict{v.State, v.About, v.Text, v.Since.UTC().Format(time.RFC3339), v.Numbers})
	}
	if !t.Newest.IsZero() {
		r.Timestamp = t.Newest.UTC().Format(time.RFC3339)
	}
	r.Memory.RSS = short(t.ResidentBytes)
	if t.ResidentBytes == nil {
		r.Memory.RSS = short(t.UsedBytes) // of the host: there is no sum of RSS
	}
	if ratio, ok := known(t.UsedRatio); ok {
		r.Memory.Percentage = Percent(ratio)
	}
	if t.Level != nil {
		r.Memory.Level = t.Level.String()
		n := int(*t.Level)
		r.Raw.LevelNumber = &n
	}
	for i := range t.Heaps {
		r.Raw.HeapUsedBytes = add(r.Raw.HeapUsedBytes, t.Heaps[i].UsedBytes)
		r.Raw.HeapLimitBytes = add(r.Raw.HeapLimitBytes, t.Heaps[i].LimitBytes)
	}
	r.Memory.HeapUsed = short(r.Raw.HeapUsedBytes)
	t.reportCaches(&r)
	for i := range t.Temps {
		r.Raw.TempFiles = add(r.Raw.TempFiles, t.Temps[i].Files)
		r.Raw.TempSizeBytes = add(r.Raw.TempSizeBytes, t.Temps[i].SizeBytes)
	}
	return r
}

func (t *Target) reportCaches(r *Report) {
	folders := slices.ContainsFunc(t.Caches, func(c Cache) bool { return c.isFolder() })
	for i := range t.Caches {
		c := &t.Caches[i]
		if folders && !c.isFolder() { // the service counts the same once more
			continue
		}
		r.Raw.CacheEntries = add(r.Raw.CacheEntries, c.Entries)
		r.Raw.CacheSizeBytes = add(r.Raw.CacheSizeBytes, c.SizeBytes)
	}
	r.Raw.CacheHitRatio = t.hitRatio()
	if len(t.Caches) == 0 {
		return
	}
	r.Cache = &CacheReport{Size: short(r.Raw.CacheSizeBytes)}
	if n, ok := known(r.Raw.CacheEntries); ok {
		entries := int64(n)
		r.Cache.Entries = &entries
	}
	if hit, ok := known(r.Raw.CacheHitRatio); ok {
		percent := math.Round(hit * 100)
		if hit < 1 {
			percent = min(percent, 99)
		}
		r.Cache.HitRate = strconv.FormatFloat(percent, 'f', 0, 64) + "%"
	}
}

// isFolder reports whether a cache is a folder that is scanned, in contrast to what a service says of one.
func (c *Cache) isFolder() bool {
	return c.DiskBytes != nil || c.MaxEntries != nil || c.MaxBytes != nil || c.MaxAgeSeconds != nil
}

// hitRatio returns the hit ratio of the one cache that has one, that which the service counts before
// one that is inferred. The shares of several caches have no sum: what they are shares of is not here.
func (t *Target) hitRatio() *float64 {
	var found [2]*float64 // inferred, counted by the service
	var several [2]bool
	for i := range t.Caches {
		c := &t.Caches[i]
		ratio, by := finite(c.HitRatio), 0
		if ratio == nil {
			continue
		}
		if c.hitsByApp {
			by = 1
		}
		found[by], several[by] = ratio, found[by] != nil
	}
	for by := len(found) - 1; by >= 0; by-- {
		switch {
		case several[by]:
			return nil
		case found[by] != nil:
			return found[by]
		}
	}
	return nil
}

// Percent writes a ratio with one decimal: "45.2%". What is less than all is not 100.0%.
func Percent(ratio float64) string {
	percent := ratio * 100
	if ratio < 1 {
		percent = min(percent, 99.9)
	}
	return strconv.FormatFloat(percent, 'f', 1, 64) + "%"
}

func short(p *float64) string {
	v, ok := known(p)
	if !ok {
		return ""
	}
	return units.Bytes(v).Legacy()
}

// finite leaves out what JSON has no number for.
func finite(p *float64) *float64 {
	if p == nil || math.IsInf(*p, 0) || math.IsNaN(*p) {
		return nil
	}
	return p
}

// add sums what is known; a sum of nothing is not known, and neither is what JSON has no number for.
func add(sum, v *float64) *float64 {
	n, ok := known(finite(v))
	if !ok {
		return sum
	}
	if sum != nil {
		n += *sum
	}
	return &n
}
