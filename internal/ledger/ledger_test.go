package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

var start = time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)

// past makes records, the oldest first.
type past struct {
	records []journal.Record
	now     time.Time
	runs    int
}

// step is one step of a run.
type step struct {
	action, outcome string
	before          string
	freed           int64
	seconds         float64
}

// run records a run for an alert with its steps, and what comes after it.
func (p *past) run(outcome string, pause time.Duration, steps ...step) {
	p.runs++
	id := fmt.Sprintf("%016d", p.runs)
	r := journal.Record{RunID: id, Time: p.now, Target: "app", Playbook: "relieve_memory", Mode: "enforce", Trigger: "standalone", Outcome: outcome}
	var took float64
	for _, s := range steps {
		took += s.seconds
		r.FreedBytes += s.freed
	}
	r.DurationSecs = took
	p.records = append(p.records, r)
	for i, s := range steps {
		intent := s.action
		if s.action == "http" {
			intent += " (run: if_removed)"
		}
		p.records = append(p.records, journal.Record{
			RunID: id, Time: p.now, Target: "app", Playbook: "relieve_memory", Step: i + 1, Action: s.action, Mode: "enforce", Trigger: "standalone",
			Intent: intent, Before: s.before, Outcome: s.outcome, FreedBytes: s.freed, DurationSecs: s.seconds,
		})
		p.now = p.now.Add(time.Duration(s.seconds * float64(time.Second)))
	}
	p.now = p.now.Add(pause)
}

func (p *past) repeat(n int, outcome string, pause time.Duration, steps ...step) {
	for range n {
		p.run(outcome, pause, steps...)
	}
}

func (p *past) book() *Book {
	b := New(Options{Relieves: func(action string) bool { return action != "capture_evidence" }})
	for _, r := range slices.Backward(p.records) {
		b.Add(&r)
	}
	return b
}

var (
	evict   = step{"evict_cache", "done", "", 100 << 20, 2}
	collect = step{"collect_garbage", "done", "", 600 << 20, 3}
	capture = step{"capture_evidence", "done", "", 0, 1}
	pass    = step{"http", "done", "", 0, 1}
	failed  = step{"collect_garbage", "failed", "", 0, 1}
	dry     = step{"evict_cache", "dry_run", "", 100 << 20, 2}
)

