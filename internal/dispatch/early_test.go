package dispatch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/trend"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
	"github.com/spillway-exporter/spillway_exporter/internal/window"
)

// noon is open from 12:00 to 14:00. The bubble begins at midnight UTC.
var noon = window.Windows{"noon": {{Times: []window.Range{{Start: "12:00", End: "14:00"}}}}}

// clouds is an outlook that a test sets.
type clouds struct {
	mu sync.Mutex
	o  trend.Outlook
}

func (c *clouds) of(string) trend.Outlook {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.o
}

func (c *clouds) change(f func(*trend.Outlook)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.o)
}

// reaches foresees the limit between two times after the beginning of the bubble, judged in all of the next days.
func (c *clouds) reaches(earliest, at, latest time.Duration) {
	begin := time.Now()
	c.change(func(o *trend.Outlook) {
		o.Estimate = trend.Estimate{Known: true, Growing: true, PerSecond: 3000, Confidence: .8}
		o.Forecast = trend.Forecast{At: begin.Add(at), Earliest: begin.Add(earliest), Latest: begin.Add(latest)}
	})
}

// keepJudging has the outlook judged every five minutes.
func (c *clouds) keepJudging(ctx context.Context) {
	tick := time.NewTicker(5 * time.Minute)
	defer tick.Stop()
	for ctx.Err() == nil {
		c.change(func(o *trend.Outlook) { o.Judged = time.Now() })
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// earlyBook has one step that acts before the limit, and one that does not.
func earlyBook(mode string) Playbooks {
	return Playbooks{"mine": {{Do: action.NameCleanTemp}, {Do: action.NameEvictCache, When: levels(critical), WhenOpen: "noon", ActBefore: ActBeforeLimit, Mode: mode}}}
}

// foreseeing runs a test with an outlook and a target at 50 %.
func foreseeing(t *testing.T, f func(t *testing.T, w *world, c *clouds)) {
	c := &clouds{}
	bubble(t, Options{Outlook: c.of}, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(context.Background())
		var done sync.WaitGroup
		done.Go(func() { c.keepJudging(ctx) })
		defer func() { cancel(); done.Wait() }()
		w.observer.set("svc", subject.Memory, .5)
		f(t, w, c)
	})
}

// TestActBefore: what would reach its limit after the window acts in it, once, with the steps that say so.
func TestActBefore(t *testing.T) {
	foreseeing(t, func(t *testing.T, w *world, c *clouds) {
		w.guard(ModeEnforce, "other", Guard{}, noon, earlyBook(""))
		c.reaches(19*time.Hour, 20*time.Hour, 21*time.Hour)
		passes(12*time.Hour - time.Minute)
		if n := len(w.cache.calls()); n != 0 {
			t.Fatalf("acted %d times before the window", n)
		}
		passes(3 * time.Minute)
		w.finished()
		calls := w.cache.calls()
		if len(calls) != 1 || calls[0].DryRun || calls[0].Trigger != string(alert.TriggerForecast) || len(w.temp.calls()) != 0 {
			t.Fatalf("%d calls %+v, %d of the other step", len(calls), calls, len(w.temp.calls()))
		}
		r := w.run(calls[0].RunID)
		if r.Trigger != "forecast" || r.Level != "normal" || r.Outcome != OutcomeDone || !strings.Contains(r.Intent, "since its memory reaches the limit on Saturday about 20:00 UTC (between 19:00 and 21:00)") {
			t.Errorf("%+v", r)
		}
		passes(3 * time.Hour)
		if n := len(w.cache.calls()); n != 1 {
			t.Errorf("acted %d times in one window", n)
		}
		c.reaches(19*time.Hour, 20*time.Hour, 21*time.Hour) // it goes on growing
		c.change(func(o *trend.Outlook) {
			o.At, o.Earliest, o.Latest = o.At.Add(12*time.Hour), o.Earliest.Add(12*time.Hour), time.Time{}
		})
		passes(24 * time.Hour)
		if n := len(w.cache.calls()); n != 2 {
			t.Errorf("acted %d times in two windows", n)
		}
	})
}

// TestActBeforeHoldsBack: what is not sure, not near, or not permitted does not act early.
func TestActBeforeHoldsBack(t *testing.T) {
	tests := []struct {
		name   string
		mode   string
		guard  Guard
		change func(w *world, o *trend.Outlook)
		dry    int // dry runs
		runs   int
		human  int // records that a person is needed
	}{
		{name: "it is due", runs: 1},
		{name: "confidence too low", change: func(_ *world, o *trend.Outlook) { o.Confidence = .49 }},
		{name: "it does not grow", change: func(_ *world, o *trend.Outlook) { o.Growing = false }},
		{name: "it shrinks", change: func(_ *world, o *trend.Outlook) { o.PerSecond = -1 }},
		{name: "beyond the horizon", change: func(_ *world, o *trend.Outlook) { o.Forecast = trend.Forecast{} }},
		{name: "the next window is soon enough", change: func(_ *world, o *trend.Outlook) { o.Earliest, o.At, o.Latest = at(37), at(40), at(50) }},
		{name: "the next window may be too late", change: func(_ *world, o *trend.Outlook) { o.Earliest, o.At, o.Latest = at(35), at(40), at(50) }, runs: 1},
		{name: "in the window itself", change: func(_ *world, o *trend.Outlook) { o.Earliest, o.At, o.Latest = at(13), at(13), at(13) }},
		{name: "in the window, or after it", change: func(_ *world, o *trend.Outlook) { o.Earliest, o.At, o.Latest = at(13), at(13), at(16) }, runs: 1},
		{name: "a dry run, once", mode: ModeDryRun, dry: 1},
		{name: "its window is closed", guard: Guard{WhenOpen: "not noon"}},
		{name: "a budget with room", guard: Guard{Budget: Budget{1, units.Duration(24 * time.Hour)}}, runs: 1},
		{
			name: "paused", change: func(w *world, _ *trend.Outlook) {
				_, _ = w.d.Pause(context.Background(), PauseRequest{Target: "svc"})
			},
		},
		{
			name: "its budget is used up", guard: Guard{Budget: Budget{1, units.Duration(24 * time.Hour)}}, change: func(w *world, _ *trend.Outlook) {
				w.observer.set("svc", subject.Memory, .9)
				go func() { _ = w.one(w.firing("svc", "mine", critical)) }()
			},
			human: 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			foreseeing(t, func(t *testing.T, w *world, c *clouds) {
				mode := tt.mode
				if mode == "" {
					mode = ModeEnforce
				}
				w.guard(mode, "mine", tt.guard, noon, earlyBook(""))
				c.reaches(19*time.Hour, 20*time.Hour, 21*time.Hour)
				if tt.change != nil {
					c.change(func(o *trend.Outlook) { tt.change(w, o) })
				}
				passes(15 * time.Hour)
				dry, runs := 0, 0
				for _, r := range w.cache.calls() {
					if r.DryRun {
						dry++
					} else {
						runs++
					}
				}
				human := len(slices.DeleteFunc(w.records(journal.Filter{}), func(r journal.Record) bool {
					return r.Outcome != OutcomeNeedsHuman || r.Trigger != "forecast"
				}))
				if runs != tt.runs || dry != tt.dry || human != tt.human {
					t.Errorf("%d runs, %d dry, a person is needed %d times, want %d, %d, %d", runs, dry, human, tt.runs, tt.dry, tt.human)
				}
			})
		})
	}
}

