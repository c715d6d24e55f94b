package health

import (
	"context"
	"log/slog"
	"math"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Log writes the state of a target as one line each for its memory, its caches and, with folders, its temp folders.
func (t *Target) Log(logger *slog.Logger, level slog.Level, folders bool) {
	report := t.Report()
	attrs := []any{"target", t.Name}
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, key, value)
		}
	}
	add("used", report.Memory.Percentage)
	size := func(key string, v *float64) {
		if v != nil && !math.IsNaN(*v) {
			add(key, units.Bytes(*v).String())
		}
	}
	resident := t.ResidentBytes
	if resident == nil {
		resident = t.UsedBytes // of the host
	}
	size("rss", resident)
	size("limit", t.LimitBytes)
	size("heap", report.Raw.HeapUsedBytes)
	add("level", report.Memory.Level)
	if len(attrs) > 2 {
		logger.Log(context.Background(), level, "memory status", attrs...)
	}
	for i := range t.Caches {
		c := &t.Caches[i]
		attrs := []any{"target", t.Name, "cache", c.Name}
		none := len(attrs)
		if c.Entries != nil {
			attrs = append(attrs, "entries", int64(*c.Entries))
		}
		if c.SizeBytes != nil {
			attrs = append(attrs, "size", units.Bytes(*c.SizeBytes).String())
		}
		if c.HitRatio != nil && !math.IsNaN(*c.HitRatio) {
			attrs = append(attrs, "hit_rate", units.Ratio(*c.HitRatio).String())
		}
		if len(attrs) == none {
			continue
		}
		logger.Log(context.Background(), level, "cache status", attrs...)
	}
	for i := range t.Temps {
		if d := &t.Temps[i]; d.Files != nil && folders {
			logger.Log(context.Background(), level, "temp status", "target", t.Name, "dir", d.Name, "files", int64(*d.Files))
		}
	}
}
