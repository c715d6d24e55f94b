package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The series of a folder of logs.
var (
	LogFiles    = series.NewGauge("spillway_log_files", "Logs in the folder, including rotated ones.", "target", "dir").Windowed()
	LogSize     = series.NewGauge("spillway_log_size_bytes", "Size of the logs, including rotated ones, as the policy's size_by counts it.", "target", "dir").Windowed()
	LogOversize = series.NewGauge("spillway_log_oversize_files", "Logs that are large enough to be rotated.", "target", "dir")
	LogExpired  = series.NewGauge("spillway_log_expired_files", "Rotated logs that are too old or exceed the number to keep.", "target", "dir")
)

var logDescs = []*series.Desc{
	LogFiles, LogSize, LogOversize, LogExpired,
}
