package restart

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// memory keeps states as a journal does.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	broken bool
}

func (m *memory) PutState(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return errors.New("no space left on device")
	}
	if m.values == nil {
		m.values = make(map[string][]byte)
	}
	m.values[key] = value
	return nil
}

func (m *memory) States(prefix string) (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := maps.Clone(m.values)
	maps.DeleteFunc(out, func(key string, _ []byte) bool { return !strings.HasPrefix(key, prefix) })
	return out, nil
}

type clock struct{ now time.Time }

func (c *clock) get() time.Time { return c.now }

func newTestLedger(m *memory, c *clock) *Ledger {
	return NewLedger(LedgerOptions{Store: func() Store { return m }, Now: c.get})
}

func TestBudgets(t *testing.T) {
	c, m := &clock{time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}, &memory{}
	own := Budget{AtMost: 2, Per: units.Duration(time.Hour)}
	host := Budget{AtMost: 3, Per: units.Duration(10 * time.Minute)}
	try := func(target, key, want string) {
		t.Helper()
		got := ""
		if err := newTestLedger(m, c).Begin(t.Context(), target, key, "i", own, host); err != nil { // another process each time
			got = RefusalOf(err).Reason
		}
		if got != want {
			t.Errorf("%s %s: %q, want %q", target, key, got, want)
		}
	}
	try("a", "1", "")
	try("a", "1", ReasonRepeated)
	try("a", "2", "")
	try("a", "3", ReasonBudget)
	try("b", "4", "")
	try("c", "5", ReasonHostBudget)
	c.now = c.now.Add(10 * time.Minute)
	try("c", "5", "")
	try("a", "6", ReasonBudget)
	c.now = c.now.Add(-time.Hour) // a clock that is set back frees nothing
	try("a", "7", ReasonBudget)
	c.now = c.now.Add(110 * time.Minute)
	try("a", "8", "")
}

// TestClockThatWasWrong: what was written under a clock that was years ahead counts for as long as its budget says, from when the
// clock is right, and no longer.
func TestClockThatWasWrong(t *testing.T) {
	c, m := &clock{time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)}, &memory{}
	l := newTestLedger(m, c)
	own := Budget{AtMost: 2, Per: units.Duration(time.Hour)}
	for _, key := range []string{"1", "2"} {
		if err := l.Begin(t.Context(), "a", key, "old", own, DefaultHost); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Reach(t.Context(), "a", "2", Asked); err != nil {
		t.Fatal(err)
	}
	c.now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	if r, err := l.Spent("a", own, DefaultHost); err != nil || r == nil {
		t.Errorf("at once: %v, %v, want it spent", r, err)
	}
	refused := func() bool {
		last, _, err := l.Last("a")
		return err != nil || Decide(&Question{Now: c.now, State: State{Phase: Running, Instance: "new", Shows: true}, Last: last}) != nil
	}
	if !refused() {
		t.Error("an attempt whose end was not seen is not waited for")
	}
	c.now = c.now.Add(unseenRest)
	if refused() {
		t.Error("it is waited for too long")
	}
	c.now = c.now.Add(-3 * time.Hour) // and back once more
	if r, err := l.Spent("a", own, DefaultHost); err != nil || r == nil {
		t.Errorf("set back: %v, %v, want it spent", r, err)
	}
	c.now = c.now.Add(time.Hour)
	if err := l.Begin(t.Context(), "a", "3", "new", own, DefaultHost); err != nil {
		t.Errorf("an hour later: %v", err)
	}
}

func TestLedgerRefusesWhatIsNotWritten(t *testing.T) {
	c, m := &clock{time.Now()}, &memory{broken: true}
	l := newTestLedger(m, c)
	if err := l.Begin(t.Context(), "a", "1", "i", DefaultTarget, DefaultHost); err == nil || RefusalOf(err) != nil {
		t.Errorf("%v, want the error of the journal", err)
	}
	m.broken = false
	m.values = map[string][]byte{StatePrefix + "a": []byte("{")}
	if err := l.Begin(t.Context(), "b", "1", "i", DefaultTarget, DefaultHost); err == nil {
		t.Error("a ledger that cannot be read counts as empty")
	}
}

