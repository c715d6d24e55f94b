package dispatch

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// passes lets time go by in the bubble.
func passes(d time.Duration) { <-time.After(d) }

// pause pauses and wants no error.
func (w *world) pause(req PauseRequest) Pause {
	w.t.Helper()
	p, err := w.d.Pause(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// TestPauseHoldsWhatBeginsByItself: alerts, schedules, exits and watchers do nothing; a person does.
func TestPauseHoldsWhatBeginsByItself(t *testing.T) {
	for _, target := range []string{"", "svc"} {
		bubble(t, Options{}, func(t *testing.T, w *world) {
			w.pause(PauseRequest{Target: target, Reason: "a release", By: "ann"})
			if d := w.one(w.firing("svc", "relieve_memory", emergency)); d.Disposition != alert.Paused || !strings.Contains(d.Reason, "until someone resumes: a release") {
				t.Errorf("%+v", d)
			}
			for _, req := range []ManualRequest{
				{Target: "svc", Action: action.NameCleanTemp, Trigger: alert.TriggerSchedule},
				{Target: "svc", Playbook: PlaybookOnExit, Trigger: alert.TriggerExit},
				{Target: "svc", Playbook: "watcher", Steps: []Step{{Do: action.NameCleanTemp}}, Trigger: alert.TriggerWatch},
			} {
				if _, err := w.d.RunNow(t.Context(), req); !errors.Is(err, ErrPaused) {
					t.Errorf("%s: %v", req.Trigger, err)
				}
			}
			w.finished()
			if n := len(w.temp.calls()) + len(w.cache.calls()) + len(w.gc.calls()); n != 0 {
				t.Errorf("%d actions ran", n)
			}
			if w.counter("spillway_paused", map[string]string{"target": "svc"}) != 1 || w.counter("spillway_action_skips_total", map[string]string{"reason": SkipPaused}) == 0 {
				t.Error("it is in no metric")
			}
			if _, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Action: action.NameCleanTemp}); err != nil {
				t.Errorf("a person's run: %v", err)
			}
			w.finished()
			if n := len(w.temp.calls()); n != 1 {
				t.Errorf("a person's run acted %d times", n)
			}
			if ended, err := w.d.Resume(t.Context(), PauseRequest{Target: target, By: "ann"}); err != nil || len(ended) != 1 {
				t.Errorf("resume: %v, %v", ended, err)
			}
			if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Accepted {
				t.Errorf("after it: %+v", d)
			}
			w.finished()
			if w.counter("spillway_paused", nil) != 0 {
				t.Error("still paused in the metric")
			}
			var said []string
			for _, r := range w.records(journal.Filter{}) {
				if r.Action == "pause" || r.Action == "resume" {
					said = append(said, r.Action+" "+r.Outcome+" "+r.Intent)
				}
			}
			if len(said) != 2 || !strings.HasPrefix(said[0], "resume done ") || !strings.HasPrefix(said[1], "pause done ") || !strings.HasSuffix(said[1], ", requested by ann") {
				t.Errorf("the journal has %q", said)
			}
		})
	}
}

// TestPauseOfOneTarget leaves the others alone.
func TestPauseOfOneTarget(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.targets["other"] = w.target("other", ModeEnforce, nil)
		w.d.Apply(w.targets)
		w.pause(PauseRequest{Target: "other"})
		if d := w.submit(w.firing("svc", "clean_temp", warning), w.firing("other", "clean_temp", warning)); d[0].Disposition != alert.Accepted || d[1].Disposition != alert.Paused {
			t.Errorf("%+v", d)
		}
		w.finished()
	})
}

// TestPauseEndsByItself, and does so after a restart too.
func TestPauseEndsByItself(t *testing.T) {
	for _, restart := range []bool{false, true} {
		bubble(t, Options{}, func(t *testing.T, w *world) {
			w.pause(PauseRequest{For: 2 * time.Hour})
			if restart {
				w.end()
				w.start(Options{})
			}
			passes(2*time.Hour - time.Second)
			if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Paused {
				t.Errorf("before the end: %+v", d)
			}
			passes(time.Second)
			if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Accepted {
				t.Errorf("at the end: %+v", d)
			}
			w.finished()
			passes(againLook)
			w.settled()
			if saved, err := w.journal.States(pausesKey); err != nil || string(saved[pausesKey]) != "[]" {
				t.Errorf("the journal keeps %s, %v", saved[pausesKey], err)
			}
		})
	}
}

// TestPauseOutlivesRestart where it has no end.
func TestPauseOutlivesRestart(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.pause(PauseRequest{Target: "svc", Reason: "a release"})
		w.end()
		w.start(Options{})
		passes(100 * 24 * time.Hour)
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Paused {
			t.Errorf("%+v", d)
		}
	})
}

// TestUnreadablePausesPause: what a person wanted is not known, so nothing begins.
func TestUnreadablePausesPause(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.end()
		if err := w.journal.PutState(t.Context(), pausesKey, []byte("{")); err != nil {
			t.Fatal(err)
		}
		w.start(Options{})
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Paused {
			t.Errorf("%+v", d)
		}
		if _, err := w.d.Resume(t.Context(), PauseRequest{}); err != nil {
			t.Error(err)
		}
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Accepted {
			t.Errorf("after the resume: %+v", d)
		}
		w.finished()
	})
}

