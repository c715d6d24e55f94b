package metric

// The polling of Alertmanagers that cannot call this host.
var (
	AlertmanagerRequests    = &Own{"spillway_alertmanager_requests_total", "Requests to the polled Alertmanagers, by outcome: ok, error.", Counter, []string{"outcome"}}
	AlertmanagerUp          = &Own{"spillway_alertmanager_up", "Whether the last poll of an Alertmanager was answered.", Gauge, []string{"address"}}
	AlertmanagerAlerts      = &Own{"spillway_alertmanager_alerts", "Alerts for this exporter that were firing at the last poll.", Gauge, nil}
	AlertmanagerLastSuccess = &Own{"spillway_alertmanager_last_success_timestamp_seconds", "Unix time of the last poll that any Alertmanager answered.", Gauge, nil}
)

var alertmanagerOwns = []*Own{
	AlertmanagerRequests, AlertmanagerUp, AlertmanagerAlerts, AlertmanagerLastSuccess,
}
