package collector

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// BenchmarkFollow scans a folder of 5,000 files, with a log of what becomes of them and without.
func BenchmarkFollow(b *testing.B) {
	dir := b.TempDir()
	for i := range 5000 {
		if err := os.WriteFile(fmt.Sprintf("%s/%d.json", dir, i), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	log, err := folderlog.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	for _, of := range []struct {
		name string
		log  func() *folderlog.Log
	}{{"without", nil}, {"with", func() *folderlog.Log { return log }}} {
		s, err := NewDir(DirOptions{
			Target: "web", Kind: policy.KindTemp, Log: of.log,
			Policy: &policy.Temp{Common: policy.Common{Name: "media", Dir: dir, Include: []string{"*"}}, MaxAge: units.Duration(time.Hour)},
		})
		if err != nil {
			b.Fatal(err)
		}
		var batch series.Batch
		b.Run(of.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset(time.Now())
				if err := s.Sample(b.Context(), &batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
