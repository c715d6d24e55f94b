package evidence

import (
	"log/slog"
	"testing"
	"time"
)

// restarted has a new process of the exporter, with the captures that the journal has.
func (p *priced) restarted() {
	p.k = NewKeeper(KeeperOptions{Store: p.k.Store(), Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return p.now }})
}

// TestRestartOfTheExporter: neither the rest of a target, nor the budget of an hour, nor what a capture has cost ends with a process.
func TestRestartOfTheExporter(t *testing.T) {
	t.Run("rest", func(t *testing.T) {
		p := newPriced(t)
		p.after(0, "")
		for range 5 {
			p.restarted()
			p.after(time.Second, SkipRest)
		}
		p.restarted()
		p.after(restBetween, "")
	})
	t.Run("budget", func(t *testing.T) {
		p := newPriced(t)
		p.q.Config = config(t)
		for range p.q.Config.PerHour {
			p.after(time.Minute, "")
			p.restarted()
		}
		p.after(time.Minute, SkipBudget)
		p.q.ByHand, p.q.Reason = true, ReasonManual
		p.after(time.Minute, "")
		p.q.ByHand, p.q.Reason = false, ""
		p.restarted()
		p.after(57*time.Minute, "") // the first is an hour old, and what a person has requested does not count
	})
	t.Run("cost", func(t *testing.T) {
		p := newPriced(t)
		p.took = time.Second
		p.after(0, "")
		p.restarted()
		p.after(time.Minute, SkipPause)
		p.took = 30 * time.Millisecond
		p.after(newestFor, "")
	})
	t.Run("a clock that was set back", func(t *testing.T) {
		p := newPriced(t)
		p.after(0, "")
		p.now = p.now.Add(-time.Hour)
		p.restarted()
		p.after(0, SkipRest)
		p.after(restBetween, "")
	})
}
