package collector

import (
	"cmp"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/entry"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

// entryScan scans the folder of a policy by its entries. A meter sees each as one file. An entry that
// does not go, because it is among the newest, a link points to it or something in it is kept or cannot be
// read, is shown as of now: it counts, and nothing of it is due.
type entryScan struct {
	common *policy.Common
	walker *entry.Walker
	links  *entry.Links // nil = they keep nothing
	looked bool         // links are those of the last scan
	newest entry.Newest[dirscan.Entry]
}

// newEntryScan returns nil for a policy whose entries are the files that a plain scan finds.
func newEntryScan(c *policy.Common, names *policy.Names) (*entryScan, error) {
	if !c.ByEntry() {
		return nil, nil
	}
	s := &entryScan{common: c, newest: entry.Newest[dirscan.Entry]{Most: c.KeepNewest}}
	var err error
	if c.LinksInto == policy.LinksIntoKeep {
		if s.links, err = entry.NewLinks(c); err != nil {
			return nil, err
		}
	}
	s.walker, err = entry.NewWalker(entry.Options{Policy: c, Names: names, Links: s.links})
	return s, err
}

// scan makes a scan of files one of entries. scanFiles is that of files.
func (s *entryScan) scan(o dirscan.Options, now time.Time, scanFiles func(dirscan.Options) (dirscan.Result, error)) (dirscan.Result, error) {
	if s.links != nil && !s.looked { // which entries have links has to be known before the first is shown
		names := s.walker.Wrap(o, nil)
		names.CountOnly, names.Visit, names.Leave = true, nil, nil
		if _, err := scanFiles(names); err != nil {
			return dirscan.Result{}, err
		}
		_ = s.links.Turn() // of too many some are shown as due
		s.looked = true
	}
	visit := o.Visit
	res, err := scanFiles(s.walker.Wrap(o, func(e *entry.Entry) error { return s.visit(e, now, visit) }))
	if err != nil {
		return res, err
	}
	if s.links != nil {
		_ = s.links.Turn()
	}
	err = s.newest.Drain(func(e dirscan.Entry) error { return showAsOf(now, e, visit) })
	return s.walker.Result(res), err
}

func (s *entryScan) visit(e *entry.Entry, now time.Time, visit func(*dirscan.Entry) error) error {
	out, stays := e.Entry, cmp.Or(e.Lacks, e.Refused) != "" || s.links != nil && s.links.To(e)
	if s.newest.Most > 0 {
		// A meter needs neither its name nor its folder.
		next, ok := s.newest.Offer(s.newest.Rank(&e.Entry, s.common.AgeNs(&e.Entry)), nameless(out, stays, now))
		if !ok {
			return nil
		}
		return visit(&next)
	}
	if stays {
		return showAsOf(now, out, visit)
	}
	return visit(&out)
}

// nameless returns an entry without what is valid during the visit only.
func nameless(e dirscan.Entry, stays bool, now time.Time) dirscan.Entry {
	e.Name, e.Parent = nil, nil
	if stays {
		e.AtimeNs, e.MtimeNs, e.CtimeNs = now.UnixNano(), now.UnixNano(), now.UnixNano()
	}
	return e
}

// showAsOf shows an entry to a meter as one that is not due.
func showAsOf(now time.Time, e dirscan.Entry, visit func(*dirscan.Entry) error) error {
	e = nameless(e, true, now)
	return visit(&e)
}
