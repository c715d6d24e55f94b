package simulate

import (
	"context"
	"errors"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
)

const (
	tempName  = "tts"
	cacheName = "media"
)

// manner is how an action behaves this time.
type manner int

const (
	well    manner = iota
	slowly         // for minutes, unless it is cancelled
	fails          // before it does anything
	halfway        // fails after a part
	panics
	stuck // does not return when it is cancelled
)

var errAction = errors.New("input/output error")

// hand is an action of a target, in one process.
type hand struct {
	w            *world
	p            *process
	target, name string
}

func (h *hand) manner(req *action.Request) manner {
	c := h.w.chance("manner", h.target, h.name, req.RunID)
	if h.w.gentle || c%100 >= h.w.rough {
		return well
	}
	return manner(1 + c/100%uint64(stuck))
}

// Run implements action.Action.
func (h *hand) Run(ctx context.Context, req action.Request) (out action.Result, err error) {
	w := h.w
	how := h.manner(&req)
	call := w.begins(ctx, h, &req)
	defer func() { w.returns(call, &out) }()
	switch how {
	case fails:
		return h.nothing(action.Failed), errAction
	case panics:
		panic("the action has a bug")
	case stuck:
		h.p.wait(w.delay(time.Second, time.Hour, "stuck", h.target, h.name))
		return action.Result{Outcome: action.Unknown}, ctx.Err()
	case slowly:
		if !h.pause(ctx, w.delay(time.Second, 4*time.Minute, "slow", h.target, h.name)) {
			return h.nothing(action.Unknown), ctx.Err()
		}
	default:
		if !h.pause(ctx, w.delay(time.Millisecond, 3*time.Second, "work", h.target, h.name)) {
			return h.nothing(action.Unknown), ctx.Err()
		}
	}
	switch h.name {
	case action.NameCleanTemp, action.NameEvictCache:
		return h.remove(ctx, call, &req, how)
	case action.NameCollectGarbage:
		return h.collect(call, &req)
	}
	return h.other(call, &req)
}

// pause lets time pass; it is false when the action is to stop.
func (h *hand) pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil && !h.p.isDead()
	case <-ctx.Done():
		return false
	case <-h.p.dead:
		return false
	}
}

// isFolder reports whether the action is one on folders.
func (h *hand) isFolder() bool {
	return h.name == action.NameCleanTemp || h.name == action.NameEvictCache
}

func (h *hand) nothing(o action.Outcome) action.Result {
	out := action.Result{Outcome: o}
	if h.isFolder() {
		out.Policies = []action.PolicyResult{{Outcome: o}}
	}
	return out
}

// folder returns the folder of the action and what is to be removed of it. World.mu is held.
func (h *hand) folder(req *action.Request) (*folder, []int, action.PolicyResult) {
	s := h.w.services[h.target]
	if h.name == action.NameCleanTemp {
		remove, out := s.planTemp(h.w.now())
		return &s.temp, remove, out
	}
	remove, out := s.planCache(h.w.now(), req)
	return &s.cache, remove, out
}

// remove is an action on a folder: it looks, then removes one file after another.
func (h *hand) remove(ctx context.Context, c *call, req *action.Request, how manner) (out action.Result, err error) {
	w := h.w
	w.mu.Lock()
	f, planned, p := h.folder(req)
	p.Outcome, out.Outcome = action.Done, action.Done
	var named []action.PolicyResult // in a dry run, as it is at each file
	if req.DryRun {
		p.Outcome, out.Outcome = action.DryRun, action.DryRun
		for _, i := range planned {
			p.Files, p.FreedBytes = p.Files+1, p.FreedBytes+(*f)[i].size
			named = append(named, p)
		}
		planned = nil
	}
	w.mu.Unlock()
	for i := range named { // what hears of it may ask the journal, which has the same lock
		c.name(req, &named[i])
	}
	for n := range planned {
		switch {
		case how == halfway && n > 0:
			p.Outcome, err = action.Partial, errAction
		case !h.pause(ctx, w.delay(10*time.Microsecond, 200*time.Millisecond, "unlink", h.target, h.name)):
			p.Outcome, err = action.Unknown, ctx.Err()
		case h.unlink(c, req, &p):
			continue
		}
		break
	}
	if p.Outcome != action.Done && !req.DryRun {
		out.Outcome = p.Outcome
	}
	p.Policy, p.Target = tempName, h.target
	out.Files, out.FreedBytes, out.Skipped, out.DueAt, out.InUse = p.Files, p.FreedBytes, p.Skipped, p.DueAt, p.InUse
	out.Policies = []action.PolicyResult{p}
	return out, err
}

// unlink removes the first file that is still to be removed. It is false when there is none.
func (h *hand) unlink(c *call, req *action.Request, p *action.PolicyResult) bool {
	w := h.w
	if !w.point(h.p, "unlink "+h.target+" "+h.name+" "+req.RunID) {
		return false
	}
	w.mu.Lock()
	f, now, _ := h.folder(req)
	if len(now) == 0 || !w.effect(c) {
		w.mu.Unlock()
		return false
	}
	p.Files, p.FreedBytes = p.Files+1, p.FreedBytes+(*f)[now[0]].size
	*f = append((*f)[:now[0]:now[0]], (*f)[now[0]+1:]...)
	w.mu.Unlock()
	c.name(req, p)
	if req.Progress != nil {
		req.Progress(*p)
	}
	return w.point(h.p, "unlinked "+h.target+" "+h.name+" "+req.RunID)
}

// collect is a garbage collection: it gives a part of memory and heap back, sometimes nothing.
func (h *hand) collect(c *call, req *action.Request) (action.Result, error) {
	w := h.w
	if req.DryRun {
		return action.Result{Outcome: action.DryRun}, nil
	}
	if !w.point(h.p, "collect "+h.target+" "+req.RunID) {
		return action.Result{Outcome: action.Unknown}, nil
	}
	keeps := 1 - float64(w.chance("collect", h.target)%60)/100
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.effect(c) {
		return action.Result{Outcome: action.Unknown}, nil
	}
	s := w.services[h.target]
	s.memory, s.heap = s.memory*keeps, s.heap*keeps
	return action.Result{Outcome: action.Done}, nil
}

// name names a file that was removed, or in a dry run would be.
func (c *call) name(req *action.Request, p *action.PolicyResult) {
	if req.OnFile != nil {
		req.OnFile(*p, []byte("f"), "expired")
	}
}

// other is an action that the model knows nothing of, such as a request to the service.
func (h *hand) other(c *call, req *action.Request) (action.Result, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if req.Playbook == relieveMemory && req.Removed.Noted() == 0 { // its step runs if something was removed
		h.w.breaks("the service %s is sent the names of nothing in run %s", h.target, req.RunID)
	}
	if req.DryRun {
		return action.Result{Outcome: action.DryRun}, nil
	}
	if !h.w.effect(c) {
		return action.Result{Outcome: action.Unknown}, nil
	}
	return action.Result{Outcome: action.Done}, nil
}
