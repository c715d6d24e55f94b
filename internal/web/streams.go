package web

import (
	"slices"
	"sync"
)

// The streams at the same time.
const (
	maxStreams         = 64
	maxUnprovedStreams = 48 // the others are kept for those who have proved who they are
	maxRemoteStreams   = 32 // of the unproved, from other hosts: the others are kept for this one
)

// streams are those that are open. A new one takes the place of an older one of no better standing, of the
// host that has the most, so that no one can hold the application off; what is displaced reconnects.
type streams struct {
	mu   sync.Mutex
	open []*place // the oldest first
}

// place is that of one stream.
type place struct {
	standing standing
	peer     string
	gone     chan struct{} // closed when the place is taken by another
}

// enter gives a place to a stream, nil where there is none.
func (s *streams) enter(k standing, peer string) *place {
	s.mu.Lock()
	defer s.mu.Unlock()
	var of [proved + 1]int
	for _, p := range s.open {
		of[p.standing]++
	}
	full := len(s.open) >= maxStreams
	switch k {
	case remote:
		full = full || of[remote] >= maxRemoteStreams || of[remote]+of[local] >= maxUnprovedStreams
	case local:
		full = full || of[remote]+of[local] >= maxUnprovedStreams
	}
	if full && !s.displace(k) {
		return nil
	}
	p := &place{standing: k, peer: peer, gone: make(chan struct{})}
	s.open = append(s.open, p)
	return p
}

// displace closes a stream of the lowest standing that is not above k. It is called with the lock held.
func (s *streams) displace(k standing) bool {
	var of map[string]int
	victim := -1
	for lowest := remote; lowest <= k && victim < 0; lowest++ {
		of = make(map[string]int)
		for _, p := range s.open {
			if p.standing == lowest {
				of[p.peer]++
			}
		}
		for i, p := range s.open {
			if p.standing == lowest && (victim < 0 || of[p.peer] > of[s.open[victim].peer]) {
				victim = i
			}
		}
	}
	if victim < 0 {
		return false
	}
	close(s.open[victim].gone)
	s.open = slices.Delete(s.open, victim, victim+1)
	return true
}

// leave frees a place that was not taken.
func (s *streams) leave(p *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.open, p); i >= 0 {
		s.open = slices.Delete(s.open, i, i+1)
	}
}
