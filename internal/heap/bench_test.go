package heap

import (
	"slices"
	"testing"
	"time"
)

func reportPercentiles(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	at := func(p float64) float64 { return float64(took[int(p*float64(len(took)-1))].Microseconds()) }
	b.ReportMetric(at(.50), "p50-µs")
	b.ReportMetric(at(.99), "p99-µs")
}
