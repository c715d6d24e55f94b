package evidence

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
)

// BenchmarkCapture is what a capture costs: the time until the target has answered, and by how much its resident memory was larger
// meanwhile. Alongside is a full snapshot of the same process, during which it stands still: full-ms, full-MiB, and full/p50,
// how many times as long that takes. Python has none of its own.
func BenchmarkCapture(b *testing.B) {
	for _, k := range kinds {
		for _, live := range []int{20, 200} {
			b.Run(fmt.Sprintf("%s/live=%dMiB", k.name, live), func(b *testing.B) {
				s := services[k.provider](b, k.flags...)
				s.do("leak", live)
				s.capture()
				var pauses []time.Duration
				var most int64
				for b.Loop() {
					resident := watchResident("/proc", s.track())
					p := s.capture()
					grown, _ := resident()
					pauses, most = append(pauses, p.Pause), max(most, grown)
				}
				slices.Sort(pauses)
				b.ReportMetric(float64(pauses[len(pauses)/2].Milliseconds()), "p50-ms")
				b.ReportMetric(float64(pauses[len(pauses)*99/100].Milliseconds()), "p99-ms")
				b.ReportMetric(float64(most)/(1<<20), "MiB")
				if k.provider == heap.ProviderPython {
					return
				}
				resident := watchResident("/proc", s.track())
				full := s.snapshot()
				grown, _ := resident()
				b.ReportMetric(float64(full.Milliseconds()), "full-ms")
				b.ReportMetric(float64(grown)/(1<<20), "full-MiB")
				b.ReportMetric(float64(full)/float64(max(pauses[len(pauses)/2], 1)), "full/p50")
			})
		}
	}
}
