package collector

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func TestLogSource(t *testing.T) {
	b := newDirBench(t)
	keep := int64(2)
	p := policy.Log{Common: b.common(), MaxBytes: 1000, KeepFiles: &keep, MaxAge: units.Duration(48 * time.Hour)}
	p.Include, p.Keep, p.SizeBy = []string{"*.log"}, []string{"audit.log"}, policy.SizeApparent
	src, err := newLog("svc", p)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.sample(t.Context(), src); !errors.Is(err, fs.ErrNotExist) || b.published() != "" {
		t.Errorf("a folder that does not exist: %v, %s", err, b.published())
	}
	rotated := func(log string, age time.Duration, compressed bool) string {
		return policy.RotatedName(log, b.now.Add(-age), 1, compressed)
	}
	b.file("app.log", 1000, 0)
	b.file("sub/app.log", 1001, 0)
	b.file("audit.log", 5000, 0)
	b.file("other.txt", 5000, 0)
	b.file(policy.RotationTemp(1, 2), 5000, 0)
	b.file(rotated("app.log", time.Hour, false), 10, 0)
	b.file(rotated("app.log", 2*time.Hour, true), 10, 0)
	b.file(rotated("app.log", 3*time.Hour, true), 10, 0) // one too many
	b.file("sub/"+rotated("app.log", time.Hour, true), 10, 0)
	b.file(rotated("gone.log", 49*time.Hour, true), 10, 0) // expired
	b.file(rotated("audit.log", 100*time.Hour, true), 10, 0)
	for range 2 {
		if err := b.sample(t.Context(), src); err != nil {
			t.Fatal(err)
		}
	}
	b.compare("spillway_log_", `
# HELP spillway_log_expired_files Rotated logs that are too old or exceed the number to keep.
# TYPE spillway_log_expired_files gauge
spillway_log_expired_files{dir="media",target="svc"} 2
# HELP spillway_log_files Logs in the folder, including rotated ones.
# TYPE spillway_log_files gauge
spillway_log_files{dir="media",target="svc"} 7
# HELP spillway_log_oversize_files Logs that are large enough to be rotated.
# TYPE spillway_log_oversize_files gauge
spillway_log_oversize_files{dir="media",target="svc"} 1
# HELP spillway_log_size_bytes Size of the logs, including rotated ones, as the policy's size_by counts it.
# TYPE spillway_log_size_bytes gauge
spillway_log_size_bytes{dir="media",target="svc"} 2051
`)
	// In a folder of rotated logs, which is entered although no other is, nothing is a log; files that are
	// dated by their program count as rotated, but for the newest.
	p.OldDir, p.SelfDated, p.Recursive = "old", true, new(false)
	if src, err = newLog("svc", p); err != nil {
		t.Fatal(err)
	}
	b.file("old/"+rotated("app.log", 4*time.Hour, true), 10, 0) // one more too many
	b.file("old/old.log", 5000, 0)
	b.file("old/old/"+rotated("app.log", 5*time.Hour, true), 10, 0)
	for days := range 5 {
		b.file(b.now.AddDate(0, 0, -days).Format("dated.2006-01-02.log"), 5000, 0)
	}
	if err := b.sample(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	b.compare("spillway_log_", `
# HELP spillway_log_expired_files Rotated logs that are too old or exceed the number to keep.
# TYPE spillway_log_expired_files gauge
spillway_log_expired_files{dir="media",target="svc"} 5
# HELP spillway_log_files Logs in the folder, including rotated ones.
# TYPE spillway_log_files gauge
spillway_log_files{dir="media",target="svc"} 11
# HELP spillway_log_oversize_files Logs that are large enough to be rotated.
# TYPE spillway_log_oversize_files gauge
spillway_log_oversize_files{dir="media",target="svc"} 0
# HELP spillway_log_size_bytes Size of the logs, including rotated ones, as the policy's size_by counts it.
# TYPE spillway_log_size_bytes gauge
spillway_log_size_bytes{dir="media",target="svc"} 26050
`)
	if _, err := newLog("svc", policy.Log{Common: policy.Common{Include: []string{"["}}}); err == nil {
		t.Error("a glob that does not compile was taken")
	}
}
