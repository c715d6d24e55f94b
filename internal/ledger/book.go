package ledger

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// What records say.
const (
	modeEnforce = "enforce"
	modeDryRun  = "dry_run"
	modePropose = "propose"

	relieved    = "relieved"
	ineffective = "ineffective"
	waiting     = "waiting"
	done        = "done"
	partial     = "partial"
	unknown     = "unknown"

	actionRestart = "restart"
)

// longestNames bounds the names in a record, which are kept, in bytes.
const longestNames = 1024

// mostOpen bounds the runs of which steps are known and the run itself is not yet.
const mostOpen = 1000

// longest is how long a run can take.
const longest = 30 * 24 * time.Hour

// Step is what the records say of one step of a playbook.
type Step struct {
	Playbook string `json:"playbook"`
	Number   int    `json:"step"`
	Action   string `json:"action"`

	Pressure int `json:"runs_under_pressure"` // in which it acted, and after which readings showed whether the pressure was relieved
	Relieved int `json:"relieved"`            // of them, those that it ended

	Acted      int     `json:"acted"`
	FreedBytes int64   `json:"freed_bytes"` // in all of them
	Seconds    float64 `json:"seconds"`     // that all of them took

	// BackSeconds is the median time from the end of a run that it ended to the next alert for the playbook; nil: the
	// level has not come back.
	BackSeconds *float64 `json:"level_back_seconds,omitempty"`

	back    []float64
	current bool // the newest run with a step of this number had this action there
}

// BytesPerSecond is what the step freed in a second of its duration; false where it freed nothing.
func (s *Step) BytesPerSecond() (float64, bool) {
	if s.FreedBytes <= 0 || s.Seconds <= 0 {
		return 0, false
	}
	return float64(s.FreedBytes) / s.Seconds, true
}

// Account is what the records say of one target.
type Account struct {
	Steps []Step `json:"steps"` // by playbook and number
	Ends  []End  `json:"ends"`  // of the service under memory pressure, the newest first

	runs []runSum
}

// End is one end of a service under memory pressure: it was restarted, or its last process ended.
type End struct {
	Time   time.Time `json:"time"`
	Ratio  float64   `json:"ratio"`             // of the limit, as it was last read
	Growth float64   `json:"growth_per_second"` // the fastest growth of the ratio in the hour before; 0: not known
}

// Options say what the records do not.
type Options struct {
	Relieves func(action string) bool // false for an action that only looks or passes on; nil: all relieve
}

// Book adds up records. It is not safe for concurrent use.
type Book struct {
	opts    Options
	targets map[string]*target
	open    map[string][]did // by run: its steps, the last one first
}

// did is a step of a run that is not known yet.
type did struct {
	number  int
	action  string
	mode    string
	outcome string
	freed   int64
	seconds float64
	passes  bool // it runs whatever was reached
}

type target struct {
	steps map[stepKey]*Step
	books map[string]*playbook
	ends  []*ending
	runs  map[runKey]*runSum
}

type stepKey struct {
	playbook string
	number   int
	action   string
}

type playbook struct {
	next   time.Time      // when the run after the present one began that an alert asked for; zero: there is none
	actual map[int]string // the newest action by number
}

// ending is an End whose hour before is still read.
type ending struct {
	End
	known bool // Ratio is
}

// New returns an empty Book.
func New(o Options) *Book {
	if o.Relieves == nil {
		o.Relieves = func(string) bool { return true }
	}
	return &Book{opts: o, targets: make(map[string]*target), open: make(map[string][]did)}
}

