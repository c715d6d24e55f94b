package eval

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// maxPoints bounds one ring whatever the clock and the interval do.
const maxPoints = 8192

// memory is the recent past of the series that rules read, as a storage.Queryable. A series that
// its owner did not write in a round is marked stale, so that it is absent from then on and not
// five minutes later. It is not safe for concurrent use: the evaluator's lock guards it, and
// queries end before the next write.
type memory struct {
	needs     map[string]time.Duration
	families  map[string]*family
	parts     map[string]*part
	chosen    []*part // of parts
	series    int
	maxSeries int
	dropped   uint64
	key       []byte // scratch
}

type family struct {
	name   string
	keepMS int64 // how much of the past is read; 0: only the newest sample
	byKey  map[string]*memSeries
	list   []*memSeries // in order of first sight
}

type memSeries struct {
	family *family
	part   *part // nil for a series without the label target
	key    string
	labels labels.Labels
	points []promql.FPoint
	head   int // points before it are out of the window
	owner  *writer
	round  uint64
	stale  bool
}

// writer is the one that writes a set of series: the gatherer, or a rule.
type writer struct {
	round  uint64
	series []*memSeries
}

func newMemory(needs map[string]time.Duration, maxSeries int) *memory {
	m := &memory{families: make(map[string]*family), parts: make(map[string]*part), maxSeries: maxSeries}
	m.setNeeds(needs)
	return m
}

// setNeeds changes which series are kept and for how long. What is not needed any more goes.
func (m *memory) setNeeds(needs map[string]time.Duration) {
	m.needs = needs
	for name, f := range m.families {
		back, ok := needs[name]
		if !ok {
			m.series -= len(f.list)
			for _, s := range f.list {
				s.owner = nil
				m.unpart(s)
			}
			delete(m.families, name)
			continue
		}
		f.keepMS = back.Milliseconds()
	}
}

// wants reports whether some rule reads the series of this name.
func (m *memory) wants(name string) bool {
	_, ok := m.needs[name]
	return ok
}

func (m *memory) family(name string) *family {
	f := m.families[name]
	if f == nil {
		f = &family{name: name, keepMS: m.needs[name].Milliseconds(), byKey: make(map[string]*memSeries)}
		m.families[name] = f
	}
	return f
}

// begin opens a round of writes.
func (m *memory) begin(w *writer) { w.round++ }

// write adds a sample of the series that key identifies within f; ls is called for a series that
// is not known yet. It fails when someone else writes the series or wrote it in this round.
func (m *memory) write(w *writer, f *family, key []byte, ls func() labels.Labels, ms int64, v float64) error {
	s := f.byKey[string(key)]
	if s == nil {
		if m.series >= m.maxSeries {
			m.dropped++
			return nil
		}
		s = &memSeries{family: f, key: string(key), labels: ls()}
		m.setPart(s)
		f.byKey[s.key] = s
		f.list = append(f.list, s)
		m.series++
	}
	if s.owner != w {
		if s.owner != nil && !s.stale {
			return fmt.Errorf("the series %s is written by another rule or by the exporter itself; record it under another name", s.labels)
		}
		s.owner = w
		w.series = append(w.series, s)
	} else if s.round == w.round {
		return fmt.Errorf("the series %s stands twice in the result", s.labels)
	}
	s.round, s.stale = w.round, false
	s.push(ms, v)
	return nil
}

// writeLabels is write for a series that is known by its labels, its name among them.
func (m *memory) writeLabels(w *writer, ls labels.Labels, ms int64, v float64) error {
	name := ls.Get(model.MetricNameLabel)
	if !m.wants(name) {
		return nil
	}
	m.key = m.key[:0]
	ls.Range(func(l labels.Label) {
		if l.Name != model.MetricNameLabel {
			m.key = appendKey(m.key, l.Name, l.Value)
		}
	})
	return m.write(w, m.family(name), m.key, func() labels.Labels { return ls }, ms, v)
}

func appendKey(key []byte, name, val string) []byte {
	key = append(key, name...)
	key = append(key, 0xff)
	key = append(key, val...)
	return append(key, 0xfe)
}

