package action

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// fakeHeap is a heap of 200 MiB that a collection halves.
type fakeHeap struct {
	readErr, collectErr error
	afterAbsent, hang   bool
	reads, collections  int
}

func (f *fakeHeap) usage() heap.Usage {
	used := heap.Some(200 << 20)
	if f.collections > 0 {
		used.Bytes = 100 << 20
	}
	return heap.Usage{Used: used, Limit: heap.Some(256 << 20)}
}

func (f *fakeHeap) Read(ctx context.Context) (heap.Usage, error) {
	f.reads++
	if f.hang {
		<-ctx.Done()
		return heap.Usage{}, heap.ErrBusy
	}
	if f.readErr != nil {
		return heap.Usage{}, f.readErr
	}
	return f.usage(), nil
}

func (f *fakeHeap) Collect(ctx context.Context) (before, after heap.Usage, err error) {
	if before, err = f.Read(ctx); err != nil {
		return before, after, err
	}
	if f.collectErr != nil {
		return before, after, f.collectErr
	}
	f.collections++
	if !f.afterAbsent {
		after = f.usage()
	}
	return before, after, nil
}

func TestCollectGarbage(t *testing.T) {
	unknown := fmt.Errorf("%w: %w", heap.ErrUnknown, heap.ErrBusy)
	tests := []struct {
		name    string
		heap    *fakeHeap
		dryRun  bool
		want    Result // of which Detail is looked for
		wantErr error
		ran     int
	}{
		{"done", &fakeHeap{}, false, Result{Outcome: Done, Before: "heap 200MiB of 256MiB", After: "heap 100MiB of 256MiB", Detail: "before and after"}, nil, 1},
		{"dry run reads and asks for nothing", &fakeHeap{}, true, Result{Outcome: DryRun, Before: "heap 200MiB of 256MiB", Detail: "would ask"}, nil, 0},
		{"no reading after it", &fakeHeap{afterAbsent: true}, false, Result{Outcome: Done, Before: "heap 200MiB of 256MiB", Detail: "could not be read after it"}, nil, 1},
		{"no answer to it", &fakeHeap{collectErr: unknown}, false, Result{Outcome: Unknown, Before: "heap 200MiB of 256MiB", Detail: "its end was not seen"}, nil, 0},
		{"refused", &fakeHeap{collectErr: errors.New("refused")}, false, Result{Outcome: Failed, Before: "heap 200MiB of 256MiB"}, errAnything, 0},
		{"busy before it", &fakeHeap{readErr: heap.ErrBusy}, false, Result{Outcome: Failed}, heap.ErrBusy, 0},
		{"busy in a dry run", &fakeHeap{readErr: heap.ErrBusy}, true, Result{Outcome: Failed}, heap.ErrBusy, 0},
		{"target gone", &fakeHeap{readErr: heap.ErrUnreachable}, false, Result{Outcome: Failed}, heap.ErrUnreachable, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := NewCollectGarbage(CollectGarbageOptions{Target: "svc", Collector: tt.heap, Logger: slog.New(slog.DiscardHandler)})
			res, err := a.Run(t.Context(), Request{Target: "svc", DryRun: tt.dryRun})
			if (err != nil) != (tt.wantErr != nil) || (tt.wantErr != nil && !errors.Is(tt.wantErr, errAnything) && !errors.Is(err, tt.wantErr)) {
				t.Errorf("error = %v, want %v", err, tt.wantErr)
			}
			if res.Outcome != tt.want.Outcome || res.Before != tt.want.Before || res.After != tt.want.After || !strings.Contains(res.Detail, tt.want.Detail) {
				t.Errorf("result = %+v, want %+v", res, tt.want)
			}
			if res.FreedBytes != 0 || res.Files != 0 {
				t.Errorf("result %+v takes credit for bytes or files", res)
			}
			if tt.heap.collections != tt.ran {
				t.Errorf("%d collections, want %d", tt.heap.collections, tt.ran)
			}
		})
	}
}

var errAnything = errors.New("any error")

// A heap above max_heap is left alone, and reported with its reason.
func TestCollectGarbageLeavesLargeHeaps(t *testing.T) {
	f := func(most units.Bytes, h *fakeHeap, dryRun bool, outcome Outcome, skipped int64, ran int) {
		t.Helper()
		a := NewCollectGarbage(CollectGarbageOptions{Target: "svc", Collector: h, MaxHeap: most, Logger: slog.New(slog.DiscardHandler)})
		res, err := a.Run(t.Context(), Request{DryRun: dryRun})
		if res.Outcome != outcome || res.Skipped[SkipMaxHeap] != skipped || h.collections != ran || (err != nil) != (outcome == Failed) {
			t.Errorf("max %s, dry run %v: %+v, %v, %d collections, want %s, %d skipped, %d", most, dryRun, res, err, h.collections, outcome, skipped, ran)
		}
		if skipped > 0 && (!strings.Contains(res.Detail, "max_heap") || res.Before == "") {
			t.Errorf("%+v does not say why", res)
		}
	}
	f(200<<20, &fakeHeap{}, false, Done, 0, 1)
	f(200<<20-1, &fakeHeap{}, false, Done, 1, 0)
	f(200<<20-1, &fakeHeap{}, true, DryRun, 1, 0)
	f(200<<20, &fakeHeap{}, true, DryRun, 0, 0)
	f(200<<20, &fakeHeap{readErr: heap.ErrBusy}, false, Failed, 0, 0)
}

func TestCollectGarbageWithoutProvider(t *testing.T) {
	var client *heap.Client // what a target without heap: gets from the pool
	for _, c := range []heap.Collector{nil, client} {
		for _, dryRun := range []bool{false, true} {
			a := NewCollectGarbage(CollectGarbageOptions{Target: "svc", Collector: c, Logger: slog.New(slog.DiscardHandler)})
			res, err := a.Run(t.Context(), Request{DryRun: dryRun})
			if !errors.Is(err, ErrNotConfigured) || !strings.Contains(err.Error(), "write heap: {provider:") || res.Outcome != Failed {
				t.Errorf("collector %v, dry run %v: %+v, %v, want ErrNotConfigured", c, dryRun, res, err)
			}
		}
	}
}

func TestCollectGarbageIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewCollectGarbage(CollectGarbageOptions{Target: "svc", Collector: &fakeHeap{hang: true}, Timeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler)})
		start := time.Now()
		res, err := a.Run(t.Context(), Request{})
		if res.Outcome != Failed || !errors.Is(err, heap.ErrBusy) || time.Since(start) != 5*time.Second {
			t.Errorf("%+v, %v after %s, want a failure at the timeout", res, err, time.Since(start))
		}
	})
}
