package collector

import (
	"context"
	"sync/atomic"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// manyFiles is from when on two walkers share a folder: half the time for the same processor time.
const manyFiles = 100_000

// walkers scans one folder again and again, with as many walkers as the options say, or else as its
// size at the last scan asks for. The source of a folder embeds it.
type walkers struct {
	progress
	files int64
	n     int
}

func (w *walkers) scan(ctx context.Context, o dirscan.Options) (dirscan.Result, error) {
	switch w.n = 1; {
	case o.Workers > 0:
		w.n = o.Workers
	case w.files > manyFiles:
		w.n = 2
	}
	o.Workers = w.n
	w.follow(&o)
	res, err := dirscan.Scan(ctx, o)
	if err == nil {
		w.files = res.Files
	}
	return res, err
}

// cores returns how many cores the last sample kept busy: the frame's budget is of processor time.
func (w *walkers) cores() int { return w.n }

// progress is whether a scan goes on. The one who asks raises a flag, and the walkers take it down
// with the next name that they meet: for them it is a load of a word that does not change.
type progress struct{ still atomic.Bool }

// follow makes a scan report that it goes on.
func (p *progress) follow(o *dirscan.Options) {
	selects, skips := o.Select, o.Skip
	o.Select = func(name []byte) bool {
		p.goesOn()
		return selects == nil || selects(name)
	}
	o.Skip = func(in *dirscan.Folder, name []byte) bool {
		p.goesOn()
		return skips != nil && skips(in, name)
	}
}

func (p *progress) goesOn() {
	if p.still.Load() {
		p.still.Store(false)
	}
}

// moved reports whether the scan went on since moved was last called.
func (p *progress) moved() bool { return !p.still.Swap(true) }
