package action

import (
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// enforceUploads removes uploaded files, or moves them into a quarantine: those that are too large,
// those that have expired, and then the oldest until the rest is within its limit. A file that is
// still being written is open, and stays.
func enforceUploads(r *dirRun, p *policy.Upload) error {
	j := &judged{dirRun: r, judge: p.Judge, size: p.Size, limit: amount{unlimited, unlimited}, ranks: r.oldestFirst}
	if p.MaxBytes > 0 {
		j.limit.bytes = int64(p.MaxBytes)
	}
	missing, err := j.enforce()
	if err == nil && missing != (amount{}) {
		r.opts.Logger.Warn("the uploads are not down to max_bytes: the rest is in use, too young or was touched meanwhile",
			"target", r.opts.Target, "dir", p.Name, "missing", units.Bytes(missing.bytes).Short())
	}
	return err
}

func saidUploads(res *PolicyResult) (msg string, args []any) {
	return "uploads enforced", []any{
		"dir", res.Policy, "files", res.Files, "size", units.Bytes(res.Bytes).Short(),
		"freed", units.Bytes(res.FreedBytes).Short(), "quarantine", res.Quarantine,
	}
}
