package collector

import (
	"cmp"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/folderlog"
	"github.com/spillway-exporter/spillway_exporter/internal/hitrate"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// mostFollowed is the number of files of a folder above which half of them are followed, by their hashes, then a quarter.
const mostFollowed = 4096

// follower notes what becomes of the files of a folder from one scan to the next. Its memory is bounded.
type follower struct {
	log    func() *folderlog.Log // nil where nothing is kept
	folder string
	common *policy.Common
	opens  *hitrate.Handle // of a cache whose opens are watched

	began      bool       // last is there
	at         time.Time  // of the last scan
	seen, last []followed // by hash
	bits       uint
	path       []byte
	in         *dirscan.Folder // whose hash is seed
	serial     uint64
	seed       uint64
}

// followed is one file, as a scan has found it. Times are in milliseconds.
type followed struct {
	hash          uint64
	size          int64
	written, used int64
}

// newFollower returns the follower of a policy's folder; nil where none is needed. Logs change all the time, and entries of
// several files have no size and age of their own between two scans.
func newFollower(o *DirOptions) *follower {
	c := o.Policy.CommonKeys()
	if o.Log == nil || o.Kind == policy.KindLog || c.ByEntry() {
		return nil
	}
	return &follower{log: o.Log, folder: folderlog.Folder(o.Target, o.Kind, c.Name), common: c, opens: o.Opens}
}

// begin follows the files of a scan. The function that it returns is called after one that has seen the whole folder.
func (f *follower) begin(o *dirscan.Options, now time.Time) (end func()) {
	log := f.log()
	if log == nil {
		return func() {}
	}
	bits, list := log.Begin(f.folder, now)
	list = list || !f.began
	f.seen, f.in, f.bits = f.seen[:0], nil, bits
	visit := o.Visit
	o.Visit = func(e *dirscan.Entry) error {
		f.see(e)
		for len(f.seen) > mostFollowed {
			log.Thin(f.folder)
			f.bits++
			f.seen = slices.DeleteFunc(f.seen, func(x followed) bool { return !folderlog.Sampled(x.hash, f.bits) })
		}
		return visit(e)
	}
	return func() {
		slices.SortFunc(f.seen, func(a, b followed) int { return cmp.Compare(a.hash, b.hash) })
		f.note(log, list, now)
		f.seen, f.last, f.at, f.began = f.last, f.seen, now, true
		_ = log.Flush(now) // which says itself what fails
	}
}

// see notes a file that is in the sample.
func (f *follower) see(e *dirscan.Entry) {
	if e.Parent != f.in || e.Parent.Serial() != f.serial {
		f.path = e.Parent.AppendPath(f.path[:0])
		f.in, f.serial, f.seed = e.Parent, e.Parent.Serial(), hashOn(fnvOffset, f.path)
	}
	h := mixed(hashOn(f.seed, e.Name))
	if !folderlog.Sampled(h, f.bits) {
		return
	}
	x := followed{hash: h, size: f.common.Size(e), written: e.NewestNs(), used: max(e.AtimeNs, e.MtimeNs)}
	if f.common.AgeBy == policy.AgeMtime {
		x.written = e.MtimeNs
	}
	if x.size == 0 && e.SizeBytes > 0 {
		x.size = e.SizeBytes // in its inode, and not empty
	}
	if f.opens != nil {
		x.used = max(x.used, f.opens.LastUseNs(e.AppendPath(f.path[:0])))
		f.in = nil // its path was overwritten
	}
	x.written, x.used = x.written/int64(time.Millisecond), x.used/int64(time.Millisecond)
	f.seen = append(f.seen, x)
}

// note records what differs from the last scan, or all files.
func (f *follower) note(log *folderlog.Log, list bool, now time.Time) {
	if list {
		log.Record(folderlog.Listed, now, f.folder, 0, 0)
		for i := range f.seen {
			x := &f.seen[i]
			log.Find(now, f.folder, x.hash, x.size, time.UnixMilli(x.written), time.UnixMilli(x.used))
		}
		return
	}
	was := f.last
	for i := range f.seen {
		x := &f.seen[i]
		for len(was) > 0 && was[0].hash < x.hash {
			log.Record(folderlog.Deleted, now, f.folder, was[0].hash, was[0].size)
			was = was[1:]
		}
		known := len(was) > 0 && was[0].hash == x.hash
		written, used := time.UnixMilli(x.written), time.UnixMilli(x.used)
		switch {
		case !known && written.Before(f.at): // moved in
			log.Find(now, f.folder, x.hash, x.size, written, used)
		case !known || x.written > was[0].written:
			log.Record(folderlog.Written, written, f.folder, x.hash, x.size)
			fallthrough
		default:
			if x.used > x.written && (!known || x.used > was[0].used) {
				log.Record(folderlog.Opened, used, f.folder, x.hash, x.size)
			}
		}
		if known {
			was = was[1:]
		}
	}
	for i := range was {
		log.Record(folderlog.Deleted, now, f.folder, was[i].hash, was[i].size)
	}
}

// FNV-1a, which can go on from the sum of a folder's path, and a finalizer: the lowest bits choose the sample.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func hashOn(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * fnvPrime
	}
	return h
}

func mixed(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return max(h^h>>33, 1) // 0 is that of no file
}
