package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The series of a folder of temporary files.
var (
	TempFiles      = series.NewGauge("spillway_temp_files", "Temporary files in the folder, or entries where the policy has them.", "target", "dir").Windowed()
	TempEmpty      = series.NewGauge("spillway_temp_empty_files", "Empty temporary files in the folder.", "target", "dir")
	TempExpired    = series.NewGauge("spillway_temp_expired_files", "Temporary files that a cleanup would remove now because they are too old or empty.", "target", "dir")
	TempSize       = series.NewGauge("spillway_temp_size_bytes", "Total apparent size of the temporary files.", "target", "dir").Windowed()
	TempMaxFiles   = series.NewGauge("spillway_temp_max_files", "Configured maximum number of temporary files.", "target", "dir")
	TempMaxSize    = series.NewGauge("spillway_temp_max_size_bytes", "Configured maximum size of all temporary files.", "target", "dir")
	TempFreeBytes  = series.NewGauge("spillway_temp_free_bytes", "Free space on the folder's file system; needs min_free_bytes or min_free_inodes.", "target", "dir")
	TempFreeInodes = series.NewGauge("spillway_temp_free_inodes", "Free inodes on the folder's file system; needs min_free_bytes or min_free_inodes.", "target", "dir")
	TempUsedRatio  = series.NewGauge("spillway_temp_used_ratio", "Highest usage among the folder's limits, as a ratio; absent where it has none.", "target", "dir").Windowed()
	TempFolders    = series.NewGauge("spillway_temp_directories", "Directories below the folder.", "target", "dir")
	TempOldest     = series.NewGauge("spillway_temp_oldest_file_timestamp_seconds", "Unix time from which the oldest temporary file's age is measured.", "target", "dir")
)

var tempDescs = []*series.Desc{
	TempFiles, TempEmpty, TempExpired, TempSize, TempMaxFiles, TempMaxSize, TempFreeBytes,
	TempFreeInodes, TempUsedRatio, TempFolders, TempOldest,
}
