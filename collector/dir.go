package collector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// DirOptions configure a DirSource. Target, Kind and Policy are required.
type DirOptions struct {
	Target string
	Kind   string          // of the policy, as policy.Kinds names it
	Policy policy.Policy   // it has been validated
	Opens  *hitrate.Handle // of a cache: infers its hits; nil = they are not inferred
	Window int             // over so many scans
	// Open opens the folder of a policy that is named as the target has it; nil = by its path.
	Open func() (dirscan.Opened, error)
	// Shapes is called after each scan with the shapes of names that fill the folder; nil = they are not kept. One file that
	// was looked at stands for so many.
	Shapes func(at time.Time, every int64, shapes []dirscan.Shape)
	// Log returns what keeps what becomes of the files; nil, as its result may be = nothing does.
	Log func() *folderlog.Log
}

// DirSource is the Source of the folder of one directory policy, named after the policy's kind.
type DirSource struct {
	walkers
	target string
	common *policy.Common
	names  *policy.Names
	meter  dirMeter
	open   func() (dirscan.Opened, error)
	away   atomic.Bool

	entries *entryScan // nil: each file is an entry
	traces  *follower  // nil: what becomes of the files is not kept

	shapes *dirscan.Shapes // nil: they are not kept
	report func(at time.Time, every int64, shapes []dirscan.Shape)
}

// setFunc sets a series of the folder. more are labels next to those of the target and the policy.
type setFunc func(d *series.Desc, v float64, more ...string)

// dirMeter is what a kind measures in its folder.
type dirMeter interface {
	// limits sets what is known without a look at the folder.
	limits(set setFunc)
	// begin completes the options of a scan, and returns what sets the result of one that has ended.
	begin(ctx context.Context, now time.Time, o *dirscan.Options) (end func(setFunc, *dirscan.Result) error)
}

// NewDir returns the source of a policy's folder.
func NewDir(o DirOptions) (*DirSource, error) {
	c := o.Policy.CommonKeys()
	names, err := c.Compile()
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", o.Kind, c.Name, err)
	}
	entries, err := newEntryScan(c, names)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", o.Kind, c.Name, err)
	}
	s := &DirSource{target: o.Target, common: c, names: names, meter: dirMeters[o.Kind](&o, names), open: o.Open, entries: entries, report: o.Shapes, traces: newFollower(&o)}
	if o.Shapes != nil {
		s.shapes = new(dirscan.Shapes)
	}
	return s, nil
}

// Sample implements Source. The limits are there even where the folder is not.
func (s *DirSource) Sample(ctx context.Context, b *series.Batch) error {
	set := func(d *series.Desc, v float64, more ...string) {
		b.Set(d, v, append([]string{s.target, s.common.Name}, more...)...)
	}
	s.meter.limits(set)
	scan := dirscan.Options{
		Dir: s.common.Where(), Open: s.open, Recursive: s.common.IsRecursive(), Select: s.names.Select, Except: s.names.Except(), Skip: s.names.SkipFolder, Age: s.common.AgeNs,
	}
	if s.shapes != nil {
		s.shapes.Reset()
		scan.Shapes = s.shapes
	}
	end := s.meter.begin(ctx, b.Time, &scan)
	noted := func() {}
	if s.traces != nil {
		noted = s.traces.begin(&scan, b.Time)
	}
	res, err := s.walk(ctx, scan, b.Time)
	s.away.Store(errors.Is(err, dirscan.ErrAway))
	if err != nil {
		return scanError(s.common.Where(), err)
	}
	if s.shapes != nil {
		s.report(b.Time, s.shapes.Every(), s.shapes.Top())
		s.shapes.Files = res.Files
	}
	lacks := unreadable(s.common.Where(), &res)
	if lacks == nil { // what was not seen is not gone
		noted()
	}
	return errors.Join(lacks, end(set, &res))
}

// walk scans the folder by files or, where the policy has them, by entries.
func (s *DirSource) walk(ctx context.Context, o dirscan.Options, now time.Time) (dirscan.Result, error) {
	if s.entries == nil {
		return s.scan(ctx, o)
	}
	return s.entries.scan(o, now, func(o dirscan.Options) (dirscan.Result, error) { return s.scan(ctx, o) })
}

// Away reports whether the process or pod that has the folder was not there at the last sample. To look
// again costs next to nothing then.
func (s *DirSource) Away() bool { return s.away.Load() }

// scanError turns a folder whose process or pod is not there into ErrAbsent. One that does not exist is a
// failure: its path may be wrong, and then nothing would be watched, without a word.
func scanError(dir string, err error) error {
	switch {
	case errors.Is(err, dirscan.ErrAway):
		return fmt.Errorf("%w: %w", ErrAbsent, err)
	case errors.Is(err, fs.ErrNotExist):
		return missingFolder(dir)
	}
	return err
}

// missingFolder is the error of a folder that does not exist.
type missingFolder string

func (dir missingFolder) Error() string {
	return string(dir) + " does not exist: create the folder, or correct its dir"
}

func (missingFolder) Is(target error) bool { return target == fs.ErrNotExist }

// unreadable is the error of a scan that could not read a part of the tree: what was published
// is too small. It names the most frequent reason, so that it stays the same from scan to scan.
func unreadable(dir string, res *dirscan.Result) error {
	n := res.Skipped[dirscan.SkipError]
	if n == 0 {
		return nil
	}
	var most unix.Errno
	for errno, count := range res.Errnos {
		if count > res.Errnos[most] || count == res.Errnos[most] && errno < most {
			most = errno
		}
	}
	return fmt.Errorf("%s: %d folders or files below it cannot be read, most of them for: %w; what is published lacks them", dir, n, most)
}

func seconds(ns int64) float64 { return float64(ns/int64(time.Millisecond)) / 1000 }