// at is a time of the bubble, in hours since its beginning.
func at(hours int) time.Time {
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(hours) * time.Hour)
}

// TestActBeforeIsOld: an outlook that is judged no longer says nothing.
func TestActBeforeIsOld(t *testing.T) {
	c := &clouds{}
	bubble(t, Options{Outlook: c.of}, func(t *testing.T, w *world) {
		w.observer.set("svc", subject.Memory, .5)
		w.guard(ModeEnforce, "mine", Guard{}, noon, earlyBook(""))
		c.reaches(19*time.Hour, 20*time.Hour, 21*time.Hour)
		c.change(func(o *trend.Outlook) { o.Judged = at(11) })
		passes(15 * time.Hour)
		if n := len(w.cache.calls()); n != 0 {
			t.Errorf("acted %d times", n)
		}
	})
}

// TestActBeforeIsProposed: in mode propose a person approves it, while the window is open.
func TestActBeforeIsProposed(t *testing.T) {
	foreseeing(t, func(t *testing.T, w *world, c *clouds) {
		w.guard(ModePropose, "mine", Guard{}, noon, earlyBook(""))
		c.reaches(19*time.Hour, 20*time.Hour, 21*time.Hour)
		passes(15 * time.Hour)
		open := w.d.Status().Proposals
		if len(open) != 1 || len(open[0].Steps) != 1 || open[0].Steps[0].Step != 1 {
			t.Fatalf("%+v", open)
		}
		if _, err := w.d.Approve(t.Context(), open[0].ID, "anna"); !errors.Is(err, ErrHeld) {
			t.Errorf("approved after the window: %v", err)
		}
	})
	foreseeing(t, func(t *testing.T, w *world, c *clouds) {
		w.guard(ModePropose, "mine", Guard{}, noon, earlyBook(""))
		c.reaches(19*time.Hour, 20*time.Hour, 21*time.Hour)
		passes(13 * time.Hour)
		id, err := w.d.Approve(t.Context(), w.d.Status().Proposals[0].ID, "anna")
		if err != nil {
			t.Fatal(err)
		}
		w.finished()
		if got := w.steps(id); !slices.Equal(got, []string{"2 evict_cache done"}) {
			t.Errorf("%q", got)
		}
	})
}