// end closes a round: what w wrote before and not in this round becomes absent.
func (m *memory) end(w *writer, ms int64) {
	kept := w.series[:0]
	for _, s := range w.series {
		if s.owner != w {
			continue // taken over, or not needed any more
		}
		if s.round != w.round && !s.stale {
			s.push(ms, math.Float64frombits(value.StaleNaN))
			s.stale = true
		}
		if s.stale && s.newest() <= ms-s.family.keepMS {
			m.forget(s)
			continue
		}
		kept = append(kept, s)
	}
	clear(w.series[len(kept):])
	w.series = kept
}

// leave makes everything that w wrote absent, for a rule that is gone.
func (m *memory) leave(w *writer) {
	for _, s := range w.series {
		if s.owner == w {
			m.forget(s)
		}
	}
	w.series = nil
}

func (m *memory) forget(s *memSeries) {
	f := s.family
	if f.byKey[s.key] != s {
		return
	}
	delete(f.byKey, s.key)
	if i := slices.Index(f.list, s); i >= 0 {
		f.list = slices.Delete(f.list, i, i+1)
		m.series--
	}
	m.unpart(s)
	s.owner = nil
}

// cut removes what is newer than ms, after the clock was set back: it did not happen yet.
func (m *memory) cut(ms int64) {
	for _, f := range m.families {
		for _, s := range f.list {
			live := s.points[s.head:]
			n := sort.Search(len(live), func(i int) bool { return live[i].T >= ms })
			s.points = s.points[:s.head+n]
		}
	}
}

func (s *memSeries) newest() int64 {
	if s.head == len(s.points) {
		return math.MinInt64
	}
	return s.points[len(s.points)-1].T
}

// push adds a sample and gives up what no rule can read any more. A second one of the same moment
// takes the place of the first.
func (s *memSeries) push(ms int64, v float64) {
	if s.newest() == ms {
		s.points[len(s.points)-1].F = v
		return
	}
	oldest := ms - s.family.keepMS
	for s.head < len(s.points) && (s.points[s.head].T < oldest || len(s.points)-s.head >= maxPoints) {
		s.head++
	}
	if len(s.points) == cap(s.points) && s.head > 0 && s.head*2 >= len(s.points) {
		n := copy(s.points, s.points[s.head:])
		s.points, s.head = s.points[:n], 0
	}
	if s.points == nil && s.family.keepMS == 0 {
		s.points = make([]promql.FPoint, 0, 2)
	}
	s.points = append(s.points, promql.FPoint{T: ms, F: v})
}

// window returns the samples from mint to maxt, both included.
func (s *memSeries) window(mint, maxt int64) []promql.FPoint {
	live := s.points[s.head:]
	from := sort.Search(len(live), func(i int) bool { return live[i].T >= mint })
	to := sort.Search(len(live), func(i int) bool { return live[i].T > maxt })
	return live[from:max(from, to)]
}

// Querier implements storage.Queryable.
func (m *memory) Querier(mint, maxt int64) (storage.Querier, error) {
	return &querier{m: m, mint: mint, maxt: maxt}, nil
}

type querier struct {
	m          *memory
	mint, maxt int64
	chosen     bool // only the series of chosen targets
}

// Select implements storage.Querier.
func (q *querier) Select(_ context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	mint, maxt := q.mint, q.maxt
	if hints != nil {
		mint, maxt = max(mint, hints.Start), min(maxt, hints.End)
	}
	name := ""
	rest := make([]*labels.Matcher, 0, len(matchers))
	for _, m := range matchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual && name == "" {
			name = m.Value
			continue
		}
		rest = append(rest, m)
	}
	f := q.m.families[name]
	if f == nil {
		return storage.EmptySeriesSet()
	}
	set := &seriesSet{at: -1}
	for _, s := range q.of(f) {
		if q.chosen && (s.family != f || s.part == nil || !s.part.chosen) || !matches(s.labels, rest) {
			continue
		}
		if points := s.window(mint, maxt); len(points) > 0 {
			set.series = append(set.series, promql.NewStorageSeries(promql.Series{Metric: s.labels, Floats: points}))
		}
	}
	if sorted {
		slices.SortFunc(set.series, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	}
	return set
}

func matches(ls labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// LabelValues implements storage.LabelQuerier. PromQL does not ask for it.
func (q *querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.LabelQuerier. PromQL does not ask for it.
func (q *querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.LabelQuerier.
func (q *querier) Close() error { return nil }

type seriesSet struct {
	series []storage.Series
	at     int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *seriesSet) At() storage.Series                { return s.series[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }
