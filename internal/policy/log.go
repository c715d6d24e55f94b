package policy

import (
	"cmp"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// How a log is rotated.
const (
	RotateCopyTruncate = "copy_truncate" // the writer keeps its descriptor and need not know
	RotateRename       = "rename"        // the writer is signalled and opens a new file
)

const (
	defaultKeepFiles = 5
	maxKeepFiles     = 1000
)

// oneDay is the least that daily names can distinguish.
const oneDay = units.Duration(24 * time.Hour)

// Log is the policy of a folder of logs. Its include and keep globs are on the names of the logs
// themselves; what has been rotated belongs to its log.
type Log struct {
	Common      `yaml:",inline"`
	MaxBytes    units.Bytes    `yaml:"max_bytes"`    // a log larger than this is rotated
	RotateAfter units.Duration `yaml:"rotate_after"` // a log is rotated when its last rotation is this old, or it is and has never been rotated, however small it is; with every and no max_bytes, every is meant
	KeepFiles   *int64         `yaml:"keep_files"`   // rotated files that are kept of each log
	Compress    bool           `yaml:"compress"`     // gzip what has been rotated
	MaxAge      units.Duration `yaml:"max_age"`      // rotated files older than this go, by the time in their name
	DateExt     bool           `yaml:"date_ext"`     // name rotated files by the day, such as app.log-20260102, as logrotate's dateext does
	OldDir      string         `yaml:"olddir"`       // the name of a sub-folder next to each log that rotated files go into, such as old
	SelfDated   bool           `yaml:"self_dated"`   // files with a date in their name, such as catalina.2026-01-02.log, are never rotated, and expire by keep_files and max_age
	Rotate      string         `yaml:"rotate"`       // copy alongside the log and cut it, or rename it and signal its writers
	Signal      string         `yaml:"signal"`       // with rename: the signal at which the program opens its logs anew, such as SIGUSR1
	Every       units.Duration `yaml:"every"`        // also rotate on this schedule, without an alert
}

// Keeps returns how many rotated files of each log are kept.
func (l *Log) Keeps() int {
	if l.KeepFiles == nil {
		return defaultKeepFiles
	}
	return int(*l.KeepFiles)
}

// Schedule returns how often logs are looked at without an alert. A log that is due by age has no
// alert: without a schedule of its own it is looked at every hour, or as often as it is due.
func (l *Log) Schedule() time.Duration {
	if l.Every == 0 && l.RotateAfter > 0 {
		return min(l.RotateAfter.Std(), time.Hour)
	}
	return l.Every.Std()
}

// Renames reports whether logs are renamed and their writers signalled.
func (l *Log) Renames() bool { return l.Rotate == RotateRename }

// Oversize reports whether a log is to be rotated because of its size.
func (l *Log) Oversize(sizeBytes, allocatedBytes int64) bool {
	return l.MaxBytes > 0 && l.Size(&dirscan.Entry{SizeBytes: sizeBytes, AllocatedBytes: allocatedBytes}) > int64(l.MaxBytes)
}

func (l *Log) applyDefaults() {
	keeps := int64(l.Keeps())
	l.KeepFiles = &keeps
	l.Rotate = cmp.Or(l.Rotate, RotateCopyTruncate)
	if l.MaxBytes == 0 && l.RotateAfter == 0 && !l.SelfDated {
		l.RotateAfter = l.Every
	}
}

// checkWhen reports what is wrong with when a log is rotated.
func (l *Log) checkWhen(report report.Func) {
	const key = "rotate_after"
	switch {
	case l.MaxBytes < 0 || l.MaxBytes == 0 && l.RotateAfter == 0 && !l.SelfDated:
		report("max_bytes", "is missing: write the size above which a log is rotated, such as 100MiB, or rotate_after: 1d")
	case l.RotateAfter == 0:
	case l.RotateAfter < units.Duration(time.Minute):
		report(key, "%s is too often: write at least 1m", l.RotateAfter)
	case l.DateExt && l.RotateAfter < oneDay:
		report(key, "%s is less than the day that date_ext names: write at least 1d, or remove date_ext", l.RotateAfter)
	case l.Keeps() == 0:
		report("keep_files", "0 leaves nothing that says when a log was last rotated, as rotate_after needs it: write at least 1")
	case l.MaxAge > 0 && l.MaxAge < l.RotateAfter:
		report("max_age", "%s is less than rotate_after, so that nothing would say when a log was last rotated: write at least %s", l.MaxAge, l.RotateAfter)
	}
}

// Validate applies the defaults and reports every mistake of a log policy, with its key and what to
// write instead.
func (l *Log) Validate(report report.Func) {
	l.validate(report)
	l.applyDefaults()
	if l.KeepFiles != nil && (*l.KeepFiles < 0 || *l.KeepFiles > maxKeepFiles) {
		report("keep_files", "%d is out of range: write 0 to %d rotated files of each log", *l.KeepFiles, maxKeepFiles)
	}
	l.logsAreFiles(report)
	choose(report, "rotate", l.Rotate, RotateCopyTruncate, RotateRename)
	switch {
	case l.Renames() && l.Signal == "":
		report("signal", "is missing: write the signal at which the program opens its logs anew, such as SIGUSR1, or write rotate: copy_truncate")
	case !l.Renames() && l.Signal != "":
		report("signal", "is for rotate: rename: remove the key, or write that")
	}
	l.checkWhen(report)
	if strings.ContainsRune(l.OldDir, '/') || l.OldDir == "." || l.OldDir == ".." || strings.HasPrefix(l.OldDir, HoldingName) {
		report("olddir", "%q is not the name of a folder next to the log: write one such as old, which is made where it is missing", l.OldDir)
	}
	if l.Links == LinksRemove {
		report("links", "a log with several hard links is never rotated: remove the key")
	}
}
