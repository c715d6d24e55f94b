package replay

import (
	"fmt"
	"math"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// folder is that of one policy: its files as they came and went, without those that the replay has removed.
type folder struct {
	target, kind, name, mode string
	policy                   judging
	metrics                  folderMetrics
	count, size, ratio       *gauge // what the history has of it; may be nil

	log     string // its name there
	events  []folderlog.Event
	share   float64 // of its files that the events are about
	kept    bool    // there are events
	known   bool    // its files are known by now
	since   time.Time
	files   map[uint64]*file
	round   int  // of the last listing
	sweeps  bool // what the last listing did not find is gone
	at      time.Time
	victims []*victim
	removed map[uint64]*victim // the last of each file
	lapsed  bool               // the tally is not that of at
	tally   tally
}

// judging is what the kinds of policies that judge single files have in common.
type judging interface {
	policy.Policy
	policy.Limited
	Judge(e *dirscan.Entry, now time.Time) policy.Verdict
}

// file is one that is there.
type file struct {
	size          int64
	written, used time.Time
	round         int
}

// tally is what a scan would have counted, for all files.
type tally struct{ files, bytes, empty, due, oversize float64 }

// state is a folder next to its limits.
type state struct {
	tally
	ratio   float64
	limited bool
}

// folderMetrics are the series of a kind; nil where it has none.
type folderMetrics struct {
	files, size, ratio, empty, due, oversize *series.Desc
}

var metricsOf = map[string]folderMetrics{
	policy.KindTemp:   {metric.TempFiles, metric.TempSize, metric.TempUsedRatio, metric.TempEmpty, metric.TempExpired, nil},
	policy.KindCache:  {metric.CacheEntries, metric.CacheSize, metric.CacheUsedRatio, nil, metric.CacheExpired, nil},
	policy.KindUpload: {metric.UploadFiles, metric.UploadSize, nil, nil, metric.UploadExpired, metric.UploadOversize},
}

// loadFolders makes the folders of the policies of a target.
func (t *target) loadFolders(o *Options, begin time.Time) error {
	for _, k := range policy.Kinds {
		for _, p := range t.Of(k.Name) {
			judges, ok := p.(judging)
			metrics, known := metricsOf[k.Name]
			if !ok || !known {
				continue
			}
			c := p.CommonKeys()
			f := &folder{
				target: t.Name, kind: k.Name, name: c.Name, mode: t.Mode, policy: judges, metrics: metrics, share: 1,
				log: folderlog.Folder(t.Name, k.Name, c.Name), files: make(map[uint64]*file), removed: make(map[uint64]*victim),
			}
			f.count, f.size = t.find(f.metrics.files, c.Name), t.find(f.metrics.size, c.Name)
			if f.metrics.ratio != nil {
				f.ratio = t.find(f.metrics.ratio, c.Name)
			}
			t.folders = append(t.folders, f)
			if o.Files == nil || c.ByEntry() {
				continue
			}
			var err error
			f.events, f.share, err = o.Files.Events(f.log, begin.Add(-folderlog.ListEvery-time.Hour), o.To)
			if err != nil {
				return fmt.Errorf("read what became of the files of %s: %w", f.log, err)
			}
			f.kept = len(f.events) > 0
		}
	}
	return nil
}

// descs returns the series that follow from the files.
func (f *folder) descs() []*series.Desc {
	if !f.kept {
		return nil
	}
	var out []*series.Desc
	for _, d := range []*series.Desc{f.metrics.empty, f.metrics.due, f.metrics.oversize} {
		if d != nil {
			out = append(out, d)
		}
	}
	return out
}

// owns reports whether a series is one of those that the folder publishes.
func (f *folder) owns(d *series.Desc) bool {
	return d == f.metrics.files || d == f.metrics.size || d == f.metrics.ratio && d != nil
}

// roughBelow is the number of followed files below which what they stand for is off by 5 % and more, for two of three samples.
const roughBelow = 400

// doubts says why the folder is known in part only.
func (f *folder) doubts(o *Options) []string {
	switch {
	case f.policy.CommonKeys().ByEntry():
		return []string{"its policy is about entries of several files, of which nothing is kept: its files are not judged"}
	case len(f.events) == 0:
		return []string{"nothing is kept of its files: it is judged by their number and size, a run counts as one that found something, and its victims are not known"}
	}
	var out []string
	if f.policy.NeedsFree() {
		out = append(out, "what was free alongside it is not kept: min_free_bytes and min_free_inodes count by the limits of the time")
	}
	if f.events[0].Time.After(o.From) {
		out = append(out, "its files are known since "+f.events[0].Time.UTC().Format(time.RFC3339))
	}
	if n := f.followed(); f.share < 1 && n < roughBelow {
		out = append(out, fmt.Sprintf("its numbers are rough: they are estimated from %d %s, one in %.0f, since many more came and went in this span", n, plural(n, "file", "files"), 1/f.share))
	}
	return out
}

// followed returns how many files the events are about.
func (f *folder) followed() int {
	files := make(map[uint64]bool)
	for i := range f.events {
		if f.events[i].Kind != folderlog.Listed {
			files[f.events[i].Hash] = true
		}
	}
	return len(files)
}

// advance lets pass what happened until a time.
func (f *folder) advance(now time.Time) {
	f.at, f.lapsed = now, true
	n := 0
	for ; n < len(f.events) && !f.events[n].Time.After(now); n++ {
		e := &f.events[n]
		if f.sweeps && e.Time.After(f.since) {
			f.sweep()
		}
		f.happens(e)
	}
	f.events = f.events[n:]
	if f.sweeps {
		f.sweep()
	}
}

// sweep drops the files that a listing did not find.
func (f *folder) sweep() {
	f.sweeps = false
	for h, x := range f.files {
		if x.round < f.round {
			delete(f.files, h)
		}
	}
}

func (f *folder) happens(e *folderlog.Event) {
	v := f.removed[e.Hash]
	switch e.Kind {
	case folderlog.Listed:
		f.known, f.sweeps, f.since = true, true, e.Time
		f.round++
	case folderlog.Found:
		if v != nil && v.gone && !e.Written.After(v.at) {
			return // the replay has removed it
		}
		f.comes(e, v, e.Written, e.Used)
	case folderlog.Written:
		f.comes(e, v, e.Time, e.Time)
	case folderlog.Opened:
		v.usedAgain(e.Time)
		if x := f.files[e.Hash]; x != nil {
			x.used = e.Time
		}
	case folderlog.Deleted:
		delete(f.files, e.Hash)
	}
}

// comes adds a file, or writes it anew. One that was removed and is made again was needed.
func (f *folder) comes(e *folderlog.Event, v *victim, written, used time.Time) {
	if v != nil && written.After(v.at) {
		v.usedAgain(written)
		v.gone = false
	}
	if x := f.files[e.Hash]; x != nil && x.used.After(used) {
		used = x.used
	}
	f.files[e.Hash] = &file{size: e.Size, written: written, used: used, round: f.round}
}

// entry is a file as a policy judges it.
func (x *file) entry() dirscan.Entry {
	return dirscan.Entry{
		SizeBytes: x.size, AllocatedBytes: x.size, Nlink: 1, MtimeNs: x.written.UnixNano(), CtimeNs: x.written.UnixNano(), AtimeNs: x.used.UnixNano(),
	}
}

// counted counts the files by now.
func (f *folder) counted() tally {
	if !f.lapsed {
		return f.tally
	}
	f.lapsed, f.tally = false, tally{}
	for _, x := range f.files {
		e := x.entry()
		f.tally.files++
		f.tally.bytes += float64(x.size)
		if x.size == 0 {
			f.tally.empty++
		}
		switch v := f.policy.Judge(&e, f.at); {
		case f.metrics.oversize != nil && f.oversize(&e):
			f.tally.oversize++
		case v.Due():
			f.tally.due++
		}
	}
	for _, n := range []*float64{&f.tally.files, &f.tally.bytes, &f.tally.empty, &f.tally.due, &f.tally.oversize} {
		*n /= f.share
	}
	return f.tally
}

func (f *folder) oversize(e *dirscan.Entry) bool {
	u, ok := f.policy.(*policy.Upload)
	return ok && u.Oversize(e)
}

// plenty is what is free where that is not known.
var plenty = policy.Free{Bytes: math.MaxInt64 / 4, Inodes: math.MaxInt64 / 4}

// state returns how full the folder is in the five minutes that begin at a time.
func (f *folder) state(at time.Time, choose func(history.Point) float64) (s state, ok bool) {
	if f.known {
		s.tally = f.counted()
	} else {
		files, ok := pointOf(f.count, at)
		size, sized := pointOf(f.size, at)
		if !ok || !sized {
			return s, false
		}
		s.tally = tally{files: choose(files), bytes: choose(size)}
	}
	s.ratio, s.limited = f.policy.Limits(int64(s.files), int64(s.bytes), plenty).UsedRatio(int64(s.files), int64(s.bytes))
	if ratio, ok := pointOf(f.ratio, at); ok && f.policy.NeedsFree() {
		s.ratio, s.limited = choose(ratio), true
	}
	s.due += s.oversize
	return s, true
}

// publish sets the series of the folder, and the limits of its policy.
func (f *folder) publish(b *series.Batch, at time.Time, choose func(*gauge, history.Point) float64) {
	set := func(d *series.Desc, v float64) { b.Set(d, v, f.target, f.name) }
	f.limits(set)
	what := &gauge{desc: f.metrics.files}
	s, ok := f.state(at, func(p history.Point) float64 { return choose(what, p) })
	if !ok {
		return
	}
	set(f.metrics.files, s.files)
	set(f.metrics.size, s.bytes)
	if f.metrics.ratio != nil && s.limited {
		set(f.metrics.ratio, s.ratio)
	}
	if !f.known {
		return
	}
	if f.metrics.empty != nil {
		set(f.metrics.empty, s.empty)
	}
	set(f.metrics.due, s.due-s.oversize)
	if f.metrics.oversize != nil {
		set(f.metrics.oversize, s.oversize)
	}
}

func (f *folder) limits(set func(*series.Desc, float64)) {
	above := func(d *series.Desc, v float64) {
		if v > 0 {
			set(d, v)
		}
	}
	switch p := f.policy.(type) {
	case *policy.Temp:
		above(metric.TempMaxFiles, float64(p.MaxFiles))
		above(metric.TempMaxSize, float64(p.MaxBytes))
	case *policy.Cache:
		if p.MinHitRate != nil {
			set(metric.CacheMinHitRatio, float64(*p.MinHitRate))
		}
	case *policy.Upload:
		above(metric.UploadMaxSize, float64(p.MaxBytes))
	}
}

// acts reports whether the target of the folder is in a mode in which a policy removes by itself.
func (f *folder) acts() bool { return f.mode == config.Enforce }
