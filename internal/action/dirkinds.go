package action

import (
	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// dirKind is how the policies of one kind are enforced.
type dirKind struct {
	// work does it for one policy.
	work func(*dirRun, policy.Policy) error
	// said returns the message of the log for what was done, and what only this kind says in it.
	said func(res *PolicyResult, dry bool) (msg string, args []any)
	// detail, where it is set, says in the journal what was done, when nothing else has to be said there.
	detail func(policies []PolicyResult, dry bool) string
}

// dirKinds are the kinds by their names in policy.Kinds.
var dirKinds = map[string]dirKind{
	policy.KindCache:  {work: on(evictCache), said: saidCache},
	policy.KindTemp:   {work: on(cleanTemp), said: saidTemp},
	policy.KindUpload: {work: on(enforceUploads), said: saidUploads},
	policy.KindLog:    {work: on(rotateLogs), said: saidLogs, detail: detailLogs},
}

// on makes work on policies of one kind one on any policy.
func on[P policy.Policy](work func(*dirRun, P) error) func(*dirRun, policy.Policy) error {
	return func(r *dirRun, p policy.Policy) error { return work(r, p.(P)) }
}

// cleanTemp removes temporary files that are expired or empty for too long, and then, of those that
// exceed max_files, the empty ones and the oldest.
func cleanTemp(r *dirRun, p *policy.Temp) error {
	if err := r.removeEmptyDirs(p.EmptyDirs()); err != nil {
		return err
	}
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

func saidTemp(res *PolicyResult, dry bool) (msg string, args []any) {
	return said(dry, "cleaned temp files", "would clean temp files"), saidFolders(res, []any{"dir", res.Policy, "files", res.Files, freedKey(dry), units.Bytes(res.FreedBytes).Short()})
}

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

func saidUploads(res *PolicyResult, dry bool) (msg string, args []any) {
	return said(dry, "uploads enforced", "would enforce the limits of uploads"), []any{
		"dir", res.Policy, "files", res.Files, "size", units.Bytes(res.Bytes).Short(),
		freedKey(dry), units.Bytes(res.FreedBytes).Short(), "quarantine", res.Quarantine,
	}
}

// said is what a run has done, or would do.
func said(dry bool, done, would string) string {
	if dry {
		return would
	}
	return done
}

// freedKey is the name in the log of what was freed, or would be.
func freedKey(dry bool) string { return said(dry, "freed", "would_free") }
