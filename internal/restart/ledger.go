package restart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	// StatePrefix is what the keys begin with under which a journal keeps attempts.
	StatePrefix = "restart/"

	mostAttempts = 100 // of a target that are remembered
	needLasts    = 2 * time.Hour
	longestPer   = 7 * 24 * time.Hour
)

// Budget is how often something may be restarted.
type Budget struct {
	AtMost int            `yaml:"at_most"` // restarts; of one target 3 unless it says so
	Per    units.Duration `yaml:"per"`     // over this time; of one target 1d unless it says so
}

// The budgets where none is written.
var (
	DefaultTarget = Budget{AtMost: 3, Per: units.Duration(24 * time.Hour)}
	DefaultHost   = Budget{AtMost: 10, Per: units.Duration(time.Hour)}
)

// Default fills in what is not written.
func (b *Budget) Default(d Budget) {
	if b.AtMost == 0 {
		b.AtMost = d.AtMost
	}
	if b.Per == 0 {
		b.Per = d.Per
	}
}

// Validate reports every mistake.
func (b *Budget) Validate(report report.Func) {
	if b.AtMost < 1 || b.AtMost > mostAttempts {
		report("at_most", "%d is out of range: write 1 to %d", b.AtMost, mostAttempts)
	}
	if b.Per.Std() < time.Minute || b.Per.Std() > longestPer {
		report("per", "%s is out of range: write 1m to %s", b.Per, units.Duration(longestPer))
	}
}

// String writes the budget for people: "3 in 1d".
func (b Budget) String() string { return fmt.Sprintf("%d in %s", b.AtMost, b.Per) }

// Stage is how far an attempt came, as it was last written.
type Stage string

// The stages.
const (
	Preparing Stage = "preparing" // evidence and drain: nothing has been restarted
	Asked     Stage = "asked"     // the manager may have been asked
	Ended     Stage = "ended"
	Failed    Stage = "failed" // the manager reports that nothing came of it, and its service may still be drained
	Dropped   Stage = ""       // nothing was restarted: the attempt costs nothing, and is forgotten unless its service may still be drained
)

// Attempt is one restart that was begun.
type Attempt struct {
	Key      string    `json:"key"` // of the intent
	Time     time.Time `json:"time"`
	Stage    Stage     `json:"stage"`
	Instance string    `json:"instance,omitempty"` // the start before it
	Next     string    `json:"next,omitempty"`     // the start after it; "" where that was not seen
	Full     string    `json:"full,omitempty"`     // the first reading of that start, where it was at a level
	Level    int       `json:"level,omitempty"`    // that one
	Drain    string    `json:"drain,omitempty"`    // names the drain that was begun; "" = none, or the service takes work again
}

// Store keeps small values durably. *journal.Journal is one.
type Store interface {
	PutState(ctx context.Context, key string, value []byte) error
	States(prefix string) (map[string][]byte, error)
}

// LedgerOptions configure a Ledger. Store and Now are required.
type LedgerOptions struct {
	Store      func() Store // nil before it is open
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Ledger remembers attempts durably, over reloads and restarts of the exporter. It is safe for concurrent use.
type Ledger struct {
	opts LedgerOptions
	desc *prometheus.Desc

	writing sync.Mutex // held while the store is read and written as one

	left chan struct{} // a drain was left

	mu      sync.Mutex
	needs   map[string]need          // by target
	drained map[string]bool          // targets that may still be drained, and no one can take it back
	claims  map[string]chan struct{} // by target: held by the one that is at its service
	ahead   map[string]time.Time     // when an attempt was first seen to lie in the future, by target and key
}

// need is why a target needs a person.
type need struct {
	reason string
	at     time.Time
}

// NewLedger returns a ledger of what the store holds.
func NewLedger(o LedgerOptions) *Ledger {
	l := &Ledger{
		opts: o, desc: metric.RestartNeedsHuman.NewDesc(), left: make(chan struct{}, 1),
		needs: make(map[string]need), drained: make(map[string]bool), claims: make(map[string]chan struct{}),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(l)
	}
	return l
}

// Needs notes why a target needs a person; "" that it does not.
func (l *Ledger) Needs(target, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.needs, target)
	if reason != "" {
		l.needs[target] = need{reason, l.opts.Now()}
	}
}

