package metric

// Prefix is how the name of every metric of the exporter begins, and of no other: a rule that reads
// a name with it that is not among Names reads nothing.
const Prefix = "spillway_"

// The exporter as a whole. BuildInfo is made by client_golang, which words its help.
var (
	BuildInfo         = &Own{"spillway_exporter_build_info", "A metric with a constant '1' value labeled by version, revision, branch, goversion from which spillway_exporter was built, and the goos and goarch for the build.", Gauge, nil}
	ConfigSuccess     = &Own{"spillway_config_last_reload_successful", "Whether the last load of the configuration succeeded.", Gauge, nil}
	DashboardInfo     = &Own{"spillway_dashboard_info", "Where alerts link to: url for the exporter as a whole, and target_url for one target, in which {target} stands for its name; page_url is the status page.", Gauge, []string{"url", "target_url", "page_url"}}
	ConfigLastSuccess = &Own{"spillway_config_last_reload_success_timestamp_seconds", "Unix time of the last successful load of the configuration.", Gauge, nil}
)

var exporterOwns = []*Own{
	BuildInfo, ConfigSuccess, ConfigLastSuccess, DashboardInfo,
}