// TestDecide compares the decision with a table: every phase with every reason against it.
func TestDecide(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	spent := &Refusal{Reason: ReasonBudget, Text: "spent"}
	phases := map[Phase]string{Running: "", Busy: ReasonBusy, Closing: ReasonBusy, Stopped: ReasonStopped, Broken: ReasonFailed}
	lasts := []struct {
		last           Attempt
		holds, unshown bool // whether it holds where the manager shows what it is at, and where it does not
	}{
		{Attempt{}, false, false},
		{Attempt{Key: "1", Time: now.Add(-time.Minute), Stage: Preparing, Instance: "old"}, false, false},
		{Attempt{Key: "1", Time: now.Add(-time.Minute), Stage: Asked, Instance: "old"}, true, true},  // it has restarted
		{Attempt{Key: "1", Time: now.Add(-time.Minute), Stage: Asked, Instance: "new"}, false, true}, // it has not, or not yet
		{Attempt{Key: "1", Time: now.Add(-time.Minute), Stage: Asked}, true, true},
		{Attempt{Key: "1", Time: now.Add(-time.Hour), Stage: Asked, Instance: "old"}, false, false},
		{Attempt{Key: "1", Time: now.Add(-time.Hour), Stage: Asked, Instance: "new"}, false, false},
		{Attempt{Key: "1", Time: now.Add(-time.Minute), Stage: Ended, Instance: "old"}, false, false},
	}
	firsts := map[Reading]bool{
		{}: false, {Known: true, Level: int(series.LevelNormal)}: false, {Known: true, Level: int(series.LevelWarning)}: true, {Known: true, Level: int(series.LevelEmergency)}: true,
	}
	cases := 0
	for phase, want := range phases {
		for _, l := range lasts {
			for first, useless := range firsts {
				for _, b := range []*Refusal{nil, spent} {
					for bits := range 4 {
						notIts, shows, holds := "", bits&1 > 0, l.unshown
						if bits&2 > 0 {
							notIts = "elsewhere"
						}
						if shows {
							holds = l.holds
						}
						cases++
						q := Question{What: "app", Now: now, Below: series.LevelWarning, State: State{Phase: phase, Instance: "new", Shows: shows}, First: first, Last: l.last, Spent: b, NotIts: notIts}
						oracle := want
						for _, reason := range []struct {
							holds bool
							name  string
						}{{notIts != "", ReasonNotIts}, {holds, ReasonUnseen}, {b != nil, ReasonBudget}, {useless, ReasonWillNotHelp}} {
							if oracle == "" && reason.holds {
								oracle = reason.name
							}
						}
						got := ""
						if r := Decide(&q); r != nil {
							got = r.Reason
						}
						if got != oracle {
							t.Errorf("%s, %+v, %+v, spent %v, %q, shows %v: %q, want %q", phase, l.last, first, b != nil, notIts, shows, got, oracle)
						}
					}
				}
			}
		}
	}
	if cases != 5*8*4*2*4 {
		t.Errorf("%d cases", cases)
	}
}

// TestElsewhere: what runs in another unit, also one of a user that has the same name, is not restarted for the target.
func TestElsewhere(t *testing.T) {
	f := func(via, unit string, want string) {
		t.Helper()
		got := Elsewhere(&Spec{Via: via, Unit: "app.service"}, &Place{Unit: unit}, &State{})
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s in %s: %q, want %q", via, unit, got, want)
		}
	}
	f(ViaSystemd, "app.service", "")
	f(ViaSystemd, "", "")
	f(ViaSystemd, "other.service", "write unit: other.service")
	f(ViaSystemd, "user@1000.service", "write via: command")
	f(ViaCommand, "other.service", "")
}

func TestNeedsHuman(t *testing.T) {
	c := &clock{time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
	l := newTestLedger(&memory{}, c)
	want := func(text string) {
		t.Helper()
		if text != "" {
			text = "# HELP spillway_restart_needs_human 1 while a target is not restarted although its playbook wants it and waiting does not help, or was left drained, by reason; absent otherwise.\n# TYPE spillway_restart_needs_human gauge\n" + text
		}
		if err := testutil.CollectAndCompare(l, strings.NewReader(text)); err != nil {
			t.Error(err)
		}
	}
	want("")
	l.Needs("a", ReasonBudget)
	l.Needs("a", ReasonFailed)
	want(fmt.Sprintf("spillway_restart_needs_human{reason=%q,target=\"a\"} 1\n", ReasonFailed))
	c.now = c.now.Add(3 * time.Hour)
	want("")
	l.Needs("a", ReasonFailed)
	l.Needs("a", "")
	want("")
}