// TestPauseIsNeverRefused: not while the exporter ends, nor without a journal; it is then in effect all the same, and written
// when the journal is well.
func TestPauseIsNeverRefused(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.journal.putErr = errDisk
		if _, err := w.d.Pause(t.Context(), PauseRequest{}); !errors.Is(err, ErrJournal) || !strings.Contains(err.Error(), "it is in effect, but not after a restart") {
			t.Errorf("%v", err)
		}
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Paused {
			t.Errorf("%+v", d)
		}
		w.settled()
		w.journal.putErr = nil
		passes(againLook)
		w.settled()
		w.end()
		w.start(Options{})
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Paused {
			t.Errorf("after a restart: %+v", d)
		}
		if err := w.d.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := w.d.Pause(t.Context(), PauseRequest{Target: "svc"}); err != nil {
			t.Errorf("while it ends: %v", err)
		}
	})
}

// TestPauseStopsAnOpenRun before its next step; the step at work ends.
func TestPauseStopsAnOpenRun(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.temp.do = func(context.Context, action.Request) (action.Result, error) {
			<-release
			return action.Result{Outcome: action.Done, Files: 1}, nil
		}
		run := w.one(w.firing("svc", "relieve_memory", critical)).RunID
		w.settled()
		w.pause(PauseRequest{})
		if d := w.one(w.firing("svc", "relieve_memory", emergency)); d.Disposition != alert.Paused {
			t.Errorf("an alert for the open run: %+v", d)
		}
		close(release)
		w.finished()
		if n := len(w.cache.calls()) + len(w.gc.calls()); n != 0 {
			t.Errorf("%d actions ran while it was paused", n)
		}
		if r := w.run(run); r.Files != 1 || !strings.Contains(r.Detail, "evict_cache was skipped, a person has paused all targets") {
			t.Errorf("%+v", r)
		}
	})
}

// TestPauseHoldsWhatGoesAgain: a run that waits and a repeat for an alert that still fires begin after the pause.
func TestPauseHoldsWhatGoesAgain(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.set("svc", subject.Memory, .97)
		a := w.firing("svc", "relieve_memory", critical)
		fire := func() alert.Disposition {
			out, err := w.d.Submit(t.Context(), alert.Batch{Trigger: alert.TriggerStandalone, Alerts: []alert.Alert{a}})
			if err != nil {
				t.Fatal(err)
			}
			return out[0]
		}
		fire()
		w.finished()
		before := len(w.temp.calls())
		if before == 0 {
			t.Fatal("the first run did nothing")
		}
		w.pause(PauseRequest{For: 3 * time.Hour})
		for range 60 * 3 {
			passes(time.Minute)
			fire()
			if len(w.d.Status().Pauses) > 0 && len(w.temp.calls()) != before {
				t.Fatal("it acted while it was paused")
			}
		}
		passes(2 * time.Minute)
		fire()
		w.finished()
		if len(w.temp.calls()) == before {
			t.Error("it did not go on after the pause")
		}
	})
}

func TestPauseMistakes(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		for _, tt := range []struct {
			req  PauseRequest
			want error
		}{
			{PauseRequest{Target: "scv"}, ErrUnknown},
			{PauseRequest{For: -time.Second}, ErrBadRequest},
			{PauseRequest{For: 367 * 24 * time.Hour}, ErrBadRequest},
			{PauseRequest{Reason: strings.Repeat("x", maxPauseLen+1)}, ErrBadRequest},
		} {
			if _, err := w.d.Pause(t.Context(), tt.req); !errors.Is(err, tt.want) {
				t.Errorf("%+v: %v, want %v", tt.req, err, tt.want)
			}
		}
		if ended, err := w.d.Resume(t.Context(), PauseRequest{}); err != nil || len(ended) != 0 {
			t.Errorf("nothing is paused: %v, %v", ended, err)
		}
		w.pause(PauseRequest{})
		if _, err := w.d.Resume(t.Context(), PauseRequest{Target: "svc"}); !errors.Is(err, ErrBadRequest) {
			t.Errorf("one of all: %v", err)
		}
	})
}

// TestPauseAndClockThatWasSetBack: a pause lasts no longer than it was meant to.
func TestPauseAndClockThatWasSetBack(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	p := Pause{Since: now.Add(1000 * time.Hour), Length: time.Hour}
	if p.over(now) || !p.Until.Equal(now.Add(time.Hour)) {
		t.Errorf("it lasts until %s", p.Until)
	}
	if !p.over(now.Add(time.Hour)) {
		t.Error("it does not end")
	}
}

// TestPauseAndResumeAtOnce: what the journal has at the end is what holds, in whatever order the disk answers.
func TestPauseAndResumeAtOnce(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		var puts atomic.Int32
		w.journal.slowPut = func() time.Duration { // the first to be asked is the last to answer
			if puts.Add(1) == 1 {
				return 2 * time.Second
			}
			return time.Second
		}
		done := make(chan error, 1)
		go func() {
			_, err := w.d.Pause(t.Context(), PauseRequest{Target: "svc"})
			done <- err
		}()
		passes(time.Millisecond)
		ended, err := w.d.Resume(t.Context(), PauseRequest{Target: "svc"})
		if err := errors.Join(err, <-done); err != nil || len(ended) != 1 {
			t.Fatalf("%v, %d ended", err, len(ended))
		}
		w.journal.slowPut = nil
		saved, err := w.journal.States(pausesKey)
		if text := string(saved[pausesKey]); err != nil || text != "[]" {
			t.Errorf("nothing is paused, and after a restart it would be: %s, %v", text, err)
		}
	})
}
