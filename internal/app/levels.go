package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/watch"
	"github.com/spillway-exporter/spillway_exporter/internal/web"
)

// observeLevels hands the levels of the last sweep to the watchers.
func (a *App) observeLevels() {
	if g := a.graph.Load(); g == nil || len(g.cfg.Watchers) == 0 {
		return
	}
	var levels []watch.Level
	for _, s := range a.parts.store.Snapshot(nil) {
		if s.Desc == metric.MemoryLevel {
			levels = append(levels, watch.Level{Target: s.Values[0], Level: series.Level(s.Value)})
		}
	}
	a.watchers.Observe(levels)
}

// reportOf is the health report that a watcher posts.
func (a *App) reportOf(target string) ([]byte, error) {
	targets := health.Targets(a.parts.store.Snapshot(nil))
	for i := range targets {
		if targets[i].Name == target {
			targets[i].Warn(web.Firing(a.Alerts(), func(of string) bool { return of == target }))
			return json.Marshal(targets[i].Report())
		}
	}
	return nil, errors.New("it is observed no more")
}

// runWatcher runs a watcher's command as any other action: in the mode of the target, recorded
// first, one at a time for each target.
func (a *App) runWatcher(ctx context.Context, i int, c watch.Config, change watch.Change) error {
	_, err := a.dispatcher.RunNow(ctx, dispatch.ManualRequest{
		Target: change.Target, Playbook: fmt.Sprintf("watcher_%d_%s", i, change.To), Trigger: alert.TriggerWatch, Level: change.To,
		Steps: []dispatch.Step{{Do: action.NameCommand, Timeout: c.Timeout, With: c.Settings()}},
	})
	return err
}
