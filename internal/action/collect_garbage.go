package action

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// ErrNotConfigured says that an action was asked for that the target's config gives no means for:
// nothing was done and nothing was tried. The outcome alongside it is Failed.
var ErrNotConfigured = errors.New("action is not configured for this target")

const collectTimeout = 15 * time.Second

// CollectGarbageOptions configure a CollectGarbage. Target and Logger are required.
type CollectGarbageOptions struct {
	Target    string
	Collector heap.Collector // nil, or a nil *heap.Client: Run answers ErrNotConfigured
	MaxHeap   units.Bytes    // a heap that uses more is left alone, for the pause would be long; 0 = no limit
	Timeout   time.Duration  // of the whole: read, collect, read; default 15s
	Logger    *slog.Logger
	Now       func() time.Time // default time.Now
}

// CollectGarbage asks the target's runtime for a full collection and records what was read just
// before and just after it. It claims no more: what the runtime would have freed by itself cannot
// be distinguished, so FreedBytes stays 0.
type CollectGarbage struct{ opts CollectGarbageOptions }

// NewCollectGarbage returns the action.
func NewCollectGarbage(o CollectGarbageOptions) *CollectGarbage {
	if o.Timeout <= 0 {
		o.Timeout = collectTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &CollectGarbage{opts: o}
}

// Run implements Action. A dry run reads and asks for nothing. The outcome is Unknown, with a nil
// error, when the collection was asked for and its end was not seen.
func (a *CollectGarbage) Run(ctx context.Context, req Request) (Result, error) {
	if a.opts.Collector == nil {
		return Result{Outcome: Failed}, notConfigured(a.opts.Target)
	}
	ctx, cancel := context.WithTimeout(ctx, a.opts.Timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return Result{Outcome: Failed}, fmt.Errorf("collect garbage of %s: nothing was asked for: %w", a.opts.Target, err)
	}
	if req.DryRun || a.opts.MaxHeap > 0 {
		res, err := a.look(ctx)
		if req.DryRun && err == nil {
			res.Outcome = DryRun
		}
		if req.DryRun || err != nil || res.Skipped != nil {
			return res, err
		}
	}
	start := a.opts.Now()
	before, after, err := a.opts.Collector.Collect(ctx)
	res := Result{Before: before.String(), After: after.String()}
	took := a.opts.Now().Sub(start).Round(time.Millisecond)
	switch {
	case errors.Is(err, heap.ErrNotConfigured):
		return Result{Outcome: Failed}, notConfigured(a.opts.Target)
	case errors.Is(err, heap.ErrUnknown):
		res.Outcome = Unknown
		res.Detail = fmt.Sprintf("a collection was asked for and its end was not seen within %s: %v", took, err)
	case err != nil:
		res.Outcome = Failed
		return res, fmt.Errorf("collect garbage of %s: %w", a.opts.Target, err)
	case res.After == "":
		res.Outcome = Done
		res.Detail = "the collection ended, but the heap could not be read after it"
	default:
		res.Outcome = Done
		res.Detail = fmt.Sprintf("used heap read before and after a full collection that took %s with both readings", took)
	}
	a.opts.Logger.Info("asked for a garbage collection", "target", a.opts.Target, "run", req.RunID,
		"outcome", string(res.Outcome), "before", res.Before, "after", res.After, "took", took)
	return res, nil
}

// SkipMaxHeap is the reason in Result.Skipped of a heap that was left alone because of its size.
const SkipMaxHeap = "max_heap"

// look reads the heap and asks for nothing. The result has something skipped when the heap is too
// large to be collected.
func (a *CollectGarbage) look(ctx context.Context) (Result, error) {
	u, err := a.opts.Collector.Read(ctx)
	switch {
	case errors.Is(err, heap.ErrNotConfigured):
		return Result{Outcome: Failed}, notConfigured(a.opts.Target)
	case err != nil:
		return Result{Outcome: Failed}, fmt.Errorf("collect garbage of %s: nothing was asked for: read its heap: %w", a.opts.Target, err)
	}
	res := Result{Outcome: DryRun, Before: u.String(), Detail: "would ask for a full collection"}
	if a.opts.MaxHeap > 0 && u.Used.OK && u.Used.Bytes > a.opts.MaxHeap {
		res.Outcome = Done
		res.Skipped = map[string]int64{SkipMaxHeap: 1}
		res.Detail = fmt.Sprintf("not asked for a collection: more than max_heap %s is in use, and the pause would be long", a.opts.MaxHeap)
	}
	return res, nil
}

func notConfigured(target string) error {
	return fmt.Errorf("collect garbage of %s: %w: write heap: {provider: ..., address: ...}", target, ErrNotConfigured)
}
