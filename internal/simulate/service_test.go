package simulate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

const (
	minAge      = time.Minute // of a file that may be removed
	tempMaxAge  = time.Hour
	tempMax     = 20     // files
	cacheMax    = 100    // units of size
	cacheEvict  = 0.7    // of cacheMax
	memoryMax   = 1000.0 // units; those of the files count, too
	sampleEvery = 5 * time.Second
	peakLasts   = 5 * time.Minute
)

var thresholds = series.Thresholds{Warning: .70, Critical: .85, Emergency: .95}

// service is the model of one target: its memory, its heap and two folders. World.mu guards it.
type service struct {
	name        string
	memory      float64 // without the files
	heap        float64 // ratio
	temp, cache folder
	seen        map[subject.Name]*sampled
	blind       bool // nothing can be read
}

type folder []file

type file struct {
	size  int64
	born  time.Time
	inUse bool
}

// sampled is what the sampler knows of one subject.
type sampled struct {
	reading dispatch.Reading
	at      time.Duration // since the beginning of the story
	asked   time.Duration // when the sample that was asked for is taken; 0 = none
	peaks   []peak
}

type peak struct {
	at    time.Duration
	ratio float64
}

func newService(name string) *service {
	return &service{name: name, memory: 300, heap: .3, seen: make(map[subject.Name]*sampled)}
}

func (f folder) size() (n int64) {
	for _, x := range f {
		n += x.size
	}
	return n
}

// add puts new files into a folder, the youngest at the end.
func (f *folder) add(n int, size int64, born time.Time) {
	for range n {
		*f = append(*f, file{size: size, born: born})
	}
	slices.SortStableFunc(*f, func(a, b file) int { return a.born.Compare(b.born) })
}

func (f folder) expired(now time.Time) (n int) {
	for _, x := range f {
		if now.Sub(x.born) > tempMaxAge {
			n++
		}
	}
	return n
}

// plan returns which files of a folder an action removes, and what it has to leave.
func (f folder) plan(now time.Time, due func(i int, x file, left folder) bool) (remove []int, out action.PolicyResult) {
	left := slices.Clone(f)
	out.Skipped = make(map[string]int64)
	for i, x := range f {
		switch {
		case !due(i, x, left):
			continue
		case x.inUse:
			out.InUse = true
			out.Skipped["in_use"]++
		case now.Sub(x.born) < minAge:
			out.Skipped["too_young"]++
			if at := x.born.Add(minAge); out.DueAt.IsZero() || at.Before(out.DueAt) {
				out.DueAt = at
			}
		default:
			remove = append(remove, i)
			left = left[1:]
		}
	}
	return remove, out
}

// planTemp removes what is expired, then the oldest above the limit.
func (s *service) planTemp(now time.Time) ([]int, action.PolicyResult) {
	return s.temp.plan(now, func(_ int, x file, left folder) bool { return now.Sub(x.born) > tempMaxAge || len(left) > tempMax })
}

// planCache removes the oldest until the cache is small enough.
func (s *service) planCache(now time.Time, req *action.Request) ([]int, action.PolicyResult) {
	size := s.cache.size()
	goal := int64(cacheMax)
	switch {
	case req.EvictTo > 0:
		goal = int64(req.EvictTo * cacheMax)
	case req.Relief || size > cacheMax:
		goal = int64(cacheEvict * cacheMax)
	}
	return s.cache.plan(now, func(_ int, x file, _ folder) bool {
		if size <= goal {
			return false
		}
		if !x.inUse && now.Sub(x.born) >= minAge {
			size -= x.size
		}
		return true
	})
}

// ratio is how full a subject is.
func (s *service) ratio(what subject.Name) (float64, bool) {
	switch {
	case s == nil || s.blind:
		return 0, false
	case what == subject.Memory:
		return (s.memory + float64(s.temp.size()+s.cache.size())) / memoryMax, true
	case what == subject.Heap:
		return s.heap, true
	case what == subject.Temp:
		return float64(len(s.temp)) / tempMax, true
	case what == subject.Cache:
		return float64(s.cache.size()) / cacheMax, true
	}
	return 0, false
}

func levelOf(what subject.Name, ratio float64) series.Level {
	if what == subject.Memory || what == subject.Heap {
		return thresholds.Of(ratio)
	}
	if ratio > 1 {
		return series.LevelWarning
	}
	return series.LevelNormal
}

// observe returns the newest sample of a subject, and takes one when it is time.
func (s *service) observe(what subject.Name, now time.Duration) dispatch.Reading {
	m := s.seen[what]
	if m == nil {
		m = &sampled{at: -sampleEvery}
		s.seen[what] = m
	}
	if now-m.at < sampleEvery && (m.asked == 0 || now < m.asked) {
		return m.reading
	}
	m.at, m.asked = now, 0
	ratio, known := s.ratio(what)
	if !known {
		m.reading = dispatch.Reading{}
		return m.reading
	}
	m.peaks = slices.DeleteFunc(append(m.peaks, peak{now, ratio}), func(p peak) bool { return now-p.at > peakLasts })
	highest := slices.MaxFunc(m.peaks, func(a, b peak) int { return cmp.Compare(a.ratio, b.ratio) }).ratio
	m.reading = dispatch.Reading{
		Known: true, Ratio: ratio, Peak: highest, Level: levelOf(what, ratio), Samples: m.reading.Samples + 1,
		Text: fmt.Sprintf("%s %.1f%%", what, ratio*100),
	}
	return m.reading
}

// eyes is the dispatcher's observer.
type eyes struct{ w *world }

func (e eyes) Observe(target string, s dispatch.Subject) dispatch.Reading {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	x := e.w.services[target]
	if x == nil {
		return dispatch.Reading{}
	}
	return x.observe(s, e.w.elapsed())
}

func (e eyes) Refresh(target string, s dispatch.Subject) {
	after := e.w.delay(20*time.Millisecond, 400*time.Millisecond, "sample", target, string(s))
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	x := e.w.services[target]
	if x == nil || x.seen[s] == nil || x.seen[s].asked > 0 {
		return
	}
	x.seen[s].asked = e.w.elapsed() + after
}
