package history

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const (
	benchSeries = 500
	benchSteps  = 14 * 24 * 12
)

// cpu measures the time on a processor, whatever else the machine does.
func cpu(b *testing.B) func() {
	now := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	began := now()
	return func() { b.ReportMetric(float64((now()-began).Microseconds())/float64(b.N), "cpu-µs/op") }
}

// twoWeeks writes the history of 500 series over 14 days.
func twoWeeks(b *testing.B) (string, *clock) {
	c := &clock{epoch}
	path := filepath.Join(b.TempDir(), FileName)
	s := newStore(b, path, c, nil)
	fill(b, s, c, 0, benchSteps, benchSeries)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(s.blocks[len(s.blocks)-1].end())/(1<<20), "MiB")
	return path, c
}

func BenchmarkOpen(b *testing.B) {
	path, c := twoWeeks(b)
	defer cpu(b)()
	for b.Loop() {
		s := New(Options{Path: path, Now: c.Now})
		if err := s.Open(); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSeries reads 14 days of one gauge.
func BenchmarkSeries(b *testing.B) {
	path, c := twoWeeks(b)
	s := newStore(b, path, c, nil)
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		if p, err := s.Series("t30", "spillway_gauge_2", epoch, c.now); len(p) != benchSteps || err != nil {
			b.Fatal(len(p), err)
		}
	}
}

// BenchmarkTarget reads 14 days of all gauges of a target, and which these are.
func BenchmarkTarget(b *testing.B) {
	path, c := twoWeeks(b)
	s := newStore(b, path, c, nil)
	defer cpu(b)()
	for b.Loop() {
		for _, gauge := range s.Gauges("t30") {
			if p, err := s.Series("t30", gauge, epoch, c.now); len(p) != benchSteps || err != nil {
				b.Fatal(len(p), err)
			}
		}
	}
}

// BenchmarkAppend adds a row of 500 series; every 48th makes a block. It is synced.
func BenchmarkAppend(b *testing.B) {
	c := &clock{epoch}
	s := New(Options{Path: filepath.Join(b.TempDir(), FileName), Now: c.Now})
	if err := s.Open(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	row := rowOf(7, benchSeries)
	b.ReportAllocs()
	defer cpu(b)()
	for i := 0; b.Loop(); i++ {
		at := epoch.Add(time.Duration(i) * Step)
		c.now = at.Add(Step)
		if err := s.Append(at, row, nil); err != nil {
			b.Fatal(err)
		}
	}
}
