package policy

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
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

// Log is the policy of a folder of logs. Its include and keep globs are on the names of the logs
// themselves; what has been rotated belongs to its log.
type Log struct {
	Common    `yaml:",inline"`
	MaxBytes  units.Bytes    `yaml:"max_bytes"`  // a log larger than this is rotated
	KeepFiles *int64         `yaml:"keep_files"` // rotated files that are kept of each log
	Compress  bool           `yaml:"compress"`   // gzip what has been rotated
	MaxAge    units.Duration `yaml:"max_age"`    // rotated files older than this go, by the time in their name
	Rotate    string         `yaml:"rotate"`     // copy beside the log and cut it, or rename it and signal its writers
	Signal    string         `yaml:"signal"`     // with rename: the signal at which the program opens its logs anew, such as SIGUSR1
	Every     units.Duration `yaml:"every"`      // also rotate on this schedule, without an alert
}

// Keeps returns how many rotated files of each log are kept.
func (l *Log) Keeps() int {
	if l.KeepFiles == nil {
		return defaultKeepFiles
	}
	return int(*l.KeepFiles)
}

// Schedule returns how often logs are rotated without an alert.
func (l *Log) Schedule() time.Duration { return l.Every.Std() }

// Renames reports whether logs are renamed and their writers signalled.
func (l *Log) Renames() bool { return l.Rotate == RotateRename }

// Oversize reports whether a log is to be rotated.
func (l *Log) Oversize(sizeBytes, allocatedBytes int64) bool {
	return l.Size(&dirscan.Entry{SizeBytes: sizeBytes, AllocatedBytes: allocatedBytes}) > int64(l.MaxBytes)
}

func (l *Log) applyDefaults() {
	keeps := int64(l.Keeps())
	l.KeepFiles = &keeps
	l.Rotate = cmp.Or(l.Rotate, RotateCopyTruncate)
}

// Validate applies the defaults and reports every mistake of a log policy, with its key and what to
// write instead.
func (l *Log) Validate(report report.Func) {
	l.validate(report)
	l.applyDefaults()
	if l.MaxBytes <= 0 {
		report("max_bytes", "is missing: write the size above which a log is rotated, such as 100MiB")
	}
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
	if l.Links == LinksRemove {
		report("links", "a log with several hard links is never rotated: remove the key")
	}
}

// The names that a rotation makes: app.log.20260102T150405Z, with -2 and so on where two fall into
// one second, and .gz.
const (
	stampForm      = "20060102T150405Z"
	rotationPrefix = ".spillway-rotate-"
	rotationSuffix = ".tmp"
	gzipSuffix     = ".gz"
)

// RotatedName returns the name that a log gets when it is rotated. serial tells those of one
// second apart, from 1.
func RotatedName(log string, at time.Time, serial int, compressed bool) string {
	name := log + "." + at.UTC().Format(stampForm)
	if serial > 1 {
		name += "-" + strconv.Itoa(serial)
	}
	if compressed {
		name += gzipSuffix
	}
	return name
}

// RotationTemp returns the name of a file that is being written beside a log.
func RotationTemp(ino uint64, pid int) string {
	return rotationPrefix + strconv.FormatUint(ino, 10) + "-" + strconv.Itoa(pid) + rotationSuffix
}

// IsRotationTemp reports whether a name is that of a file which a rotation was writing.
func IsRotationTemp(name []byte) bool {
	return bytes.HasPrefix(name, []byte(rotationPrefix)) && bytes.HasSuffix(name, []byte(rotationSuffix))
}

// Rotation is what the name of a rotated log says.
type Rotation struct {
	Log        []byte // the name of the log; a part of the name that was parsed
	At         time.Time
	Serial     int
	Compressed bool
}

// ParseRotated takes the name of a rotated log apart; ok is false for any other name.
func ParseRotated(name []byte) (r Rotation, ok bool) {
	r.Serial = 1
	rest, compressed := bytes.CutSuffix(name, []byte(gzipSuffix))
	r.Compressed = compressed
	dot := bytes.LastIndexByte(rest, '.')
	if dot < 1 || len(rest)-dot-1 < len(stampForm) {
		return r, false
	}
	r.Log = rest[:dot]
	stamp, serial := rest[dot+1:dot+1+len(stampForm)], rest[dot+1+len(stampForm):]
	at, err := time.Parse(stampForm, string(stamp))
	if err != nil {
		return r, false
	}
	r.At = at
	if len(serial) > 0 {
		n, err := strconv.Atoi(string(serial[1:]))
		if err != nil || serial[0] != '-' || n < 2 || serial[1] == '0' || serial[1] == '+' {
			return r, false
		}
		r.Serial = n
	}
	return r, true
}

// LogKind is what a file in a folder of logs is.
type LogKind uint8

// The kinds.
const (
	LogOther   LogKind = iota // none of the policy's
	LogLive                   // a log
	LogRotated                // a log that has been rotated
	LogTemp                   // what a rotation was writing
)

// KindOf tells what a name means in a folder of logs; r is set for LogRotated.
func (n *Names) KindOf(name []byte) (k LogKind, r Rotation) {
	if IsRotationTemp(name) {
		return LogTemp, r
	}
	if r, ok := ParseRotated(name); ok {
		if n.Select(r.Log) {
			return LogRotated, r
		}
		return LogOther, r
	}
	if n.Select(name) {
		return LogLive, r
	}
	return LogOther, r
}

// maxTally bounds the rotated logs that are looked at in one run. When there are more, what is
// found due among these is due in any case, and the rest waits for the next run.
const maxTally = 4096

// Tally collects the rotated logs of a policy and says which are to go.
type Tally struct {
	policy *Log
	list   []tallied
}

type tallied struct {
	log    string
	at     time.Time
	serial int
	index  int
}

// NewTally returns an empty tally.
func NewTally(l *Log) *Tally { return &Tally{policy: l} }

// Add adds a rotated log. folder is the path of its folder. It returns a number from 0 up, and
// false when there is no more room.
func (t *Tally) Add(folder []byte, r Rotation) (index int, ok bool) {
	if len(t.list) >= maxTally {
		return 0, false
	}
	index = len(t.list)
	t.list = append(t.list, tallied{string(folder) + string(r.Log), r.At, r.Serial, index})
	return index, true
}

// DueLog is a rotated log that is to go, by the number that Add gave it.
type DueLog struct {
	Index int
	Why   Verdict // Expired or Surplus
}

// Due returns the rotated logs that are to go: those over max_age, and of each log the oldest
// beyond keep_files. Their age is measured from when they were rotated, which their name says.
func (t *Tally) Due(now time.Time) []DueLog {
	slices.SortFunc(t.list, func(a, b tallied) int { // of each log the newest first
		return cmp.Or(cmp.Compare(a.log, b.log), b.at.Compare(a.at), cmp.Compare(b.serial, a.serial))
	})
	var out []DueLog
	kept := 0
	for i := range t.list {
		f := &t.list[i]
		if i == 0 || t.list[i-1].log != f.log {
			kept = 0
		}
		switch maxAge := t.policy.MaxAge.Std(); {
		case kept >= t.policy.Keeps():
			out = append(out, DueLog{f.index, Surplus})
		case maxAge > 0 && now.Sub(f.at) >= maxAge:
			out = append(out, DueLog{f.index, Expired})
		default:
			kept++
		}
	}
	return out
}
