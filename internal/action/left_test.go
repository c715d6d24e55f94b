package action

import (
	"context"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

type leaves struct{ left int64 }

func (l *leaves) Run(context.Context, Request) (Result, error) {
	return Result{Policies: []PolicyResult{
		{Target: "a", Kind: policy.KindUpload, Policy: "x", Skipped: map[string]int64{"in_use": l.left, "hardlink": 1, "linked": 2, "newest": 5, "above_depth": 9}},
		{Target: "a", Kind: policy.KindTemp, Policy: "x", Skipped: map[string]int64{"in_use": 7}}, // another folder of this name
	}}, nil
}

// TestLeft: the last run of each policy counts, and no dry run.
func TestLeft(t *testing.T) {
	l, does := NewLeft(), &leaves{left: 3}
	a := l.Noting(does)
	for _, tc := range []struct {
		left int64
		dry  bool
		want int64
	}{{3, true, 0}, {3, false, 4}, {9, true, 4}, {0, false, 1}} {
		does.left = tc.left
		if _, err := a.Run(t.Context(), Request{DryRun: tc.dry}); err != nil {
			t.Fatal(err)
		}
		if got := l.Of("a", policy.KindUpload, "x"); got != tc.want {
			t.Errorf("after a run that left %d, dry %v: %d, want %d", tc.left, tc.dry, got, tc.want)
		}
	}
	if got := l.Of("a", policy.KindCache, "x"); got != 0 {
		t.Errorf("of a policy that never ran: %d", got)
	}
}
