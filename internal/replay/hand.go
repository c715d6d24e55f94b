package replay

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// targets gives the stage what can be done for each target: the playbooks of the file, and actions without an effect.
func targets(cfg *config.Config, w *world, now func() time.Time) map[string]dispatch.Target {
	out := make(map[string]dispatch.Target, len(cfg.Targets))
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		made := dispatch.Target{Name: t.Name, Mode: t.Mode, Digest: t.Digest, Playbooks: w.targets[t.Name].books, Actions: make(map[string]action.Action)}
		for _, spec := range action.Table {
			if t.Has(spec.Name) {
				made.Actions[spec.Name] = &hand{target: w.targets[t.Name], kind: spec.Kind, now: now}
			}
		}
		out[t.Name] = made
	}
	return out
}

// hand is an action that takes files out of the replayed folders of a kind, and does nothing else.
type hand struct {
	target *target
	kind   string
	now    func() time.Time
}

// Run implements action.Action.
func (h *hand) Run(_ context.Context, req action.Request) (action.Result, error) {
	out := action.Result{Outcome: action.Done, Skipped: make(map[string]int64)}
	if req.DryRun {
		out.Outcome = action.DryRun
	}
	if h.kind == "" {
		return out, nil
	}
	for _, f := range h.target.folders {
		if f.kind != h.kind || req.Only != "" && req.Only != f.name || !f.known {
			continue
		}
		res := f.clean(h.now(), &req)
		out.Policies = append(out.Policies, res)
		out.Files, out.Bytes, out.FreedBytes = out.Files+res.Files, out.Bytes+res.Bytes, out.FreedBytes+res.FreedBytes
		out.Over = out.Over || res.Over
		if res.Outcome == action.Failed {
			out.Outcome = action.Partial
		}
		if !res.DueAt.IsZero() && (out.DueAt.IsZero() || res.DueAt.Before(out.DueAt)) {
			out.DueAt = res.DueAt
		}
	}
	return out, nil // without a policy it counts as having acted: whether there is something to do is not known
}

// found is a file that a clean-up looks at.
type found struct {
	hash uint64
	file *file
	key  int64 // by which the oldest go first
	why  string
}

// clean takes what the policy takes: what is due by itself, and then the oldest beyond the limits, those without content
// first.
func (f *folder) clean(now time.Time, req *action.Request) action.PolicyResult {
	res := action.PolicyResult{Target: f.target, Policy: f.name, Kind: f.kind, Outcome: action.Done, Skipped: make(map[string]int64)}
	if req.DryRun {
		res.Outcome = action.DryRun
	}
	res.Scanned = int64(f.counted().files)
	take, later := f.due(now)
	limited, short, over := f.beyond(now, req, take, &later)
	take = append(take, limited...)
	if limit := f.policy.CommonKeys().MaxRemoveFraction; limit != nil && !req.Force && float64(len(take)) > float64(*limit)*float64(len(f.files)) {
		res.Outcome, res.Error = action.Failed, fmt.Sprintf("%d of %d: %v", len(take), len(f.files), action.ErrTooMany)
		return res
	}
	for i := range take {
		f.take(now, &take[i], req.DryRun)
		res.Bytes += int64(float64(take[i].file.size) / f.share)
	}
	res.Files, res.FreedBytes = int64(float64(len(take))/f.share), res.Bytes
	res.MissingEntries, res.Over, res.DueAt = short, over, later
	return res
}

// due returns the files that go by their age, emptiness or size, and when those are old enough that are too young for it.
func (f *folder) due(now time.Time) (take []found, later time.Time) {
	for h, x := range f.files {
		e := x.entry()
		switch v := f.policy.Judge(&e, now); {
		case v.Due():
			take = append(take, found{hash: h, file: x, key: f.policy.CommonKeys().AgeNs(&e), why: v.Reason()})
		case v == policy.TooYoung:
			if at := time.Unix(0, f.policy.CommonKeys().AgeNs(&e)).Add(f.policy.CommonKeys().Floor()); at.After(later) {
				later = at
			}
		}
	}
	oldestFirst(take)
	return take, later
}

func oldestFirst(list []found) {
	slices.SortFunc(list, func(a, b found) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.hash, b.hash)) })
}

// order returns what an entry is ranked by.
func (f *folder) order(e *dirscan.Entry) int64 {
	if c, ok := f.policy.(*policy.Cache); ok {
		return c.UsedNs(e)
	}
	return f.policy.CommonKeys().AgeNs(e)
}

// beyond returns the files that only the limits take: those without content make up for all, and those with content for
// themselves alone.
func (f *folder) beyond(now time.Time, req *action.Request, taken []found, later *time.Time) (take []found, short int64, over bool) {
	gone := make(map[uint64]bool, len(taken))
	for i := range taken {
		gone[taken[i].hash] = true
	}
	var empty, full pile
	for h, x := range f.files {
		if gone[h] {
			continue
		}
		e := x.entry()
		of := &full
		if x.size == 0 {
			of = &empty
		}
		of.files++
		of.bytes += x.size
		switch {
		case f.policy.Judge(&e, now) != policy.NotDue:
		case f.policy.CommonKeys().Removable(&e, now) != policy.Expired:
			if at := time.Unix(0, f.policy.CommonKeys().AgeNs(&e)).Add(f.policy.CommonKeys().Floor()); of.young.IsZero() || at.Before(of.young) {
				of.young = at
			}
		default:
			of.list = append(of.list, found{hash: h, file: x, key: f.order(&e), why: policy.Surplus.Reason()})
		}
	}
	oldestFirst(empty.list)
	oldestFirst(full.list)
	all := pile{files: empty.files + full.files, bytes: empty.bytes + full.bytes}
	if files, _, ok := f.mark(&all, req); ok {
		for all.files > files && len(empty.list) > 0 {
			take, empty.list = append(take, empty.list[0]), empty.list[1:]
			all.files--
		}
	}
	files, bytes, ok := f.mark(&full, req)
	for ok && (full.files > files || full.bytes > bytes) && len(full.list) > 0 {
		next := full.list[0]
		take, full.list = append(take, next), full.list[1:]
		full.files--
		full.bytes -= next.file.size
	}
	if ok && (full.files > files || full.bytes > bytes) {
		short = int64(float64(max(full.files-files, 0)) / f.share)
		_, _, over = f.mark(&full, &action.Request{})
		if full.young.After(*later) {
			*later = full.young
		}
	}
	return take, short, over
}

// pile is a part of the files, of which list may go.
type pile struct {
	files, bytes int64
	young        time.Time // when the first of those that are too young is old enough
	list         []found
}

// mark returns what a part is brought down to, in files of the sample; ok is false where nothing is to be done.
func (f *folder) mark(h *pile, req *action.Request) (files, bytes int64, ok bool) {
	low, always := f.policy.Low(), false
	if f.kind == policy.KindCache {
		if always = req.Relief; req.EvictTo > 0 {
			low, always = req.EvictTo, true
		}
	}
	allFiles, allBytes := int64(float64(h.files)/f.share), int64(float64(h.bytes)/f.share)
	limits := f.policy.Limits(allFiles, allBytes, plenty)
	ratio, limited := limits.UsedRatio(allFiles, allBytes)
	if !limited || ratio <= 1 && !always {
		return 0, 0, false
	}
	part := func(limit int64) int64 {
		if limit == policy.Unlimited {
			return limit
		}
		return int64(float64(int64(low*float64(limit))) * f.share)
	}
	return part(limits.Entries), part(limits.Bytes), true
}
