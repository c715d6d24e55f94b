package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// reactions returns how many there were at a level, and their sum.
func (w *world) reactions(level series.Level) (n uint64, sum time.Duration) {
	w.t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == metric.Reaction.Name && m.GetLabel()[0].GetValue() == level.String() {
				return m.GetHistogram().GetSampleCount(), time.Duration(m.GetHistogram().GetSampleSum()*1e6) * time.Microsecond
			}
		}
	}
	w.t.Fatalf("no histogram of %s", level)
	return 0, 0
}

func (w *world) read(before time.Duration, level series.Level) alert.Alert {
	a := w.firing("svc", "relieve_memory", level)
	a.ReadAt = time.Now().Add(-before)
	return a
}

func expectReactions(t *testing.T, w *world, n uint64, sum time.Duration) {
	t.Helper()
	if gotN, gotSum := w.reactions(emergency); gotN != n || gotSum != sum {
		t.Errorf("%d reactions in %v, want %d in %v", gotN, gotSum, n, sum)
	}
}

func TestReactionIsFromTheReadingToTheFirstEffect(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.set("svc", subject.Memory, .97)
		empty := func(ctx context.Context, req action.Request) (action.Result, error) {
			<-time.After(100 * time.Millisecond) // of the bubble
			return nothingToDo(ctx, req)
		}
		slow := func(context.Context, action.Request) (action.Result, error) {
			<-time.After(5 * time.Second)
			return action.Result{Outcome: action.Done, Files: 3, FreedBytes: 10, Policies: []action.PolicyResult{{Files: 3, FreedBytes: 10}}}, nil
		}
		w.cache.will(empty)
		w.temp.will(empty)
		w.gc.will(slow)
		w.by(alert.TriggerStandalone, w.read(40*time.Millisecond, emergency))
		w.settled()
		expectReactions(t, w, 0, 0)
		w.finished()
		expectReactions(t, w, 1, 240*time.Millisecond) // two steps found nothing to do
	})
}

func TestReactionIsNotObserved(t *testing.T) {
	for _, tc := range []struct {
		name string
		mode string
		do   func(context.Context, action.Request) (action.Result, error)
		a    func(*world) alert.Alert
	}{
		{"of a dry run", ModeDryRun, nil, func(w *world) alert.Alert { return w.read(time.Second, emergency) }},
		{"of an alert from outside", ModeEnforce, nil, func(w *world) alert.Alert { return w.firing("svc", "relieve_memory", emergency) }},
		{"of a run without effect", ModeEnforce, nothingToDo, func(w *world) alert.Alert { return w.read(time.Second, emergency) }},
		{"of steps that fail", ModeEnforce, func(context.Context, action.Request) (action.Result, error) {
			return action.Result{Outcome: action.Failed}, errDisk
		}, func(w *world) alert.Alert { return w.read(time.Second, emergency) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, w *world) {
				w.d.Apply(map[string]Target{"svc": w.target("svc", tc.mode, nil)})
				w.observer.set("svc", subject.Memory, .97)
				for _, a := range []*fakeAction{w.cache, w.temp, w.gc} {
					a.will(tc.do)
				}
				w.by(alert.TriggerStandalone, tc.a(w))
				w.finished()
				expectReactions(t, w, 0, 0)
			})
		})
	}
}

// The reading counts that led to the run: a later alert that joins it after its first effect, and a
// repeat after the cooldown, are not reactions.
func TestReactionIsObservedOncePerRun(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.observer.set("svc", subject.Memory, .97)
		own := w.read(30*time.Millisecond, emergency)
		w.by(alert.TriggerStandalone, own)
		w.settled()
		w.by(alert.TriggerStandalone, w.read(time.Minute, emergency))
		w.finished()
		expectReactions(t, w, 1, 30*time.Millisecond)
		own.ReadAt = time.Time{}
		for range 20 { // it fires on, and the run is repeated after the cooldown
			<-time.After(time.Minute)
			w.by(alert.TriggerStandalone, own)
		}
		w.finished()
		if n := w.runs(); n < 2 {
			t.Fatalf("%d runs", n)
		}
		expectReactions(t, w, 1, 30*time.Millisecond)
	})
}

// The run of a webhook that has not begun takes over the reading of an own alert that joins it.
func TestReactionOfARunThatAnAlertJoins(t *testing.T) {
	bubble(t, Options{Workers: 1}, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.temp.will(func(context.Context, action.Request) (action.Result, error) {
			<-release
			return action.Result{Outcome: action.Done, Files: 1}, nil
		})
		w.observer.set("svc", subject.Memory, .97)
		w.one(w.firing("svc", "clean_temp", warning)) // holds the target
		w.settled()
		d := w.one(w.firing("svc", "relieve_memory", emergency))
		if own := w.by(alert.TriggerStandalone, w.read(10*time.Millisecond, emergency)); own.RunID != d.RunID {
			t.Fatalf("%+v, want run %s", own, d.RunID)
		}
		<-time.After(20 * time.Millisecond)
		w.temp.will(nil)
		close(release)
		w.finished()
		expectReactions(t, w, 1, 30*time.Millisecond)
		if len(w.records(journal.Filter{RunID: d.RunID})) == 0 {
			t.Error("the run has no record")
		}
	})
}
