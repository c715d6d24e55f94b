package collector

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// BenchmarkSweep is what the frame itself costs: a sweep over sources that read nothing.
func BenchmarkSweep(b *testing.B) {
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ln := Lane{Name: "process", Interval: time.Second, Timeout: time.Second}
			for i := range n {
				target := fmt.Sprintf("target-%d", i)
				ln.Jobs = append(ln.Jobs, Job{Source: "process", Target: target, Impl: sourceFunc(func(_ context.Context, b *series.Batch) error {
					b.Set(frameGauge, 1, target)
					return nil
				})})
			}
			s := NewSampler(SamplerOptions{
				Store: series.NewStore(series.Options{}), Lanes: []Lane{ln}, Metrics: NewSamplerMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
			})
			l := s.lanes[0]
			ctx := b.Context()
			l.sweep(ctx, 0, nil)
			b.ReportAllocs()
			for b.Loop() {
				l.sweep(ctx, 0, nil)
			}
		})
	}
}
