package collector

import (
	"context"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// reopenEvery is how often events that the kernel refused are asked for again.
const reopenEvery = time.Minute

// EventsOptions configure the source of process events.
type EventsOptions struct {
	Tracker *proc.Tracker
	Store   *series.Store
	Window  int                          // samples
	Open    func() (*proc.Events, error) // default proc.OpenEvents
}

// eventsSource publishes what the kernel has reported since the last sample.
type eventsSource struct {
	opts     EventsOptions
	events   *proc.Events
	err      error
	tried    time.Time
	members  []proc.MemberOf
	counters map[proc.ExitKey]*monotonic
	lost     monotonic
	peaks    map[string]*recentPeak
}

// recentPeak is the largest of the values of the last samples.
type recentPeak struct {
	values []int64
	next   int
}

// NewEventsSource returns the source "procevents". It opens the kernel's sockets with its first
// sample and closes them when it is closed.
func NewEventsSource(o EventsOptions) Source {
	if o.Open == nil {
		o.Open = proc.OpenEvents
	}
	return &eventsSource{opts: o, counters: make(map[proc.ExitKey]*monotonic), peaks: make(map[string]*recentPeak)}
}

// Sample implements Source.
func (s *eventsSource) Sample(_ context.Context, b *series.Batch) error {
	if s.events == nil {
		if !stale(s.tried, b.Time, reopenEvery) {
			return s.err
		}
		s.tried = b.Time
		if s.events, s.err = s.opts.Open(); s.err != nil {
			s.events = nil
			return s.err
		}
	}
	s.members = s.opts.Tracker.AllMembers(s.members[:0])
	exits, peaks, lost := s.events.Take()
	s.events.Follow(s.members)
	for key, n := range exits {
		if s.counters[key] == nil {
			s.counters[key] = &monotonic{}
		}
		s.counters[key].set(b, s.opts.Store, metric.ProcessExitReasons, float64(n), key.Target, key.Reason)
	}
	s.lost.set(b, s.opts.Store, metric.ProcessEventsLost, float64(lost))
	for target := range peaks {
		if s.peaks[target] == nil {
			s.peaks[target] = &recentPeak{values: make([]int64, max(s.opts.Window, 1))}
		}
	}
	for target, r := range s.peaks {
		if largest := r.push(peaks[target]); largest > 0 {
			b.Set(metric.ProcessEndedPeak, float64(largest), target)
		} else {
			delete(s.peaks, target)
		}
	}
	return nil
}

// push takes the value of one sample, 0 for none, and returns the largest of the window.
func (r *recentPeak) push(v int64) (largest int64) {
	r.values[r.next] = v
	r.next = (r.next + 1) % len(r.values)
	for _, v := range r.values {
		largest = max(largest, v)
	}
	return largest
}

// Close implements io.Closer.
func (s *eventsSource) Close() error {
	if s.events == nil {
		return nil
	}
	err := s.events.Close()
	s.events = nil
	return err
}
