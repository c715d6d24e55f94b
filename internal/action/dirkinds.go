package action

import (
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

// cleanTemp removes temporary files that are expired or empty for too long, and then, where a limit is
// exceeded, the empty ones and the oldest.
func cleanTemp(r *dirRun, p *policy.Temp) error {
	if err := r.removeEmptyDirs(p.EmptyDirs()); err != nil {
		return err
	}
	return (&judged{dirRun: r, judge: p.Judge, limit: p}).enforce()
}

func saidTemp(res *PolicyResult, dry bool) (msg string, args []any) {
	return said(dry, "cleaned temp files", "would clean temp files"), saidFolders(res, append(append([]any{"dir", res.Policy}, countArgs(res, "files")...), freedKey(dry), units.Bytes(res.FreedBytes).String()))
}

// enforceUploads removes uploaded files, or moves them into a quarantine: those that are too large,
// those that have expired, and then the oldest until the rest is within its limit. A file that is
// still being written is open, and stays.
func enforceUploads(r *dirRun, p *policy.Upload) error {
	return (&judged{dirRun: r, judge: p.Judge, limit: p}).enforce()
}

func saidUploads(res *PolicyResult, dry bool) (msg string, args []any) {
	return said(dry, "uploads enforced", "would enforce the limits of uploads"), append(append([]any{"dir", res.Policy}, countArgs(res, "files")...), "size", units.Bytes(res.Bytes).String(),
		freedKey(dry), units.Bytes(res.FreedBytes).String(), "quarantine", res.Quarantine)
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
