package action

import (
	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// cleanTemp removes temporary files that are expired or empty for too long, and then, of those that
// exceed max_files, the empty ones and the oldest.
func cleanTemp(r *dirRun, p *policy.Temp) error {
	j := &judged{
		dirRun: r, judge: p.Judge, size: func(*dirscan.Entry) int64 { return 0 },
		limit: amount{unlimited, unlimited}, ranks: r.emptyFirst,
	}
	if p.MaxFiles > 0 {
		j.limit.files = p.MaxFiles
	}
	missing, err := j.enforce()
	if err == nil && missing != (amount{}) {
		r.opts.Logger.Warn("there are more temporary files than max_files: the rest is in use, too young or was touched meanwhile",
			"target", r.opts.Target, "dir", p.Name, "missing_files", missing.files, "skipped", skippedText(r.res.Skipped))
	}
	return err
}

func saidTemp(res *PolicyResult) (msg string, args []any) {
	return "cleaned temp files", []any{"dir", res.Policy, "files", res.Files, "freed", units.Bytes(res.FreedBytes).Short()}
}
