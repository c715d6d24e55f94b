package dispatch

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// runsOfStory returns when runs began, since a time, and how they ended.
func runsOfStory(t *testing.T, j *durable, since time.Time) (out []journal.Record, after []time.Duration) {
	t.Helper()
	records, _, err := j.Query(journal.Filter{Limit: journal.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range slices.Backward(records) {
		if r.Step == 0 && r.Playbook != "" {
			out, after = append(out, r), append(after, r.Time.Sub(since))
		}
	}
	return out, after
}

// TestRehearsalIsTheDispatcher: an alert that is repeated for two hours while nothing helps, and then a run does, begins the
// same runs in a rehearsal as in the dispatcher itself, with the same cooldowns.
func TestRehearsalIsTheDispatcher(t *testing.T) {
	const story, helps = 134 * time.Minute, 2 * time.Hour
	bubble(t, Options{}, func(t *testing.T, w *world) {
		since := time.Now()
		a := w.firing("svc", "relieve_memory", warning)
		set := func(o *fakeObserver, ratio float64) {
			o.lose("svc", subject.Memory) // with its peak, from which it would fall
			o.set("svc", subject.Memory, ratio)
		}
		set(w.observer, .75)
		batch := alert.Batch{Trigger: alert.TriggerStandalone, Alerts: []alert.Alert{a}}
		for after := time.Duration(0); after < story; after += time.Minute {
			if after == helps {
				set(w.observer, .50)
			}
			if _, err := w.d.Submit(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Minute) // the bubble's clock
		}
		w.finished()
		want, wantAfter := runsOfStory(t, w.journal, since)

		now := since
		observer := &fakeObserver{readings: make(map[string]Reading)}
		set(observer, .75)
		book := &durable{Journal: journal.OpenMemory(journal.Options{Logger: slog.New(slog.DiscardHandler)})}
		r := NewRehearsal(Options{Journal: book, Observer: observer, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }},
			func(target string, s Subject) Reading { return observer.Observe(target, s) })
		r.Apply(w.targets)
		for ; now.Before(since.Add(story)); now = now.Add(time.Minute) {
			if now.Equal(since.Add(helps)) {
				set(observer, .50)
			}
			if _, err := r.Submit(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			r.Again()
		}
		got, gotAfter := runsOfStory(t, book, since)
		if len(got) < 5 || len(got) != len(want) {
			t.Fatalf("runs after %s, want them after %s", gotAfter, wantAfter)
		}
		for i := range got {
			if apart := (gotAfter[i] - wantAfter[i]).Abs(); apart > 5*time.Minute || got[i].Outcome != want[i].Outcome || got[i].Level != want[i].Level {
				t.Errorf("run %d after %s: %s at %s, want after %s: %s at %s", i, gotAfter[i], got[i].Outcome, got[i].Level, wantAfter[i], want[i].Outcome, want[i].Level)
			}
		}
		if until := r.Until("svc", "relieve_memory"); !until.After(since.Add(helps)) {
			t.Errorf("the cooldown ends at %s", until)
		}
	})
}

// TestRehearsalPauses: what people have paused does not begin.
func TestRehearsalPauses(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		now := time.Now()
		r := NewRehearsal(Options{Journal: w.journal, Observer: w.observer, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }},
			func(string, Subject) Reading { return Reading{} })
		r.Apply(w.targets)
		batch := alert.Batch{Trigger: alert.TriggerStandalone, Alerts: []alert.Alert{w.firing("svc", "relieve_memory", critical)}}
		f := func(want string) {
			t.Helper()
			out, err := r.Submit(t.Context(), batch)
			if err != nil || out[0].Disposition != want {
				t.Errorf("%+v, %v, want %s", out, err, want)
			}
		}
		if err := r.Pause(t.Context(), PauseRequest{Target: "svc", For: time.Hour}); err != nil {
			t.Fatal(err)
		}
		f(alert.Paused)
		if err := r.Resume(t.Context(), PauseRequest{Target: "svc"}); err != nil {
			t.Fatal(err)
		}
		f(alert.Accepted)
		if records, after := runsOfStory(t, w.journal, now); len(records) != 1 || records[0].Outcome != OutcomeDone {
			t.Errorf("%+v after %s, want one run that is over", records, after)
		}
	})
}