// Add takes in a record. Records come newest first, as journal.Query returns them.
func (b *Book) Add(r *journal.Record) {
	if r.Target == "" || r.Playbook == "" || r.Mode == "" || r.Step > 0 && r.RunID == r.ID || len(r.Target)+len(r.Playbook)+len(r.Action)+len(r.RunID) > longestNames {
		return // a pause, a clean-up of the command line, or nothing of ours
	}
	t := b.targets[r.Target]
	if t == nil {
		t = &target{steps: make(map[stepKey]*Step), books: make(map[string]*playbook), runs: make(map[runKey]*runSum)}
		b.targets[r.Target] = t
	}
	t.read(r)
	if r.Step > 0 {
		if len(b.open) < mostOpen || b.open[r.RunID] != nil {
			b.open[r.RunID] = append(b.open[r.RunID], did{
				number: r.Step, action: r.Action, mode: r.Mode, outcome: r.Outcome, freed: max(r.FreedBytes, 0), seconds: took(r).Seconds(), passes: passesOn(r.Intent),
			})
		}
		return
	}
	steps := b.open[r.RunID]
	delete(b.open, r.RunID)
	t.run(r, steps, b.opts.Relieves)
	t.sum(r)
}

// run takes in a run with its steps, the last one first.
func (t *target) run(r *journal.Record, steps []did, relieves func(string) bool) {
	p := t.books[r.Playbook]
	if p == nil {
		p = &playbook{actual: make(map[int]string)}
		t.books[r.Playbook] = p
	}
	end := r.Time.Add(took(r))
	judged := r.Outcome == relieved || r.Outcome == ineffective || r.Outcome == waiting
	last := true
	for i := range steps {
		d := &steps[i]
		if _, known := p.actual[d.number]; !known {
			p.actual[d.number] = d.action
		}
		if d.mode != modeEnforce || d.outcome != done && d.outcome != partial || d.passes || !relieves(d.action) {
			continue
		}
		s := t.step(r.Playbook, d)
		s.current = p.actual[d.number] == d.action
		s.Acted++
		s.FreedBytes += d.freed
		s.Seconds += d.seconds
		if !judged {
			continue
		}
		s.Pressure++
		if last && r.Outcome == relieved {
			s.Relieved++
			if !p.next.IsZero() && p.next.After(end) {
				s.back = append(s.back, p.next.Sub(end).Seconds())
			}
		}
		last = false
	}
	if byAlert(r.Trigger) {
		p.next = r.Time
	}
}

func (t *target) step(playbook string, d *did) *Step {
	key := stepKey{playbook, d.number, d.action}
	s := t.steps[key]
	if s == nil {
		s = &Step{Playbook: playbook, Number: d.number, Action: d.action}
		t.steps[key] = s
	}
	return s
}

// took is how long something took, as it is recorded.
func took(r *journal.Record) time.Duration {
	if !(r.DurationSecs > 0) { // nor NaN
		return 0
	}
	return time.Duration(min(r.DurationSecs, longest.Seconds()) * float64(time.Second))
}

// byAlert reports whether a run began because a level was reached.
func byAlert(trigger string) bool {
	switch alert.Trigger(trigger) {
	case alert.TriggerWebhook, alert.TriggerStandalone, alert.TriggerPull:
		return true
	}
	return false
}

// Targets returns the names of the targets that have records.
func (b *Book) Targets() []string { return slices.Sorted(maps.Keys(b.targets)) }

// Account returns what is known of a target.
func (b *Book) Account(name string) Account {
	t := b.targets[name]
	if t == nil {
		return Account{}
	}
	var a Account
	for _, s := range t.steps {
		out := *s
		if m, ok := median(s.back); ok {
			out.BackSeconds = &m
		}
		a.Steps = append(a.Steps, out)
	}
	slices.SortFunc(a.Steps, func(x, y Step) int {
		return cmp.Or(cmp.Compare(x.Playbook, y.Playbook), cmp.Compare(x.Number, y.Number), cmp.Compare(x.Action, y.Action))
	})
	for _, e := range t.ends {
		if e.known {
			a.Ends = append(a.Ends, e.End)
		}
	}
	for _, s := range t.runs {
		a.runs = append(a.runs, *s)
	}
	slices.SortFunc(a.runs, func(x, y runSum) int {
		return cmp.Or(cmp.Compare(x.playbook, y.playbook), cmp.Compare(x.mode, y.mode))
	})
	return a
}

// median returns the middle one; false where there is none.
func median(v []float64) (float64, bool) {
	if len(v) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(v))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2, true
}
