package evidence

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// BenchmarkCapture is what a capture costs: the time until the target has answered, and by how much its resident memory was larger
// meanwhile.
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
			})
		}
	}
}
