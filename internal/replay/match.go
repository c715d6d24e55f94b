package replay

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// near is how far apart two runs can be that are the same one: where five minutes begin is all that is known of a
// value, and a rule may wait for the next.
const near = 2 * history.Step

// What people do, as the journal calls it.
const (
	actionPause  = "pause"
	actionResume = "resume"
)

// readJournal returns the runs that began by themselves, the oldest first, and keeps what people have paused: a pause may
// have begun long before the span.
func (p *replay) readJournal(since time.Time) (runs []journal.Record, err error) {
	if p.o.Journal == nil {
		return nil, nil
	}
	for f := (journal.Filter{Until: p.o.To, Limit: journal.MaxLimit}); ; {
		page, next, err := p.o.Journal(f)
		if err != nil {
			return nil, err
		}
		for i := range page {
			switch r := &page[i]; {
			case r.Action == actionPause, r.Action == actionResume:
				p.people = append(p.people, *r)
			case !r.Time.Before(since) && r.Step == 0 && byItself(r) && r.Outcome != dispatch.OutcomeNeedsHuman:
				runs = append(runs, *r)
			}
		}
		if next == "" {
			break
		}
		f.After = next
	}
	slices.Reverse(runs)
	slices.Reverse(p.people)
	return runs, nil
}

func byItself(r *journal.Record) bool {
	switch alert.Trigger(r.Trigger) {
	case alert.TriggerStandalone, alert.TriggerWebhook, alert.TriggerPull, alert.TriggerSchedule:
		return true
	}
	return false
}

// persons does what people had done by a time: what they have paused stays paused in the replay.
func (p *replay) persons(ctx context.Context, at time.Time) {
	for len(p.people) > 0 && !p.people[0].Time.After(at) {
		r := &p.people[0]
		p.people = p.people[1:]
		req := dispatch.PauseRequest{Target: r.Target}
		if r.Action == actionResume {
			_ = p.stage.Resume(ctx, req) // of a target that the file does not have
			continue
		}
		if _, text, ok := strings.Cut(r.Intent, " until "); ok {
			if until, err := time.Parse(time.RFC3339, strings.TrimRight(firstWord(text), ":,")); err == nil {
				if req.For = until.Sub(at); req.For <= 0 {
					continue
				}
			}
		}
		_ = p.stage.Pause(ctx, req)
	}
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return word
}

// match puts what really happened next to what would have. A run that really began and would not have is one of its own.
func (p *replay) match(really []journal.Record) {
	taken := make([]bool, len(really))
	for i := range p.report.Runs {
		r := &p.report.Runs[i]
		best := -1
		for j := range really {
			rec := &really[j]
			if taken[j] || rec.Target != r.Target || rec.Playbook != r.Playbook {
				continue
			}
			if apart := rec.Time.Sub(r.Time).Abs(); apart <= near && (best < 0 || apart < really[best].Time.Sub(r.Time).Abs()) {
				best = j
			}
		}
		if best >= 0 {
			taken[best] = true
			r.Really = realOf(&really[best])
		}
	}
	for j := range really {
		if rec := &really[j]; !taken[j] && !rec.Time.Before(p.o.From) {
			p.report.Runs = append(p.report.Runs, Run{
				Time: floor(rec.Time), Target: rec.Target, Playbook: rec.Playbook, Would: WouldNot, Trigger: rec.Trigger, Alert: rec.Alert, Level: rec.Level,
				Really: realOf(rec),
			})
		}
	}
}

func realOf(r *journal.Record) *Really {
	outcome := r.Outcome
	if outcome == "" {
		outcome = journal.OutcomeOpen
	}
	return &Really{ID: r.RunID, Time: r.Time, Mode: r.Mode, Level: r.Level, Outcome: outcome, Seconds: r.DurationSecs, Files: r.Files}
}
