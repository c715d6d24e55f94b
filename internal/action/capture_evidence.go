package action

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
)

// EvidenceFunc captures evidence of a target. It returns within ten seconds, and soon after ctx is done.
type EvidenceFunc func(ctx context.Context, trigger string, dryRun bool) evidence.Taken

// CaptureEvidenceOptions configure a CaptureEvidence. Target and Logger are required.
type CaptureEvidenceOptions struct {
	Target  string
	Capture EvidenceFunc // nil: Run answers ErrNotConfigured
	Logger  *slog.Logger
}

// CaptureEvidence says what holds the memory of a target before a remedy takes it away. It relieves nothing: whatever it comes to,
// the next step of a playbook follows.
type CaptureEvidence struct{ opts CaptureEvidenceOptions }

// NewCaptureEvidence returns the action.
func NewCaptureEvidence(o CaptureEvidenceOptions) *CaptureEvidence { return &CaptureEvidence{opts: o} }

// Run implements Action. A dry run asks nothing of the target. One that was skipped because of its price is done, with
// the reason in Skipped. The outcome is Unknown, with a nil error, when the target was asked and its answer was not seen.
func (a *CaptureEvidence) Run(ctx context.Context, req Request) (Result, error) {
	if a.opts.Capture == nil {
		return Result{Outcome: Failed}, fmt.Errorf("capture evidence of %s: %w: write heap: {provider: ...} of a runtime that has a profile", a.opts.Target, ErrNotConfigured)
	}
	if err := ctx.Err(); err != nil {
		return Result{Outcome: Failed}, fmt.Errorf("capture evidence of %s: nothing was asked for: %w", a.opts.Target, err)
	}
	start := time.Now()
	taken := a.opts.Capture(ctx, req.Trigger, req.DryRun)
	res := Result{Outcome: Done, Detail: taken.Detail}
	switch {
	case taken.Outcome == evidence.Unknown:
		res.Outcome = Unknown
	case taken.Outcome == evidence.Failed:
		res.Outcome = Failed
		return res, fmt.Errorf("capture evidence of %s: %w", a.opts.Target, errors.New(taken.Detail))
	case taken.Skip != "":
		res.Skipped = map[string]int64{taken.Skip: 1}
		res.Detail = "no evidence was captured: " + taken.Detail
	}
	if req.DryRun {
		res.Outcome = DryRun
		return res, nil
	}
	if taken.Skip != "" {
		a.opts.Logger.Info("no evidence was captured", "target", a.opts.Target, "run", req.RunID, "skipped", taken.Skip, "reason", taken.Detail)
		return res, nil
	}
	a.opts.Logger.Info("captured evidence", "target", a.opts.Target, "run", req.RunID, "outcome", taken.Outcome, "rung", taken.Rung, "grew", taken.Detail, "took", time.Since(start).Round(time.Millisecond))
	return res, nil
}
