package metric

import "github.com/spillway-exporter/spillway_exporter/internal/series"

// The series of a folder of uploaded files.
var (
	UploadFiles    = series.NewGauge("spillway_upload_files", "Uploaded files in the folder, or entries where the policy has them.", "target", "dir").Windowed()
	UploadSize     = series.NewGauge("spillway_upload_size_bytes", "Size of the uploaded files, as the policy's size_by counts it.", "target", "dir").Windowed()
	UploadMaxSize  = series.NewGauge("spillway_upload_max_size_bytes", "Configured maximum size of all uploaded files.", "target", "dir")
	UploadOversize = series.NewGauge("spillway_upload_oversize_files", "Uploaded files larger than the limit for a single file.", "target", "dir")
	UploadExpired  = series.NewGauge("spillway_upload_expired_files", "Uploaded files older than the configured maximum age.", "target", "dir")
)

var uploadDescs = []*series.Desc{
	UploadFiles, UploadSize, UploadMaxSize, UploadOversize, UploadExpired,
}
