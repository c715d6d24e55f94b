package dispatch

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// Start is a playbook, or an action by itself, with what may start it. Their counters are born at 0.
type Start struct {
	Playbook string // or the name of an action that runs by itself
	Triggers []alert.Trigger
}

// The outcomes of runs and of their actions by the mode of the target. A run that a person starts as a
// dry run of a target that enforces is counted when it has ended.
var (
	playbookOutcomes = map[mode][]string{
		enforce: {
			OutcomeRelieved, OutcomeIneffective, OutcomeWaiting, OutcomeNothing, OutcomeFalling, OutcomeSkipped, OutcomeNeedsHuman,
			string(action.Done), string(action.Partial), string(action.Failed), string(action.Unknown), journal.OutcomeInterrupted,
		},
		propose: {
			OutcomeProposed, OutcomeRelieved, OutcomeIneffective, OutcomeWaiting, OutcomeNothing, OutcomeFalling, OutcomeSkipped, OutcomeNeedsHuman, OutcomeVoided,
			string(action.Done), string(action.Partial), string(action.Failed), string(action.Unknown), journal.OutcomeInterrupted,
		},
		dryRun: {string(action.DryRun), OutcomeFalling, OutcomeSkipped, string(action.Partial), string(action.Failed), string(action.Unknown), journal.OutcomeInterrupted},
	}
	actionOutcomes = map[mode][]action.Outcome{
		enforce: {action.Done, action.Partial, action.Failed, action.Unknown},
		propose: {action.Done, action.Partial, action.Failed, action.Unknown},
		dryRun:  {action.DryRun, action.Partial, action.Failed, action.Unknown},
	}
)

// bornCounter is one series of a vector.
type bornCounter struct {
	vec    *prometheus.CounterVec
	labels [4]string // as many as the vector has
}

func (b *bornCounter) values() []string {
	n := len(b.labels)
	for n > 0 && b.labels[n-1] == "" {
		n--
	}
	return b.labels[:n]
}

// expect creates the counters of what the targets' playbooks and actions may do, at 0, so that
// Prometheus sees the first run as an increase. Counters that are no longer expected are deleted if they
// are still 0. It must not be called concurrently.
func (m *metrics) expect(targets map[string]Target, modeOf func(*Target) mode) {
	before := m.expected
	m.expected = make(map[bornCounter]bool)
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		t := targets[name]
		m.expectTarget(&t, modeOf(&t))
	}
	for b := range before {
		if !m.expected[b] && isZero(b.vec.WithLabelValues(b.values()...)) {
			b.vec.DeleteLabelValues(b.values()...)
		}
	}
}

func (m *metrics) expectTarget(t *Target, in mode) {
	bear := func(vec *prometheus.CounterVec, labels ...string) {
		b := bornCounter{vec: vec}
		copy(b.labels[:], labels)
		m.expected[b] = true
		vec.WithLabelValues(labels...)
	}
	for _, spec := range action.Table {
		if spec.Removes && t.Actions[spec.Name] != nil {
			bear(m.removed, t.Name, spec.Name)
			bear(m.freed, t.Name, spec.Name)
			if spec.Name == action.NameRotateLogs {
				bear(m.lost, t.Name, spec.Name)
			}
		}
	}
	for _, name := range t.proposing(in) {
		for _, outcome := range proposalOutcomes {
			bear(m.proposals, t.Name, name, outcome)
		}
	}
	for _, s := range t.Starts {
		for _, trigger := range s.Triggers {
			outcomes := playbookOutcomes[in]
			if in == enforce && slices.Contains(t.proposing(in), s.Playbook) {
				outcomes = playbookOutcomes[propose]
			}
			for _, outcome := range outcomes {
				if outcome == OutcomeNeedsHuman && !t.Playbooks[s.Playbook].Budget.set() {
					continue
				}
				bear(m.playbook, t.Name, s.Playbook, string(trigger), outcome)
			}
			for _, name := range t.does(s.Playbook) {
				m.duration.WithLabelValues(name)
				for _, outcome := range actionOutcomes[in] {
					bear(m.runs, t.Name, name, string(trigger), string(outcome))
				}
			}
		}
	}
}

// proposing returns what may make a proposal in a mode of the target: playbooks, and actions that run by themselves.
func (t *Target) proposing(in mode) []string {
	var out []string
	for _, s := range t.Starts {
		p := t.Playbooks[s.Playbook]
		if in == propose || in == enforce && slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Mode == ModePropose }) {
			out = append(out, s.Playbook)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// does returns the actions that a playbook of the target runs.
func (t *Target) does(playbook string) []string {
	p, known := t.Playbooks[playbook]
	if !known {
		return []string{playbook} // an action by itself
	}
	var out []string
	for i := range p.Steps {
		out = append(out, p.Steps[i].Do)
	}
	return out
}

func isZero(c prometheus.Counter) bool {
	var out dto.Metric
	return c.Write(&out) == nil && out.GetCounter().GetValue() == 0
}
