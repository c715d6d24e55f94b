package evidence

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// Bounds of the watch over memory during a capture.
const (
	watchEvery  = 10 * time.Millisecond
	mostWatched = 64 // processes
)

// watchResident watches the resident memory of processes. stop returns by how much it was larger in between than at
// the begin; known is false where it could not be read.
func watchResident(procfs string, members []proc.Member) (stop func() (grown int64, known bool)) {
	members = members[:min(len(members), mostWatched)]
	first, ok := residentOf(procfs, members)
	if !ok {
		return func() (int64, bool) { return 0, false }
	}
	highest := first
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if now, ok := residentOf(procfs, members); ok {
					highest = max(highest, now)
				}
			}
		}
	})
	return func() (int64, bool) {
		close(done)
		watching.Wait()
		if now, ok := residentOf(procfs, members); ok {
			highest = max(highest, now)
		}
		return highest - first, true
	}
}

// residentOf adds up the resident memory of processes; false where none could be read.
func residentOf(procfs string, members []proc.Member) (sum int64, ok bool) {
	for _, m := range members {
		raw, err := os.ReadFile(filepath.Join(procfs, strconv.Itoa(m.PID), "statm"))
		if err != nil {
			continue
		}
		fields := bytes.Fields(raw)
		if len(fields) < 2 {
			continue
		}
		pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err == nil && pages > 0 && pages < maxBytes/int64(os.Getpagesize()) {
			sum, ok = sum+pages*int64(os.Getpagesize()), true
		}
	}
	return sum, ok
}

func bytesOf(n int64) units.Bytes { return units.Bytes(n) }
