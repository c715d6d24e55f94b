package folderlog

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// hashOf spreads numbers over all hashes.
func hashOf(i int) uint64 { return uint64(i+1) * 0x9e3779b97f4a7c15 >> 3 }

// A folder in which too much happened for a while is followed whole again from the next listing on: a sample that was right
// for a flood says nothing of the few files after it.
func TestSampleRecovers(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	l.Begin(media, start)
	l.Record(Listed, start, media, 0, 0)
	for i := range 20 * MostPerHour {
		l.Record(Written, start, media, hashOf(i), 1)
		if i%1000 == 0 {
			if err := l.Flush(start); err != nil {
				t.Fatal(err)
			}
		}
	}
	if bits, _ := l.Begin(media, start.Add(time.Hour)); bits == 0 {
		t.Fatal("a flood does not make the sample thinner")
	}
	if err := l.Flush(start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	later := start.Add(ListEvery)
	l.Record(Deleted, later.Add(-time.Minute), media, 1<<40, 1) // not written yet when the sample changes
	bits, list := l.Begin(media, later)
	if bits != 0 || !list {
		t.Fatalf("after a day the sample is one in 2^%d, listed %v", bits, list)
	}
	l.Record(Listed, later, media, 0, 0)
	for i := range 100 {
		l.Find(later, media, hashOf(i), 1, later, later)
	}
	if err := l.Flush(later.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	next := later.Add(2 * time.Hour)
	l.Begin(media, next)
	for i := range 100 {
		l.Record(Deleted, next, media, hashOf(i), 1)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	events, share, err := open(t, dir).Events(media, next, next.Add(time.Hour))
	if err != nil || share != 1 || len(events) != 100 {
		t.Errorf("%d events of a share of %v after the flood, %v, want 100 of all", len(events), share, err)
	}
	if _, share, err := open(t, dir).Events(media, start, next); err != nil || share == 1 {
		t.Errorf("a span with the flood has a share of %v, %v", share, err)
	}
}

// The times of files are what their owners write: they neither lift the bound of an hour nor have every scan write.
func TestRateIsOfScans(t *testing.T) {
	l := open(t, t.TempDir())
	l.Begin(media, start)
	l.Record(Listed, start, media, 0, 0)
	future := start.Add(100 * 365 * 24 * time.Hour)
	for i := range 4 * MostPerHour {
		at := start
		if i%2 == 0 {
			at = future
		}
		l.Record(Written, at, media, hashOf(i), 1)
		if i%1000 == 0 {
			if err := l.Flush(start); err != nil {
				t.Fatal(err)
			}
		}
	}
	if bits, _ := l.Begin(media, start); bits == 0 {
		t.Errorf("%d events in an hour have no effect where every second one is dated in the future", 4*MostPerHour)
	}
	l.Begin("web/temp/tts", start)
	l.Record(Written, future, "web/temp/tts", 1, 1)
	for _, d := range l.folders {
		if len(d.events) < flushBytes && d.first.After(start) {
			t.Errorf("what waits since %s is written at every scan", d.first)
		}
	}
}

// floodedDisk records while it writes, as a scan does that runs meanwhile.
type floodedDisk struct {
	file
	meanwhile func()
}

func (f floodedDisk) WriteAt(b []byte, at int64) (int, error) {
	if at >= pageSize {
		f.meanwhile()
	}
	return f.file.WriteAt(b, at)
}

// What is given up because the disk is slow leaves the events after it whole.
func TestGivenUpDuringAWrite(t *testing.T) {
	dir := t.TempDir()
	l, floods := open(t, dir), 0
	l.wrap = func(f file) file {
		return floodedDisk{f, func() {
			if floods++; floods > 1 {
				return
			}
			for i := 0; l.folders[media].epoch == 0; i++ {
				l.Record(Found, start.Add(time.Second), media, hashOf(i), 1<<40)
			}
			for i := range 200 {
				l.Record(Opened, start.Add(2*time.Second), media, uint64(i+1), 1<<40)
			}
		}}
	}
	fill(l, media, 0, 10)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	back := open(t, dir)
	events, _, err := back.Events(media, start, start.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for _, e := range events {
		if e.Kind == Opened {
			opened++
		}
	}
	if opened != 200 || back.Damaged() > 0 {
		t.Errorf("%d of 200 events are read, and %d parts are damaged", opened, back.Damaged())
	}
}

// Ten thousand files a second are made and deleted for twenty minutes, scanned every thirty seconds: what is kept of it is bounded in
// memory and on the disk, and still stands for all of them.
func TestFlood(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	const scans, perScan, stays = 40, 300_000, 4096
	l.Record(Listed, start, media, 0, 0)
	waits := 0
	for s := range scans {
		now := start.Add(time.Duration(s) * 30 * time.Second)
		bits, _ := l.Begin(media, now)
		seen := 0
		for i := s * perScan; i < (s+1)*perScan; i++ {
			h := hashOf(i)
			if !Sampled(h, bits) {
				continue
			}
			if seen++; seen > stays { // as a follower does
				l.Thin(media)
				bits, seen = bits+1, seen/2
			}
			l.Record(Written, now, media, h, 1)
			l.Record(Deleted, now, media, h, 1)
		}
		waits = max(waits, len(l.folders[media].events))
		if err := l.Flush(now); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	made := make(map[uint64]bool)
	events, share := eventsOf(t, dir, media)
	for i := range events {
		if events[i].Kind != Listed {
			made[events[i].Hash] = true
		}
	}
	estimate := float64(len(made)) / share
	t.Logf("%d bytes on the disk and at most %d in memory for %d files; %d of one in %.0f are known", info.Size(), waits, scans*perScan, len(made), 1/share)
	if info.Size() > 4<<20 || waits > keptUnsaved+1000 {
		t.Errorf("%d bytes on the disk, %d in memory", info.Size(), waits)
	}
	if n := float64(scans * perScan); estimate < 0.9*n || estimate > 1.1*n {
		t.Errorf("the sample stands for %.0f files, want about %.0f", estimate, n)
	}
}
