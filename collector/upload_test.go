package collector

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func TestUploadSource(t *testing.T) {
	b := newDirBench(t)
	p := policy.Upload{Common: b.common(), MaxFileBytes: 1000, MaxBytes: 5000, MaxAge: units.Duration(time.Hour)}
	p.SizeBy = policy.SizeApparent
	src, err := newUpload("svc", p)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.sample(t.Context(), src); !errors.Is(err, fs.ErrNotExist) || b.published() != "upload_max_size_bytes 5000" {
		t.Errorf("a folder that does not exist: %v, %s", err, b.published())
	}
	b.file("a.json", 1000, 30*time.Minute)
	b.file("large.json", 1001, 30*time.Minute)
	b.file("large-now.json", 2000, 0)
	b.file("sub/large-and-old.json", 3000, 2*time.Hour)
	b.file("old.json", 1, time.Hour)
	b.file("index.json", 9000, 500*time.Hour)
	if err := b.sample(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	b.compare("spillway_upload_", `
# HELP spillway_upload_expired_files Uploaded files older than the configured maximum age.
# TYPE spillway_upload_expired_files gauge
spillway_upload_expired_files{dir="media",target="svc"} 1
# HELP spillway_upload_files Uploaded files in the folder, or entries where the policy has them.
# TYPE spillway_upload_files gauge
spillway_upload_files{dir="media",target="svc"} 5
# HELP spillway_upload_max_size_bytes Configured maximum size of all uploaded files.
# TYPE spillway_upload_max_size_bytes gauge
spillway_upload_max_size_bytes{dir="media",target="svc"} 5000
# HELP spillway_upload_oversize_files Uploaded files larger than the limit for a single file.
# TYPE spillway_upload_oversize_files gauge
spillway_upload_oversize_files{dir="media",target="svc"} 3
# HELP spillway_upload_size_bytes Size of the uploaded files, as the policy's size_by counts it.
# TYPE spillway_upload_size_bytes gauge
spillway_upload_size_bytes{dir="media",target="svc"} 7002
`)
	if err := os.RemoveAll(b.dir); err != nil {
		t.Fatal(err)
	}
	if err := b.sample(t.Context(), src); !errors.Is(err, fs.ErrNotExist) || b.published() != "upload_max_size_bytes 5000" {
		t.Errorf("a folder that has gone: %v, %s", err, b.published())
	}
}

// What is not limited is not counted against a limit.
func TestUploadSourceWithoutLimits(t *testing.T) {
	b := newDirBench(t)
	b.file("a.json", 10, time.Hour)
	p := policy.Upload{Common: b.common(), MaxFileBytes: 1 << 20}
	p.SizeBy = policy.SizeApparent
	src, err := newUpload("svc", p)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.sample(t.Context(), src); err != nil || b.published() != "upload_files 1, upload_oversize_files 0, upload_size_bytes 10" {
		t.Errorf("%v, %s", err, b.published())
	}
	if _, err := newUpload("svc", policy.Upload{Common: policy.Common{Include: []string{"["}}}); err == nil {
		t.Error("a glob that does not compile was taken")
	}
}
