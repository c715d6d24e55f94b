package health

import (
	"fmt"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// fleet returns one sample of every family for each of n targets.
func fleet(n int) []series.Sample {
	var out []series.Sample
	for i := range n {
		for _, d := range metric.Descs() {
			s := series.Sample{Desc: d, Values: make([]string, len(d.Labels)), Value: float64(i), Time: now}
			for j, label := range d.Labels {
				s.Values[j] = label
				if label == "target" {
					s.Values[j] = fmt.Sprintf("target%03d", i)
				}
			}
			out = append(out, s)
		}
	}
	return out
}

func BenchmarkTargets200(b *testing.B) {
	samples := fleet(200)
	b.ReportAllocs()
	for b.Loop() {
		if n := len(Targets(samples)); n != 200 {
			b.Fatal(n)
		}
	}
}

func BenchmarkReport200(b *testing.B) {
	samples := fleet(200)
	b.ReportAllocs()
	for b.Loop() {
		targets := Targets(samples)
		for i := range targets {
			if r := targets[i].Report(); r.Target == "" {
				b.Fatal("empty")
			}
		}
	}
}
