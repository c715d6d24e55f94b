package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The series of a folder of temporary files.
var (
	TempFiles    = series.NewGauge("spillway_temp_files", "Temporary files in the folder.", "target", "dir").Windowed()
	TempEmpty    = series.NewGauge("spillway_temp_empty_files", "Empty temporary files in the folder.", "target", "dir")
	TempExpired  = series.NewGauge("spillway_temp_expired_files", "Temporary files that a cleanup would remove now because they are too old or empty.", "target", "dir")
	TempSize     = series.NewGauge("spillway_temp_size_bytes", "Total apparent size of the temporary files.", "target", "dir").Windowed()
	TempMaxFiles = series.NewGauge("spillway_temp_max_files", "Configured maximum number of temporary files.", "target", "dir")
	TempFolders  = series.NewGauge("spillway_temp_directories", "Directories below the folder.", "target", "dir")
	TempOldest   = series.NewGauge("spillway_temp_oldest_file_timestamp_seconds", "Unix time from which the oldest temporary file's age is measured.", "target", "dir")
)

var tempDescs = []*series.Desc{
	TempFiles, TempEmpty, TempExpired, TempSize, TempMaxFiles, TempFolders, TempOldest,
}
