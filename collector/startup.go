package collector

import (
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const (
	// While a service starts it is probed again after a fiftieth of the time that it has taken so far, at
	// the latest at the usual interval: the duration is exact to 2 %, or to 50 ms. The first 10 s cost
	// about 120 probes, the next 90 s as many.
	probeShare   = 50
	soonestProbe = 50 * time.Millisecond

	// While it does not run, it is looked whether a process was made; after a minute less often.
	lookShare  = 240
	latestLook = 500 * time.Millisecond

	mostBlind = time.Second

	// pause is how many times its max_startup a service may have failed to answer without having ended.
	pause = 3
)

// births notices ends and beginnings of processes between two sweeps; *proc.Births is one.
type births interface {
	Newest() int64                           // the number that was given to a process last, -1 = not known
	Watch(id uint64)                         // the oldest process of the target
	Watched(id uint64) (watched, ended bool) // whether it is, and whether it has ended since
	Wakes() <-chan struct{}                  // receives when it has ended
	Close() error
}

// startup measures how long a target takes from the start of its oldest process to the first good
// answer. The processes are known by sweeps that may be far apart, so that an answer can come before
// the start is known: what was answered since the last end of an oldest process is remembered.
type startup struct {
	opts startupOptions

	began    time.Time // when this source first looked: what started before was not watched
	interval time.Duration

	id    uint64    // of the oldest process at the last look
	start time.Time // of the process that is or was waited for
	ready bool      // a good answer came since
	took  time.Duration
	known bool // took is

	good  time.Time     // of the last good answer
	first time.Time     // of the first since the oldest process ended; zero while there is none
	blind time.Duration // before first: since when it might have answered, unseen
	asked time.Time     // when the last probe was answered, or not
	old   time.Time     // of the last before that
	down  time.Time     // when it was noticed that the oldest process has ended; zero while it runs

	newest int64     // of the processes of the host, while the target is down
	born   time.Time // when that changed last
}

// startupOptions are what a startup needs of the probe. births may be nil.
type startupOptions struct {
	target     string
	maxStartup time.Duration
	started    func() (start time.Time, id uint64, ok bool)
	births     births
}

// follow takes note of ends and starts and reports whether the target runs, as far as is known.
func (s *startup) follow(now time.Time) bool {
	if s.began.IsZero() {
		s.began = now
	}
	start, id, ok := s.opts.started()
	switch {
	case !ok:
		s.ended(now)
	case id != s.id && !start.IsZero():
		s.begun(start, id)
	case s.opts.births != nil:
		s.opts.births.Watch(s.id)
		if _, over := s.opts.births.Watched(s.id); over {
			s.ended(now)
		}
	}
	if s.down.IsZero() || s.opts.births == nil {
		return ok
	}
	if n := s.opts.births.Newest(); n != s.newest {
		s.newest, s.born = n, now
	}
	return ok
}

// ended notes that the oldest process is gone.
func (s *startup) ended(now time.Time) {
	if s.down.IsZero() {
		s.down, s.old, s.first = now, s.good, time.Time{}
		s.newest, s.born = -1, now
	}
}

// begun takes note of another oldest process. A service that answered after the start of that one had
// begun, and before the one before ended, did not start with it: others, older ones, have ended since.
func (s *startup) begun(start time.Time, id uint64) {
	old, first := s.good, time.Time{}
	if !s.down.IsZero() {
		old, first = s.old, s.first
	}
	s.id, s.down = id, time.Time{}
	if s.opts.births != nil {
		s.opts.births.Watch(id)
	}
	if !old.IsZero() && !start.After(old) {
		return
	}
	s.start, s.ready, s.known = start, false, false
	if !first.IsZero() && !first.Before(start) {
		s.answer(first, s.blind)
	}
}

// answered takes note of a probe.
func (s *startup) answered(now time.Time, good, unreachable bool) {
	blind := now.Sub(s.asked)
	s.asked = now
	watched := false
	if s.opts.births != nil {
		watched, _ = s.opts.births.Watched(s.id)
	}
	switch {
	case good:
		s.good = now
		if s.first.IsZero() {
			s.first, s.blind = now, blind
		}
		if !s.start.IsZero() && !s.ready && s.down.IsZero() {
			s.answer(now, blind)
		}
		if !watched && !s.down.IsZero() && now.Sub(s.first) > pause*s.opts.maxStartup {
			s.down = time.Time{} // no start came of it: the process had not ended
		}
	case unreachable && !watched && (s.ready || s.start.IsZero()):
		s.ended(now) // nothing listens any more, and whether the process has ended is not known
	}
}

// answer ends the wait for a start. A duration that is less exact than by a second, or by a tenth, because
// there was no probe for so long before the answer, is not known.
func (s *startup) answer(at time.Time, blind time.Duration) {
	s.ready, s.took = true, at.Sub(s.start)
	s.known = s.start.After(s.began) && min(blind, s.took) <= max(mostBlind, s.took/10)
}

// due reports whether to probe again after a probe at a time.
func (s *startup) due(now, last time.Time) bool {
	since := now.Sub(last)
	if since >= s.interval-s.interval/10 || since < 0 || !s.down.IsZero() && !s.down.Before(last) {
		return true
	}
	pace, ok := s.pace(now)
	return ok && since >= pace
}

// pace returns how far apart probes are at present; ok is false when as usual.
func (s *startup) pace(now time.Time) (pace time.Duration, ok bool) {
	since, floor := s.start, time.Duration(0)
	switch {
	case !s.down.IsZero():
		if !s.first.IsZero() {
			return 0, false // it answers; when it started comes with the next sweep
		}
		if since, floor = s.born, s.look(now); s.newest < 0 {
			return floor, true // whether a process was made is not known
		}
	case s.ready || s.start.IsZero():
		return 0, false
	}
	age := now.Sub(since)
	return max(age/probeShare, soonestProbe, floor), age >= 0
}

// look returns how often to look for a new process while the target is down.
func (s *startup) look(now time.Time) time.Duration {
	return max(min(now.Sub(s.down)/lookShare, latestLook), soonestProbe)
}

// within returns how soon the next sample is due.
func (s *startup) within(now time.Time, interval time.Duration) time.Duration {
	s.interval = interval
	next := interval
	if pace, ok := s.pace(now); ok {
		next = min(next, max(pace-now.Sub(s.asked), time.Millisecond))
	}
	if !s.down.IsZero() && s.first.IsZero() && s.opts.births != nil && s.newest >= 0 {
		next = min(next, s.look(now))
	}
	return next
}

// publish publishes how long the last start took. What was seen of it stays, over reloads too. A value
// of before a reload that reaches beyond the beginning of this source is of a start before this one.
func (s *startup) publish(b *series.Batch, store *series.Store) {
	switch {
	case s.start.IsZero() || !s.ready:
	case s.known:
		b.Set(metric.StartupDuration, max(0, s.took.Seconds()), s.opts.target)
	default:
		seen, _, ok := store.Value(metric.StartupDuration, s.opts.target)
		if ok && s.start.Add(time.Duration(seen*float64(time.Second))).Before(s.began) {
			b.Set(metric.StartupDuration, seen, s.opts.target)
		}
	}
}
