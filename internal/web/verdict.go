package web

import (
	"slices"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/verdict"
)

// judge says of each configured target what makes it grow, and what its journal advises. Of what was merely found on the host nothing is said.
func (s *server) judge(targets []health.Target) {
	modes := s.State().Modes
	for i := range targets {
		if _, configured := modes[targets[i].Name]; configured {
			if s.Growth != nil {
				o := s.Growth(targets[i].Name)
				targets[i].Outlook = health.OutlookOf(&o, s.Now())
			}
			targets[i].Verdicts = s.judged.take(s.Now(), s.Interval(), targets[i].Name, s.verdicts)
			if s.Advice != nil {
				targets[i].Advise(s.Advice(targets[i].Name))
			}
		}
	}
}

// judged keeps verdicts for a sample interval: whoever asks again sooner gets the same.
type judged struct {
	mu   sync.Mutex
	of   map[string][]verdict.Verdict
	from time.Time
}

// take returns the verdicts of a target as they were within the interval, or those that judge returns.
func (j *judged) take(now time.Time, interval time.Duration, target string, judge func(string) []verdict.Verdict) []verdict.Verdict {
	j.mu.Lock()
	if age := now.Sub(j.from); age < 0 || age >= interval || j.of == nil {
		j.of, j.from = make(map[string][]verdict.Verdict), now
	}
	of := j.of
	out, known := of[target]
	j.mu.Unlock()
	if known {
		return out
	}
	out = judge(target)
	j.mu.Lock()
	defer j.mu.Unlock()
	of[target] = out
	return out
}

func (s *server) verdicts(target string) []verdict.Verdict {
	in := verdict.Read(s.Store, target)
	all, err := s.captures(target)
	if err == nil && len(all) > 0 && !all[len(all)-1].Time.Before(in.Start) {
		in.Evidence = saysOf(all)
	}
	s.shape(target, in.Folders)
	return verdict.Judge(&in)
}

// shape adds what the new files of folders are.
func (s *server) shape(target string, folders []verdict.Folder) {
	if s.Folders == nil || len(folders) == 0 {
		return
	}
	for _, known := range s.Folders(target) {
		i := slices.IndexFunc(folders, func(f verdict.Folder) bool { return f.Kind == known.Kind && f.Name == known.Name })
		if a := known.Added; a != nil && i >= 0 {
			folders[i].Shape = &verdict.Shape{Pattern: a.Pattern, Share: a.Share, Empty: a.Empty, From: a.From, To: a.To}
		}
	}
}

// saysOf returns what the captures of the newest start say; nil where there is nothing to compare.
func saysOf(all []evidence.Profile) *verdict.Evidence {
	d, err := evidence.GrewIn(all, time.Time{})
	if err != nil {
		return nil
	}
	e := &verdict.Evidence{From: d.From, To: d.To, Captures: d.Captures, Full: evidence.Full(all[len(all)-1].Rung), Why: d.Why}
	if c := d.Culprit; c != nil {
		e.Culprit, e.Bytes, e.Share = evidence.Place(c.Name, c.File, c.Line), c.Bytes, c.Share
		if d.Kind.Counted() {
			e.Objects = c.Objects
		}
	}
	return e
}