// Describe implements prometheus.Collector.
func (l *Ledger) Describe(ch chan<- *prometheus.Desc) { ch <- l.desc }

// Collect implements prometheus.Collector. A playbook that is held back wants the restart again and again, at most
// an hour apart; what no playbook has wanted for longer needs no one.
func (l *Ledger) Collect(ch chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.opts.Now()
	for target, n := range l.needs {
		if now.Sub(n.at) < needLasts {
			ch <- prometheus.MustNewConstMetric(l.desc, prometheus.GaugeValue, 1, target, n.reason)
		}
	}
	for target := range l.drained {
		ch <- prometheus.MustNewConstMetric(l.desc, prometheus.GaugeValue, 1, target, ReasonDrained)
	}
}

// all reads the attempts of all targets.
func (l *Ledger) all() (map[string][]Attempt, error) {
	store := l.opts.Store()
	if store == nil {
		return nil, errors.New("the journal is not open")
	}
	raw, err := store.States(StatePrefix)
	if err != nil {
		return nil, fmt.Errorf("read the earlier restarts: %w", err)
	}
	out := make(map[string][]Attempt)
	for key, value := range raw {
		var list []Attempt
		if err := json.Unmarshal(value, &list); err != nil {
			return nil, fmt.Errorf("read the earlier restarts of %s: %w", strings.TrimPrefix(key, StatePrefix), err)
		}
		out[strings.TrimPrefix(key, StatePrefix)] = list
	}
	l.clamp(out)
	return out, nil
}

// clamp lets no attempt lie in the future, where it would count for longer than its budget says: the clock was wrong when it
// was written, or was set back since. It counts from the moment at which that is seen.
func (l *Ledger) clamp(all map[string][]Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, ahead := l.opts.Now(), make(map[string]time.Time)
	for target, list := range all {
		for i := range list {
			a, key := &list[i], target+"/"+list[i].Key
			seen, known := l.ahead[key]
			if !known || now.Before(seen) {
				seen = now
			}
			if a.Time.After(seen) {
				a.Time, ahead[key] = seen, seen
			}
		}
	}
	l.ahead = ahead
}

// Last returns the newest attempt of a target; ok is false when there is none.
func (l *Ledger) Last(target string) (a Attempt, ok bool, err error) {
	all, err := l.all()
	if list := all[target]; len(list) > 0 {
		return list[len(list)-1], true, err
	}
	return Attempt{}, false, err
}

// StartedAs returns the attempt that a start of a target's service is of; ok is false when there is none.
func (l *Ledger) StartedAs(target, instance string) (a Attempt, ok bool, err error) {
	all, err := l.all()
	if err != nil || instance == "" {
		return Attempt{}, false, err
	}
	list := all[target]
	if i := slices.IndexFunc(list, func(a Attempt) bool { return a.Next == instance }); i >= 0 {
		return list[i], true, nil
	}
	return Attempt{}, false, nil
}

// Unseen says what became of an attempt of an earlier process, of whose step no end was written: its run is the key.
// states are what the journal kept under StatePrefix.
func Unseen(target, run string, states map[string][]byte) (text string, acted bool) {
	var list []Attempt
	if raw, ok := states[StatePrefix+target]; !ok {
		return "nothing was restarted", false
	} else if err := json.Unmarshal(raw, &list); err != nil {
		return "whether it has restarted the service is not known", true
	}
	i := slices.IndexFunc(list, func(a Attempt) bool { return a.Key == run })
	switch {
	case i >= 0 && (list[i].Stage == Ended || list[i].Stage == Failed):
		return "the restart had ended, and its result was not written", true
	case i >= 0 && list[i].Stage == Asked:
		return "the manager may have been asked for the restart, and its end was not seen", true
	case i >= 0 && list[i].Drain != "":
		return "nothing was restarted, and the service may still be drained", true
	}
	return "nothing was restarted", false
}

