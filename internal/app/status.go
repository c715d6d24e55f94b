package app

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
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
		t.Log(a.logger, level, t.Name != collector.HostTarget)
	}
}
