package web

import (
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/health"
)

func TestProbeText(t *testing.T) {
	f := func(p health.Probe, want string) {
		t.Helper()
		if got := (&probeRow{Probe: p}).Text(); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
	f(health.Probe{}, "no answer")
	f(health.Probe{Status: new(200.0), DurationSeconds: new(0.0123)}, "200 OK in 12ms")
	f(health.Probe{Status: new(503.0), DurationSeconds: new(0.00085), StartupSeconds: new(2.54)}, "503 Service Unavailable in 850µs, started in 2.5s")
	f(health.Probe{Status: new(599.0), DurationSeconds: new(1.24)}, "599 in 1.2s")
}

func TestCacheText(t *testing.T) {
	f := func(c health.Cache, want string) {
		t.Helper()
		if got := (cacheRow{Cache: c}).Text(); got != want {
			t.Errorf("%+v: %q, want %q", c, got, want)
		}
	}
	f(health.Cache{}, "")
	f(health.Cache{HitRatio: new(0.874)}, "87.4% hits") // the service tells no more of it
	f(health.Cache{Entries: new(1204.0), MaxEntries: new(1000.0), SizeBytes: new(1.1 * (1 << 30)), MaxBytes: new(1.0 * (1 << 30)), Expired: new(12.0), HitRatio: new(0.874)},
		"1204 of 1000 entries, 1.1GiB of 1GiB, 12 expired, 87.4% hits")
	f(health.Cache{Entries: new(3.0), SizeBytes: new(0.0)}, "3 entries, 0B")
}
