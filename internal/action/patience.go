package action

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// patienceTicks is how often in the time of DirOptions.Patience a run is looked at.
const patienceTicks = 10

// heartbeat counts what a run over one policy has seen of its folder: names, files, removals. nil counts
// nothing.
type heartbeat struct {
	beats  atomic.Int64
	paused atomic.Int64
}

func (h *heartbeat) beat() {
	if h != nil {
		h.beats.Add(1)
	}
}

// pause says that what follows may take long although the folder answers, until resume is called.
func (h *heartbeat) pause() (resume func()) {
	if h == nil {
		return func() {}
	}
	h.paused.Add(1)
	return func() {
		h.beats.Add(1)
		h.paused.Add(-1)
	}
}

// patiently runs a policy and gives it up when its folder has not answered for the time of o.Patience.
// What is stuck in the kernel cannot be cancelled: it is left behind, its context is cancelled, and what
// it still says is not heard. The outcome is Unknown then, in a dry run Failed.
func patiently(ctx context.Context, req Request, o *DirOptions, given PolicyResult, run func(context.Context, Request, *DirOptions) PolicyResult) PolicyResult {
	if o.Patience <= 0 {
		return run(ctx, req, o)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	own := *o
	own.heart = new(heartbeat)
	var heard sync.Mutex // held while a callback runs
	given.Outcome = Unknown
	if req.DryRun {
		given.Outcome = Failed
	}
	left := false
	hear := func(f func()) {
		heard.Lock()
		defer heard.Unlock()
		if !left {
			f()
		}
	}
	if onFile := req.OnFile; onFile != nil {
		req.OnFile = func(p PolicyResult, path []byte, why string) { hear(func() { onFile(p, path, why) }) }
	}
	if progress := req.Progress; progress != nil {
		req.Progress = func(p PolicyResult) { hear(func() { progress(p) }) }
	}
	done := make(chan PolicyResult, 1)
	go func() { done <- run(ctx, req, &own) }()
	tick := time.NewTicker(max(o.Patience/patienceTicks, time.Millisecond))
	defer tick.Stop()
	for last, silent := int64(-1), 0; ; {
		select {
		case res := <-done:
			return res
		case <-tick.C:
		}
		if beats := own.heart.beats.Load(); beats != last || own.heart.paused.Load() > 0 {
			last, silent = beats, 0
			continue
		}
		if silent++; silent < patienceTicks || !heard.TryLock() { // held: it is at work in a callback
			continue
		}
		left = true
		heard.Unlock()
		given.Error = fmt.Sprintf("%q has not answered for %s: check whether the server of its mount is alive", given.Dir, o.Patience)
		return given
	}
}
