package policy

import (
	"path/filepath"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Upload is the policy of a folder that users send files to.
type Upload struct {
	Common       `yaml:",inline"`
	MaxFileBytes units.Bytes    `yaml:"max_file_bytes"` // a larger file goes
	MaxBytes     units.Bytes    `yaml:"max_bytes"`      // the oldest beyond it go, not counting what is due and only too young
	MaxAge       units.Duration `yaml:"max_age"`        // files older than this go

	// Absolute path of a folder that files are moved into in place of being removed, named by time, inode and their old name. It
	// exists, is on the same filesystem, belongs to root or to the exporter's user, can be written by no one else, lies outside of every policy's folder, and is never cleaned.
	Quarantine string `yaml:"quarantine"`

	Every units.Duration `yaml:"every"` // also enforce on this schedule, without an alert
}

// Schedule returns how often the policy is enforced without an alert.
func (u *Upload) Schedule() time.Duration { return u.Every.Std() }

// Places returns the root and the quarantine.
func (u *Upload) Places() []Place {
	return append(u.Common.Places(), Place{Key: KeyQuarantine, Dir: &u.Quarantine})
}

// Oversize reports whether a file is larger than one may be.
func (u *Upload) Oversize(e *dirscan.Entry) bool {
	return u.MaxFileBytes > 0 && u.Size(e) > int64(u.MaxFileBytes)
}

// Judge says whether an uploaded file is to go by itself: for its size, or else for its age.
func (u *Upload) Judge(e *dirscan.Entry, now time.Time) Verdict {
	age := now.UnixNano() - u.AgeNs(e)
	v := NotDue
	switch {
	case u.Oversize(e):
		v = Oversized
	case u.MaxAge > 0 && age >= int64(u.MaxAge):
		v = Expired
	}
	switch {
	case age < -int64(futureSlack):
		return Future
	case v.Due() && age < int64(u.Floor()):
		return TooYoung
	}
	return v
}

// NeedsFree implements Limited.
func (u *Upload) NeedsFree() bool { return false }

// Limits implements Limited.
func (u *Upload) Limits(entries, bytes int64, free Free) Limits {
	return bounds{bytes: u.MaxBytes}.limits(entries, bytes, free)
}

// Low implements Limited.
func (u *Upload) Low() float64 { return 1 }

// everyName are globs that match every name, and name those of bookkeeping which a user could choose to
// have a file of his stay. What is kept all the same lies there because of the web server or of git.
var everyName = []string{"*", ".*", "*.lock", ".*.lock", "lock", "LOCK", "index", "stats", "*.m3u8", ".*.m3u8", "*.mpd", ".*.mpd", "*index.json", ".*index.json", ".nfs*"}

// Validate applies the defaults and reports every mistake of an upload policy, with its key and
// what to write instead.
func (u *Upload) Validate(report report.Func) {
	if u.Include == nil || slices.Equal(u.Include, []string{"*"}) { // users name the files: no name may stay because of how it looks
		u.Include = slices.Clone(everyName)
	}
	u.validate(report)
	if u.MaxFileBytes == 0 && u.MaxBytes == 0 && u.MaxAge == 0 {
		report("max_bytes", "no limit is set: write at least one of max_file_bytes, max_bytes and max_age")
	}
	if u.MaxBytes > 0 && u.MaxFileBytes > u.MaxBytes {
		report("max_file_bytes", "%s for one file is more than max_bytes, %s, for all: write less, or raise max_bytes", u.MaxFileBytes, u.MaxBytes)
	}
	u.needsPath(report, KeyQuarantine, u.Quarantine != "", "remove the key, or write strict: true")
	switch q := u.Quarantine; {
	case q == "":
	case !filepath.IsAbs(q):
		report("quarantine", "%q is not absolute: write the whole path from /", q)
	case filepath.Clean(q) != q:
		report("quarantine", "%q is not clean: write %q", q, filepath.Clean(q))
	case u.Strict:
		report("strict", "is what quarantine does anyway: remove one of the two keys")
	}
}
