package proc

import (
	"bytes"
	"os"
	"path/filepath"
	"time"
)

const (
	// lastingAge and lastingShare keep short-lived commands from becoming targets: each would leave
	// series behind that say nothing. Their memory is in the rest, and in the host's.
	lastingAge   = time.Minute
	lastingShare = 100 // one part of the host's memory in so many

	totalEvery = 10 * time.Minute
)

// lasts reports whether a group has what makes it a target where there is room: one of its processes
// has lived for a minute, or they use 1 % of the host's memory. A unit or a container lasts through its
// restarts, so that one which fails again and again is shown as well. A group that the configuration
// names is always shown.
func (t *Tracker) lasts(g *group, ms int64) bool {
	if len(t.groupings) > 0 {
		return true
	}
	if g.members == 0 {
		return false
	}
	if t.total > 0 && g.sum.anon+g.sum.shared >= t.total/lastingShare {
		return true
	}
	if oldest := t.startOf(g.sum.oldest); !oldest.IsZero() {
		if ms-oldest.UnixMilli() >= lastingAge.Milliseconds() {
			return true
		}
		if !t.restartable(g) {
			return false
		}
	}
	return ms-g.since >= lastingAge.Milliseconds()
}

// forgotten reports whether nothing is left of a group that is not shown. A unit or a container is
// remembered for as long as its next process would be a restart.
func (t *Tracker) forgotten(g *group, ms int64) bool {
	if g.members > 0 {
		g.present = ms
	}
	if g.members > 0 || g.visible {
		return false
	}
	return !t.restartable(g) || ms-g.present > awayAtMost.Milliseconds()
}

// readTotal reads the memory of the host. While that fails no group is shown for its size alone.
func (t *Tracker) readTotal(ms int64) {
	if !due(t.totalAt, ms, totalEvery) {
		return
	}
	t.totalAt = ms
	text, err := os.ReadFile(filepath.Join(t.opts.Root, "meminfo"))
	if err != nil {
		return
	}
	for line := range bytes.Lines(text) {
		if value, found := bytes.CutPrefix(line, []byte("MemTotal:")); found {
			if n, good := kilobytes(value); good {
				t.total = n
			}
			return
		}
	}
}
