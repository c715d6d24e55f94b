package app

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/sdnotify"
)

// aliveSweeps is how many intervals may pass without a sweep of the processes before the watchdog
// is no longer fed; as in the health report, less is a hiccup.
const aliveSweeps = 3

// manager is the service manager as the exporter sees it, and the heartbeat sent to it.
type manager struct {
	*sdnotify.Notifier
	swept atomic.Pointer[time.Time] // the last sweep of the processes
}

// openManager finds the service manager that started the process, if one did.
func (a *App) openManager() error {
	n, err := sdnotify.New(os.Getenv)
	if err != nil {
		return fmt.Errorf("the environment of the service manager: %w", err)
	}
	a.manager.Notifier = n
	a.beat()
	return nil
}

// beat notes a sweep of the processes.
func (a *App) beat() {
	now := a.opts.Now()
	a.manager.swept.Store(&now)
}

// tell logs that the service manager could not be notified; the exporter goes on without it.
func (a *App) tell(err error) {
	if err != nil {
		a.logger.Warn("the service manager could not be notified", "err", err)
	}
}

// serveManager notifies the service manager that the start has ended and feeds its watchdog.
func (a *App) serveManager(ctx context.Context) {
	a.tasks.Go(func() {
		select {
		case <-a.graph.Load().sampler.Ready():
		case <-time.After(firstSweep): // a huge folder: the rest is served meanwhile
		case <-ctx.Done():
			return
		}
		a.tellReady()
	})
	if every := a.manager.Watchdog() / 3; every > 0 {
		a.tasks.Go(func() { a.feedWatchdog(ctx, every) })
	}
}

// tellReady says that the start or a reload has ended, and how.
func (a *App) tellReady() {
	status := fmt.Sprintf("%d targets, %s", len(a.graph.Load().cfg.Targets), a.URL())
	if text := *a.reloadText.Load(); text != "" {
		status = "the configuration was not loaded, the old one still runs: " + text
	}
	a.tell(a.manager.Ready(status))
}

// feedWatchdog says that the process is alive for as long as it observes: a process that answers
// and no longer samples is of no use, and is better started anew.
func (a *App) feedWatchdog(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if a.alive() {
			a.tell(a.manager.Alive())
		} else {
			a.logger.Error("no sweep of the processes has ended in time: the watchdog is not fed", "last", *a.manager.swept.Load())
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// alive reports whether the last sweep of the processes is recent.
func (a *App) alive() bool {
	limit := aliveSweeps*a.graph.Load().cfg.SampleInterval.Std() + sweepTimeout
	return a.opts.Now().Sub(*a.manager.swept.Load()) < limit
}
