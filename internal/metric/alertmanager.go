package metric

// The Alertmanagers that are polled because they cannot call this host, and those that alerts are sent to.
var (
	AlertmanagerRequests    = &Own{"spillway_alertmanager_requests_total", "Requests to the polled Alertmanagers, by outcome: ok, error.", Counter, []string{"outcome"}}
	AlertmanagerUp          = &Own{"spillway_alertmanager_up", "Whether the last poll of an Alertmanager was answered.", Gauge, []string{"address"}}
	AlertmanagerAlerts      = &Own{"spillway_alertmanager_alerts", "Alerts for this exporter that were firing at the last poll.", Gauge, nil}
	AlertmanagerLastSuccess = &Own{"spillway_alertmanager_last_success_timestamp_seconds", "Unix time of the last poll that any Alertmanager answered.", Gauge, nil}
	AlertmanagerPushed      = &Own{"spillway_alertmanager_pushed_alerts_total", "Alerts sent to an Alertmanager of alertmanager.push, including repeats, by outcome: sent, failed (they are sent again), dropped.", Counter, []string{"address", "outcome"}}
	AlertmanagerPushUp      = &Own{"spillway_alertmanager_push_up", "Whether an Alertmanager of alertmanager.push took what was last sent to it; it is asked at least once a minute.", Gauge, []string{"address"}}
)

var alertmanagerOwns = []*Own{
	AlertmanagerRequests, AlertmanagerUp, AlertmanagerAlerts, AlertmanagerLastSuccess,
	AlertmanagerPushed, AlertmanagerPushUp,
}
