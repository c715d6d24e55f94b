package eval

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// labelTarget is the label that says whose series it is.
const labelTarget = "target"

// part is the series of one target. Between two evaluations single targets are judged: only their
// parts are chosen then, written and read.
type part struct {
	name   string
	series []*memSeries
	chosen bool
}

// choose selects the targets that the next writes and queries are about, and returns what ends it.
func (m *memory) choose(targets map[string]bool) (done func()) {
	for name := range targets {
		if p := m.parts[name]; p != nil {
			p.chosen = true
			m.chosen = append(m.chosen, p)
		}
	}
	return func() {
		for _, p := range m.chosen {
			p.chosen = false
		}
		m.chosen = m.chosen[:0]
	}
}

// of returns the series among which those of a family are: where one target is chosen, its own.
func (q *querier) of(f *family) []*memSeries {
	if !q.chosen {
		return f.list
	}
	if len(q.m.chosen) == 1 {
		return q.m.chosen[0].series
	}
	return f.list
}

func (m *memory) setPart(s *memSeries) {
	name := s.labels.Get(labelTarget)
	if name == "" {
		return
	}
	p := m.parts[name]
	if p == nil {
		p = &part{name: name}
		m.parts[name] = p
	}
	s.part = p
	p.series = append(p.series, s)
}

func (m *memory) unpart(s *memSeries) {
	p := s.part
	if p == nil {
		return
	}
	s.part = nil
	if i := slices.Index(p.series, s); i >= 0 {
		p.series = slices.Delete(p.series, i, i+1)
	}
	if len(p.series) == 0 && m.parts[p.name] == p {
		delete(m.parts, p.name)
	}
}

// endPart closes a round in which w wrote the series of chosen targets only, those of the families
// that written reports: what it wrote of them before and not in this round becomes absent.
func (m *memory) endPart(w *writer, ms int64, targets map[string]bool, written func(name string) bool) {
	for name := range targets {
		p := m.parts[name]
		if p == nil {
			continue
		}
		for _, s := range p.series {
			if s.owner == w && s.round != w.round && !s.stale && written(s.family.name) {
				s.push(ms, math.Float64frombits(value.StaleNaN))
				s.stale = true
			}
		}
	}
}

// chosenOnly is a memory that shows the series of the chosen targets and no others.
type chosenOnly struct{ *memory }

// Querier implements storage.Queryable.
func (c chosenOnly) Querier(mint, maxt int64) (storage.Querier, error) {
	return &querier{m: c.memory, mint: mint, maxt: maxt, chosen: true}, nil
}