// within counts the attempts that a budget counts.
func (b Budget) within(list []Attempt, now time.Time) int {
	n := 0
	for i := range list {
		if list[i].Stage != Dropped && now.Sub(list[i].Time) < b.Per.Std() {
			n++
		}
	}
	return n
}

// Spent says which budget has nothing left, nil when both have.
func (l *Ledger) Spent(target string, own, host Budget) (*Refusal, error) {
	all, err := l.all()
	if err != nil {
		return nil, err
	}
	return l.spent(all, target, own, host), nil
}

func (l *Ledger) spent(all map[string][]Attempt, target string, own, host Budget) *Refusal {
	now, sum := l.opts.Now(), 0
	if n := own.within(all[target], now); n >= own.AtMost {
		return &Refusal{ReasonBudget, fmt.Sprintf("%d restarts in the last %s are all that its budget has", n, own.Per)}
	}
	for _, list := range all {
		sum += host.within(list, now)
	}
	if sum >= host.AtMost {
		return &Refusal{ReasonHostBudget, fmt.Sprintf("%d restarts on this host in the last %s are all that its budget has", sum, host.Per)}
	}
	return nil
}

// Begin writes an attempt, synced, before its first effect. The error is a *Refusal when a budget has nothing left
// or the intent has been begun before.
func (l *Ledger) Begin(ctx context.Context, target, key, instance string, own, host Budget) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	all, err := l.all()
	if err != nil {
		return err
	}
	list := all[target]
	if slices.ContainsFunc(list, func(a Attempt) bool { return a.Key == key }) {
		return &Refusal{ReasonRepeated, "this intent has been begun before, and is not begun twice"}
	}
	if r := l.spent(all, target, own, host); r != nil {
		return r
	}
	list = append(list, Attempt{Key: key, Time: l.opts.Now(), Stage: Preparing, Instance: instance})
	return l.put(ctx, target, list)
}

// Reach writes, synced, how far an attempt has come. After its end the service is another start, which is not drained.
func (l *Ledger) Reach(ctx context.Context, target, key string, s Stage) error {
	err := l.change(ctx, target, key, func(list []Attempt, i int) []Attempt {
		list[i].Stage = s
		if s == Ended {
			list[i].Drain = ""
		}
		return list
	})
	if err == nil && s == Ended {
		l.Stuck(target, false)
	}
	return err
}

// End writes, synced, that an attempt has ended: as which start the service runs since, and the first reading of that.
func (l *Ledger) End(ctx context.Context, target, key, next string, first Reading) error {
	err := l.change(ctx, target, key, func(list []Attempt, i int) []Attempt {
		a := &list[i]
		a.Stage, a.Drain, a.Next = Ended, "", next
		if first.Known && first.Level > 0 {
			a.Full, a.Level = first.Text, first.Level
		}
		return list
	})
	if err == nil {
		l.Stuck(target, false)
	}
	return err
}

// change writes, synced, what f makes of the attempts of a target; i is the one with the key. What was dropped and has
// left nothing behind is forgotten.
func (l *Ledger) change(ctx context.Context, target, key string, f func(list []Attempt, i int) []Attempt) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	all, err := l.all()
	if err != nil {
		return err
	}
	list := all[target]
	i := slices.IndexFunc(list, func(a Attempt) bool { return a.Key == key })
	if i < 0 {
		return fmt.Errorf("the restart of %s is no longer in the journal", target)
	}
	list = slices.DeleteFunc(f(list, i), func(a Attempt) bool { return a.Stage == Dropped && a.Drain == "" })
	return l.put(ctx, target, list)
}

func (l *Ledger) put(ctx context.Context, target string, list []Attempt) error {
	if n := len(list) - mostAttempts; n > 0 {
		list = list[n:]
	}
	raw, err := json.Marshal(list)
	if err == nil {
		err = l.opts.Store().PutState(ctx, StatePrefix+target, raw)
	}
	if err != nil {
		return fmt.Errorf("record the restart of %s: %w", target, err)
	}
	return nil
}
