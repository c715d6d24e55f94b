package action

import (
	"fmt"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// TestErrorOfAPartialRun: the same reasons give the same error, whatever the order of a map. All of
// them are named with their counts, the most frequent first, next to what made the run partial before.
func TestErrorOfAPartialRun(t *testing.T) {
	const (
		lease  = "4 files stay because it is not known whether they are open: run as their owner or with CAP_LEASE"
		errnos = "some files could not be removed: error_EIO=7 error_EACCES=3 error_EPERM=3 error_EBUSY=1"
	)
	skipped := func(noLease int64) map[string]int64 {
		out := map[string]int64{
			"in_use": 90, "kept": 80, "too_young": 70, "hardlink": 60,
			"error_EPERM": 3, "error_EBUSY": 1, "error_EIO": 7, "error_EACCES": 3,
		}
		if noLease > 0 {
			out[string(safefs.NoLease)] = noLease
		}
		return out
	}
	for _, tc := range []struct {
		name    string
		faults  []string
		skipped map[string]int64
		want    string
	}{
		{"none", nil, map[string]int64{"in_use": 1, "error_EIO": 0}, ""},
		{"one", nil, map[string]int64{"in_use": 1, "error_EIO": 2}, "some files could not be removed: error_EIO=2"},
		{"several", nil, skipped(0), errnos},
		{"no lease", nil, skipped(4), lease + "; " + errnos},
		{"faults", []string{"3 bytes are lost"}, skipped(4), "3 bytes are lost; " + lease + "; " + errnos},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for i := range 50 {
				r := &dirRun{ctx: t.Context(), faults: tc.faults, res: PolicyResult{Outcome: Done, Skipped: tc.skipped}}
				r.finish(nil)
				want := Partial
				if tc.want == "" {
					want = Done
				}
				if got := fmt.Sprint(r.res.Outcome, ": ", r.res.Error); got != fmt.Sprint(want, ": ", tc.want) {
					t.Fatalf("run %d:\n%s\nwant\n%s: %s", i, got, want, tc.want)
				}
			}
		})
	}
}