// TestAdvice: journals with known answers.
func TestAdvice(t *testing.T) {
	memory := func(percent float64) string { return fmt.Sprintf("memory 1GiB of 2GiB (%.1f%%)", percent) }
	restart := func(percent float64) step { return step{"restart", "done", memory(percent), 0, 5} }
	rest := 4 * time.Hour
	tests := map[string]struct {
		past func(p *past)
		want []string
	}{
		"nothing":      {func(*past) {}, nil},
		"all relieved": {func(p *past) { p.repeat(14, "relieved", rest, evict) }, nil},
		"the first step never helps": {
			func(p *past) { p.repeat(14, "relieved", rest, evict, collect) },
			[]string{"evict_cache of relieve_memory relieved 0 of 14 runs: move it behind collect_garbage, which relieved 14 of 14"},
		},
		"too few runs": {func(p *past) { p.repeat(9, "relieved", rest, evict, collect) }, nil},
		"once is enough": {func(p *past) {
			p.repeat(13, "relieved", rest, evict, collect)
			p.run("relieved", rest, evict)
		}, nil},
		"nothing helps": {
			func(p *past) { p.repeat(12, "ineffective", rest, evict, collect) },
			[]string{"relieve_memory relieved 0 of 12 runs: look for what holds the memory or fills the folder, or write another step"},
		},
		"the next step hardly helps": {func(p *past) {
			p.repeat(12, "ineffective", rest, evict, collect)
			p.repeat(3, "relieved", rest, evict, collect)
		}, nil},
		"the order was changed": {func(p *past) {
			p.repeat(14, "relieved", rest, evict, collect)
			p.run("relieved", rest, collect)
		}, nil},
		"what looks or passes on is not a remedy": {func(p *past) { p.repeat(14, "relieved", rest, capture, evict, pass) }, nil},
		"a step that failed was not tried":        {func(p *past) { p.repeat(14, "ineffective", rest, failed) }, nil},
		"a dry run shows nothing":                 {func(p *past) { p.repeat(14, "dry_run", rest, dry) }, nil},
		"runs without pressure":                   {func(p *past) { p.repeat(14, "done", rest, evict) }, nil},
		"restarts at short notice": {
			func(p *past) { // 85 % to 91 % in 3 min, the others slower
				p.run("relieved", 90*time.Second, step{"evict_cache", "done", memory(85.5), 0, 90})
				p.run("relieved", rest, restart(91))
				p.run("ineffective", 500*time.Second, step{"evict_cache", "done", memory(85), 0, 100})
				p.run("relieved", rest, restart(94))
			},
			[]string{"the service ended or was restarted at 91% to 94% of its limit (2 times): critical, 85%, left 3 min at the fastest growth seen; lower thresholds.memory.critical, or act at warning"},
		},
		"restarts with time to spare": {func(p *past) {
			p.run("ineffective", 30*time.Minute, step{"evict_cache", "done", memory(85), 0, 1})
			p.run("relieved", rest, restart(94))
		}, nil},
		"restarts below critical":    {func(p *past) { p.run("relieved", rest, restart(50)) }, nil},
		"a growth that is not known": {func(p *past) { p.run("relieved", rest, restart(94)) }, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := &past{now: start}
			tt.past(p)
			a := p.book().Account("app")
			if got := a.Advice(0.85); !slices.Equal(got, tt.want) {
				t.Errorf("%q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestAccount: shares, bytes per second and the time until the level was back.
func TestAccount(t *testing.T) {
	p := &past{now: start}
	p.run("relieved", 2*time.Hour, evict)
	p.run("relieved", 6*time.Hour, evict, collect)
	p.run("ineffective", time.Hour, evict, collect)
	p.run("relieved", time.Hour, evict, failed, pass) // the level has not come back since
	a := p.book().Account("app")
	if len(a.Steps) != 2 {
		t.Fatalf("%+v", a.Steps)
	}
	e, c := a.Steps[0], a.Steps[1]
	if e.Pressure != 4 || e.Relieved != 2 || e.Acted != 4 || c.Pressure != 2 || c.Relieved != 1 {
		t.Errorf("%+v", a.Steps)
	}
	if per, ok := e.BytesPerSecond(); !ok || per != 50<<20 {
		t.Errorf("%v, %v", per, ok)
	}
	if e.BackSeconds == nil || *e.BackSeconds != 7200 || c.BackSeconds == nil || *c.BackSeconds != 6*3600 {
		t.Errorf("%+v", a.Steps)
	}
	const want = "relieve_memory ran 4 times: 3 relieved the pressure, 1 did not, 1.6GiB freed, the level was back after 4 h"
	if got := a.Summary(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if _, ok := (&Step{}).BytesPerSecond(); ok {
		t.Error("a step that freed nothing has a rate")
	}
}

// TestMemoryRatio: only a reading of memory is one.
func TestMemoryRatio(t *testing.T) {
	f := func(text string, want float64, ok bool) {
		t.Helper()
		if got, known := MemoryRatio(text); got != want || known != ok {
			t.Errorf("%q: %v, %v", text, got, known)
		}
	}
	f("memory 3.7GiB of 4GiB (92.5%)", 0.925, true)
	f("memory 3.7GiB of 4GiB (100%)", 1, true)
	f("go heap 3.7GiB of 4GiB (92.5%)", 0, false)
	f("cache media: 10 entries, 1GiB (120.0%)", 0, false)
	f("", 0, false)
	f("memory "+strings.Repeat("(", 1<<16), 0, false)
}
