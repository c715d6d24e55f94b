package proc

import (
	"bytes"
	"time"
)

const (
	pssEvery   = time.Minute
	pssShare   = 200 // a reading of smaps_rollup uses at most this part of the time
	pssSaved   = 50 * time.Millisecond
	pssLargest = 512 << 20      // resident bytes: reading a larger process would stall it (13 ms for each GB)
	pssRollup  = "smaps_rollup" // never held open: the descriptor would keep the address space alive
)

// shares are the parts of the resident memory that are a process's own, by its last reading.
type shares struct {
	at          int64
	known       bool
	pss, unique float64 // of the resident memory
}

// pssBudget is how long readings of smaps_rollup may still take.
type pssBudget struct {
	left time.Duration
	at   int64 // milliseconds, when it was saved up to
}

// save adds the budget of the time since the last refresh.
func (b *pssBudget) save(ms int64) {
	if b.at != 0 && ms > b.at {
		b.left += time.Duration(ms-b.at) * time.Millisecond / pssShare
	}
	b.left, b.at = min(b.left, pssSaved), ms
}

// readShares reads smaps_rollup of a member while the budget lasts.
func (t *Tracker) readShares(p *process, ms int64) {
	if p.slow.shares == nil {
		p.slow.shares = new(shares)
	}
	s := p.slow.shares
	if p.resident == 0 || p.resident > pssLargest || !due(s.at, ms, pssEvery) || t.pss.left <= 0 {
		s.known = s.known && p.resident <= pssLargest
		return
	}
	began := time.Now()
	b, err := t.r.file(p.pid, pssRollup, longest)
	t.pss.left -= time.Since(began)
	s.at = ms
	resident, pss, unique, ok := parseRollup(b)
	if s.known = err == nil && ok; s.known {
		s.pss, s.unique = float64(pss)/float64(resident), float64(unique)/float64(resident)
	}
}

// parseRollup reads Rss, Pss and the private parts of smaps_rollup, in bytes.
func parseRollup(b []byte) (resident, pss, unique int64, ok bool) {
	var hasPss bool
	for line := range bytes.Lines(b) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found {
			continue
		}
		n, good := kilobytes(value)
		switch string(name) {
		case "Rss":
			resident = n
		case "Pss":
			pss, hasPss = n, good
		case "Private_Clean", "Private_Dirty", "Private_Hugetlb":
			unique += n
		}
	}
	return resident, pss, unique, hasPss && resident > 0 && pss <= resident && unique <= resident
}
