package collector

import (
	"context"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
)

// manyFiles is from when on two walkers share a folder: half the time for the same processor time.
const manyFiles = 100_000

// walkers scans one folder again and again, with as many walkers as its size at the last scan asks
// for. The sources of folders embed it.
type walkers struct {
	files int64
	n     int
}

func (w *walkers) scan(ctx context.Context, o dirscan.Options) (dirscan.Result, error) {
	w.n = 1
	if w.files > manyFiles {
		w.n = 2
	}
	o.Workers = w.n
	res, err := dirscan.Scan(ctx, o)
	if err == nil {
		w.files = res.Files
	}
	return res, err
}

// cores returns how many cores the last sample kept busy: the frame's budget is of processor time.
func (w *walkers) cores() int { return w.n }
