package app

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const statusEvery = time.Minute

// statusLog writes the state of every target each minute, as the log of the first service did.
func (a *App) statusLog(ctx context.Context) {
	t := time.NewTicker(statusEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			a.logStatus()
		}
	}
}

func (a *App) logStatus() {
	cfg := a.graph.Load().cfg
	for _, t := range health.Targets(a.parts.store.Snapshot(nil)) {
		level := slog.LevelDebug // groups that discovery shows
		if t.Name == collector.HostTarget || slices.ContainsFunc(cfg.Targets, func(c config.Target) bool { return c.Name == t.Name }) {
			level = slog.LevelInfo
		}
		if t.Level != nil && *t.Level >= series.LevelWarning {
			level = slog.LevelWarn
		}
		a.logTarget(level, &t)
	}
}

func (a *App) logTarget(level slog.Level, t *health.Target) {
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
		a.logger.Log(context.Background(), level, "memory status", attrs...)
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
		a.logger.Log(context.Background(), level, "cache status", attrs...)
	}
	for i := range t.Temps {
		if d := &t.Temps[i]; d.Files != nil && t.Name != collector.HostTarget {
			a.logger.Log(context.Background(), level, "temp status", "target", t.Name, "dir", d.Name, "files", int64(*d.Files))
		}
	}
}
