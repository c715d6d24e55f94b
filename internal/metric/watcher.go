package metric

// The watchers, which are notified when a level changes.
var (
	WatcherNotifications = &Own{"spillway_watcher_notifications_total", "Level changes delivered to watchers, by outcome.", Counter, []string{"kind", "outcome"}}
	WatcherSuperseded    = &Own{"spillway_watcher_superseded_total", "Level changes dropped because a newer one superseded them.", Counter, nil}
)

var watcherOwns = []*Own{
	WatcherNotifications, WatcherSuperseded,
}