// TestActBeforeIsJoined: an alert that joins makes it an ordinary run, with all steps for its level.
func TestActBeforeIsJoined(t *testing.T) {
	foreseeing(t, func(t *testing.T, w *world, c *clouds) {
		w.temp.will(nil)
		hold := make(chan struct{})
		w.cache.will(func(context.Context, action.Request) (action.Result, error) {
			<-hold
			return action.Result{Outcome: action.Done, Files: 1, FreedBytes: 1}, nil
		})
		book := earlyBook("")
		book["mine"] = append(book["mine"], Step{Do: action.NameCollectGarbage})
		w.guard(ModeEnforce, "mine", Guard{}, noon, book)
		c.reaches(19*time.Hour, 20*time.Hour, 21*time.Hour)
		passes(12*time.Hour + 2*time.Minute)
		w.observer.set("svc", subject.Memory, .9)
		if d := w.one(w.firing("svc", "mine", critical)); d.Disposition != alert.Accepted {
			t.Fatalf("%+v", d)
		}
		close(hold)
		w.finished()
		if n := len(w.gc.calls()); n != 1 {
			t.Errorf("the last step ran %d times, want once", n)
		}
	})
}

// TestActBeforeIsTriedAgain: one that cannot be recorded begins again in the same window.
func TestActBeforeIsTriedAgain(t *testing.T) {
	foreseeing(t, func(t *testing.T, w *world, c *clouds) {
		w.guard(ModeEnforce, "mine", Guard{}, noon, earlyBook(""))
		c.reaches(19*time.Hour, 20*time.Hour, 21*time.Hour)
		w.journal.fail(errors.New("disk full"))
		passes(12*time.Hour + 30*time.Minute)
		if n := len(w.cache.calls()); n != 0 {
			t.Fatalf("acted %d times without a journal", n)
		}
		w.journal.fail(nil)
		passes(5 * time.Minute)
		if n := len(w.cache.calls()); n != 1 {
			t.Errorf("acted %d times, want once", n)
		}
	})
}

// TestHeldNowIsForeseen: directly before a restart the forecast must still hold; its level need not be one of the step's.
func TestHeldNowIsForeseen(t *testing.T) {
	foreseeing(t, func(t *testing.T, w *world, c *clouds) {
		w.guard(ModeEnforce, "mine", Guard{}, noon, earlyBook(""))
		c.reaches(19*time.Hour, 20*time.Hour, 21*time.Hour)
		passes(time.Minute)
		r := &run{request: request{target: "svc", subject: subject.Memory, trigger: alert.TriggerForecast, mode: enforce, why: "x"}}
		a := &attempt{step: Step{Do: action.NameRestart, When: levels(critical), Early: true}, mode: enforce}
		r.progress.early = true
		if reason, text := w.d.heldNow(r, a); reason != "" {
			t.Errorf("%s: %s", reason, text)
		}
		c.change(func(o *trend.Outlook) { o.Growing = false })
		if reason, _ := w.d.heldNow(r, a); reason != SkipForecast {
			t.Errorf("%q, want %q", reason, SkipForecast)
		}
		r.progress.early = false
		if reason, _ := w.d.heldNow(r, a); reason != SkipLevel {
			t.Errorf("%q, want %q", reason, SkipLevel)
		}
	})
}
