package dispatch

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

func TestRunNow(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		run := func(req ManualRequest) string {
			t.Helper()
			id, err := w.d.RunNow(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			w.finished()
			return id
		}
		w.observer.set("svc", subject.Memory, .5)
		id := run(ManualRequest{Target: "svc", Playbook: "relieve_memory", Force: true})
		if r := w.run(id); r.Trigger != "manual" || r.Outcome != "done" || len(w.steps(id)) != 3 {
			t.Errorf("without pressure every step runs: %+v", r)
		}
		if !w.temp.calls()[0].Force {
			t.Error("Force does not reach the action")
		}
		// A cooldown holds alerts back, not a person.
		if d := w.one(w.firing("svc", "relieve_memory", critical)); d.Disposition != alert.Cooldown {
			t.Errorf("an alert after it: %+v", d)
		}
		if again := run(ManualRequest{Target: "svc", Playbook: "relieve_memory"}); again == id {
			t.Error("a person is held back")
		}

		yes := true
		id = run(ManualRequest{Target: "svc", Playbook: "trim_cache", DryRun: &yes})
		if r := w.run(id); r.Mode != ModeDryRun || r.Outcome != "dry_run" {
			t.Errorf("a dry run: %+v", r)
		}
		if d := w.one(w.firing("svc", "trim_cache", warning)); d.Disposition != alert.Accepted {
			t.Errorf("a person's dry run holds alerts back: %+v", d)
		}
		w.finished()

		id = run(ManualRequest{Target: "svc", Action: action.NameCleanTemp, Only: "tts", Trigger: alert.TriggerSchedule})
		calls := w.temp.calls()
		look, last := calls[len(calls)-2], calls[len(calls)-1]
		if id != "" || !look.DryRun || last.DryRun {
			t.Errorf("a schedule looks before it acts, and has no id before: %q, %+v, %+v", id, look, last)
		}
		if r := w.run(last.RunID); r.Trigger != "schedule" || last.Only != "tts" || last.Relief || r.Playbook != action.NameCleanTemp {
			t.Errorf("an action alone: %+v, request %+v", r, last)
		}
		if d := w.one(w.firing("svc", "clean_temp", warning)); d.Disposition != alert.Accepted {
			t.Errorf("a schedule holds alerts back: %+v", d)
		}
		w.finished()
	})
}

func TestRunNowWithPressureVerifies(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.temp.do = relieves(w, .5)
		id, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: "relieve_memory"})
		if err != nil {
			t.Fatal(err)
		}
		w.finished()
		if r := w.run(id); r.Outcome != OutcomeRelieved || len(w.steps(id)) != 1 {
			t.Errorf("the run is %+v", r)
		}
	})
}

func TestRunNowJoinsTheSame(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.temp.do = func(_ context.Context, req action.Request) (action.Result, error) {
			<-release
			return action.Result{Outcome: action.Done}, nil
		}
		d := w.one(w.firing("svc", "clean_temp", warning))
		yes := true
		ids := make(map[string]bool)
		for _, req := range []ManualRequest{
			{Target: "svc", Playbook: "clean_temp"},
			{Target: "svc", Playbook: "clean_temp"},
			{Target: "svc", Playbook: "clean_temp", DryRun: &yes},
			{Target: "svc", Playbook: "clean_temp", Force: true},
			{Target: "svc", Playbook: "clean_temp", Only: "tts"},
			{Target: "svc", Action: action.NameCleanTemp},
		} {
			id, err := w.d.RunNow(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			ids[id] = true
		}
		if len(ids) != 5 || !ids[d.RunID] {
			t.Errorf("runs %v, want the open one for the first two and one for each of the others", ids)
		}
		close(release)
		w.finished()
		if w.temp.overlap {
			t.Error("an action ran twice at once for one target")
		}
	})
}

func TestRunNowMistakes(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		f := func(req ManualRequest, want error, says string) {
			t.Helper()
			if _, err := w.d.RunNow(t.Context(), req); !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
				t.Errorf("%+v: %v, want %v and a word about %q", req, err, want, says)
			}
		}
		f(ManualRequest{Target: "nobody", Playbook: "clean_temp"}, ErrUnknown, "write one of svc")
		f(ManualRequest{Target: "svc", Playbook: "format_disk"}, ErrUnknown, "write one of clean_temp, on_exit, relieve_heap, relieve_memory, trim_cache")
		f(ManualRequest{Target: "svc", Action: "rm"}, ErrUnknown, "write one of clean_temp, collect_garbage, evict_cache")
		f(ManualRequest{Target: "svc"}, ErrBadRequest, "either a playbook")
		f(ManualRequest{Target: "svc", Playbook: "clean_temp", Action: "clean_temp"}, ErrBadRequest, "either a playbook")
		w.journal.fail(errDisk)
		f(ManualRequest{Target: "svc", Playbook: "clean_temp"}, ErrJournal, errDisk.Error())
		if len(w.d.Status().Open) != 0 {
			t.Error("a run that was not recorded is open")
		}
	})
}
