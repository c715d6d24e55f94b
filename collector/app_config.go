package collector

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// maxAppNames bounds the series of one service's own values.
const maxAppNames = 50

var appNameForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// AppConfig is the yaml key `app` of a target: what the service itself reports.
type AppConfig struct {
	fetch.Endpoint `yaml:",inline"`
	Interval       units.Duration    `yaml:"interval"` // how often it is asked; without it each sample_interval
	Format         string            `yaml:"format"`   // form of the service's document
	Cache          string            `yaml:"cache"`    // label of the cache that the cache_ values are of; without it the target's only cache, else app
	Units          string            `yaml:"units"`    // json: binary where the service's 512MB is 512 x 1024 x 1024 bytes, decimal where it is 512 x 1000 x 1000
	Map            map[string]string `yaml:"map"`      // our name: where the value stands, a gjson path or a metric
}

// The bounds of how often a service is asked.
const (
	minServiceInterval = time.Second
	maxServiceInterval = 5 * time.Minute
)

// checkInterval reports an interval at which a service would be asked too often, or hardly at all.
func checkInterval(d units.Duration, report report.Func) {
	if d != 0 && (d.Std() < minServiceInterval || d.Std() > maxServiceInterval) {
		report("interval", "%s is out of range: write %s to %s", d, minServiceInterval, units.Duration(maxServiceInterval))
	}
}

// CountsHits reports whether the service reports the hits of a cache.
func (c *AppConfig) CountsHits(cache string) bool {
	return c != nil && c.Cache == cache && (c.has(appHits) || c.has(appHitRatio))
}

// Validate applies the defaults and reports every mistake. caches are the names of the target's
// file caches, which the exporter counts by itself.
func (c *AppConfig) Validate(caches []string, report report.Func) {
	c.Endpoint.Validate(report)
	checkInterval(c.Interval, report)
	if c.Format == "" {
		c.Format = fetch.JSON
	}
	if c.Format != fetch.JSON && c.Format != fetch.Prometheus {
		report("format", "%q is not a format: write %s or %s", c.Format, fetch.JSON, fetch.Prometheus)
		return
	}
	fetch.CheckUnits(c.Format, &c.Units, report)
	c.checkMap(report)
	c.checkCache(caches, report)
}

func (c *AppConfig) checkMap(report report.Func) {
	if len(c.Map) == 0 {
		report("map", "is missing: write where the values stand, such as {cache_hits: cache.hits, cache_misses: cache.misses}")
	}
	if len(c.Map) > maxAppNames {
		report("map", "%d values are too many: write at most %d", len(c.Map), maxAppNames)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Map)) {
		key := "map." + name
		switch {
		case !appNameForm.MatchString(name):
			report(key, "%q is not a name: write 1 to 63 small letters, digits or '_', beginning with a letter; one that ends in _total is a counter", name)
		case strings.HasPrefix(name, "cache_") && !slices.Contains([]string{appHits, appMisses, appHitRatio, appEntries, appBytes}, name):
			report(key, "is not a value of a cache: write %s, %s, %s, %s, %s, or a name that does not begin with cache_", appHits, appMisses, appHitRatio, appEntries, appBytes)
		}
		if err := fetch.CheckPath(c.Format, c.Map[name]); err != nil {
			report(key, "%v", err)
		}
	}
	if c.has(appHitRatio) && (c.has(appHits) || c.has(appMisses)) {
		report("map."+appHitRatio, "is computed from %s and %s: remove it, or those", appHits, appMisses)
	} else if c.has(appHits) != c.has(appMisses) {
		report("map", "a ratio needs both %s and %s: write the other one too", appHits, appMisses)
	}
}

func (c *AppConfig) has(name string) bool { return c.Map[name] != "" }

// checkCache finds the cache that the values are of: the one that is named, else the target's only
// one, else "app".
func (c *AppConfig) checkCache(caches []string, report report.Func) {
	named := c.Cache != ""
	switch {
	case named && !appCacheForm.MatchString(c.Cache):
		report("cache", "%q is not a name: write letters, digits, '_', '.' or '-'", c.Cache)
		return
	case !named && len(caches) > 1 && (c.has(appHits) || c.has(appHitRatio)):
		report("cache", "is missing: write which cache the hits are of: %s", strings.Join(caches, ", "))
	case !named && len(caches) == 1 && !c.has(appEntries) && !c.has(appBytes):
		c.Cache = caches[0]
	case !named:
		c.Cache = "app"
	}
	for _, name := range []string{appEntries, appBytes} {
		if c.has(name) && slices.Contains(caches, c.Cache) {
			report("map."+name, "the files of the cache %q are counted already: remove it, or write cache: with a name of its own", c.Cache)
		}
	}
}

var appCacheForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// wants returns the values to read, in a stable order.
func (c *AppConfig) wants() []fetch.Want {
	out := make([]fetch.Want, 0, len(c.Map))
	for _, name := range slices.Sorted(maps.Keys(c.Map)) {
		kind := fetch.Any
		switch {
		case name == appHitRatio:
			kind = fetch.Share
		case name == appBytes:
			kind = fetch.Size
		case strings.HasPrefix(name, "cache_"), isCounter(name):
			kind = fetch.Count
		}
		out = append(out, fetch.Want{Name: name, Path: c.Map[name], Kind: kind, Units: c.Units})
	}
	return out
}

func isCounter(name string) bool { return strings.HasSuffix(name, "_total") }
