package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

// proposes has svc in mode propose, with a process.
func (w *world) proposes(process *string, p Playbooks) {
	t := w.target("svc", ModePropose, p)
	t.Digest, t.Process = "1", func() string { return *process }
	w.targets = map[string]Target{"svc": t}
	w.d.Apply(w.targets)
}

// proposal submits an alert and returns the proposal that it leads to.
func (w *world) proposal(a alert.Alert) Proposal {
	w.t.Helper()
	w.one(a)
	w.finished()
	list := w.d.Status().Proposals
	if len(list) != 1 {
		w.t.Fatalf("%d proposals wait: %+v", len(list), list)
	}
	return list[0]
}

// acted is how often a fake action acted for real.
func acted(a *fakeAction) (n int) {
	for _, req := range a.calls() {
		if !req.DryRun {
			n++
		}
	}
	return n
}

// onProposal returns the records of what became of a proposal: their outcomes and what they say.
func (w *world) onProposal(id string) (outcomes []string, text string) {
	for _, r := range w.records(journal.Filter{RunID: id}) {
		if r.ID != id {
			outcomes = append(outcomes, r.Outcome)
			text += r.Intent + " | " + r.Detail + "\n"
		}
	}
	slices.Reverse(outcomes)
	return outcomes, text
}

// TestProposeAndApprove: in mode propose nothing is done; what would be done waits with its reasons, no alert makes another
// one, and the approval of a person carries out just that, once.
func TestProposeAndApprove(t *testing.T) {
	process := "7/1"
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.proposes(&process, nil)
		w.gc.will(func(_ context.Context, req action.Request) (action.Result, error) {
			if req.DryRun {
				return action.Result{Outcome: action.DryRun, Detail: "would ask for a full collection"}, nil
			}
			w.observer.set("svc", subject.Memory, .5)
			return action.Result{Outcome: action.Done}, nil
		})
		a := w.firing("svc", "relieve_memory", critical)
		p := w.proposal(a)
		if n := acted(w.temp) + acted(w.cache) + acted(w.gc); n != 0 {
			t.Fatalf("%d actions without approval", n)
		}
		if rec := w.run(p.ID); rec.Outcome != OutcomeProposed || rec.Mode != ModePropose || !strings.Contains(rec.Detail, "spillway_exporter approve "+p.ID) {
			t.Errorf("%+v", rec)
		}
		if p.Alert != "A" || p.Level != "critical" || p.Reading != "used 90%" || p.Until.Sub(p.Since) != proposalValid || !strings.Contains(p.What(), "3 files") {
			t.Errorf("%+v: %s", p, p.What())
		}
		if got := w.counter("spillway_proposals", map[string]string{"playbook": "relieve_memory"}); got != 1 {
			t.Errorf("%v are counted as waiting", got)
		}
		if got := w.one(w.firing("svc", "relieve_memory", critical)); got.Disposition != alert.Proposed || got.RunID != p.ID {
			t.Errorf("a second alert: %+v", got)
		}
		run, err := w.d.Approve(t.Context(), p.ID, "anna")
		if err != nil {
			t.Fatal(err)
		}
		w.finished()
		rec := w.run(run)
		if rec.Mode != ModeEnforce || rec.Outcome != OutcomeRelieved || !strings.Contains(rec.Intent, "the proposal "+p.ID+", approved by anna") {
			t.Errorf("%+v", rec)
		}
		if outcomes, text := w.onProposal(p.ID); !slices.Equal(outcomes, []string{ProposalApproved}) || !strings.Contains(text, "by anna") {
			t.Errorf("%q %s", outcomes, text)
		}
		if _, err := w.d.Approve(t.Context(), p.ID, "anna"); !errors.Is(err, ErrNoProposal) || strings.Contains(err.Error(), "write one of") {
			t.Errorf("approved twice: %v", err)
		}
		if got := w.counter("spillway_proposal_outcomes_total", map[string]string{"outcome": ProposalApproved}); got != 1 {
			t.Errorf("counted %v", got)
		}
	})
}

// TestProposalIsBound: a changed situation makes a proposal void, with the reason, and nothing runs.
func TestProposalIsBound(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(w *world, process *string, a alert.Alert)
		says   string
	}{
		{"another process", func(_ *world, process *string, _ alert.Alert) { *process = "8/2" }, "another process"},
		{"the level", func(w *world, _ *string, _ alert.Alert) { w.observer.set("svc", subject.Memory, .5) }, "the level has fallen: used 50%"},
		{"the configuration", func(w *world, _ *string, _ alert.Alert) {
			svc := w.targets["svc"]
			svc.Digest = "2"
			w.targets["svc"] = svc
			w.d.Apply(w.targets)
		}, "the configuration has changed"},
		{"the default playbooks", func(w *world, _ *string, _ alert.Alert) {
			svc := w.target("svc", ModePropose, Playbooks{"relieve_memory": {{Do: action.NameEvictCache}, {Do: action.NameCleanTemp}, {Do: action.NameCollectGarbage}}})
			svc.Digest, svc.Process = w.targets["svc"].Digest, w.targets["svc"].Process
			w.targets["svc"] = svc
			w.d.Apply(w.targets)
		}, "the configuration has changed"},
		{"the mode", func(w *world, _ *string, _ alert.Alert) {
			svc := w.targets["svc"]
			svc.Mode = ModeDryRun
			w.targets["svc"] = svc
			w.d.Apply(w.targets)
		}, "the configuration has changed"},
	} {
		for _, asked := range []bool{true, false} {
			process := "7/1"
			bubble(t, Options{}, func(t *testing.T, w *world) {
				w.proposes(&process, nil)
				a := w.firing("svc", "relieve_memory", critical)
				p := w.proposal(a)
				tt.change(w, &process, a)
				if asked {
					if _, err := w.d.Approve(t.Context(), p.ID, "anna"); err == nil || !errors.Is(err, ErrVoided) && !errors.Is(err, ErrNoProposal) {
						t.Errorf("%s: approved: %v", tt.name, err)
					}
				}
				<-time.After(2 * againLook)
				w.settled()
				if outcomes, text := w.onProposal(p.ID); !slices.Equal(outcomes, []string{ProposalVoided}) || !strings.Contains(text, tt.says) {
					t.Errorf("%s: %q %s, want %q", tt.name, outcomes, text, tt.says)
				}
				if n := acted(w.temp) + acted(w.cache) + acted(w.gc); n != 0 || len(w.d.Status().Proposals) != 0 {
					t.Errorf("%s: %d actions, %+v waits", tt.name, n, w.d.Status().Proposals)
				}
			})
		}
	}
}

// TestProposalWithoutPressure: where no reading says that there is pressure, a proposal is void when the last of its alerts is
// resolved; where one does, an alert that comes and goes changes nothing.
func TestProposalWithoutPressure(t *testing.T) {
	process := "7/1"
	for _, used := range []float64{.5, .9} {
		bubble(t, Options{}, func(t *testing.T, w *world) {
			w.proposes(&process, nil)
			w.observer.lose("svc", subject.Memory) // with its peak
			w.observer.set("svc", subject.Memory, used)
			first, second := w.firing("svc", "relieve_memory", critical), w.firing("svc", "relieve_memory", critical)
			p := w.proposal(first)
			w.one(second)
			for i, a := range []alert.Alert{first, second} {
				a.Status = alert.StatusResolved
				w.one(a)
				w.settled()
				outcomes, text := w.onProposal(p.ID)
				if over := i == 1 && used < .7; (len(outcomes) == 1) != over || over && !strings.Contains(text, "its alert was resolved") {
					t.Errorf("at %v after %d: %q %s", used, i+1, outcomes, text)
				}
			}
		})
	}
}

// TestProposalCannotBeChecked: while the process or the reading cannot be seen, an approval is refused and the proposal waits on.
func TestProposalCannotBeChecked(t *testing.T) {
	process := "7/1"
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.proposes(&process, nil)
		p := w.proposal(w.firing("svc", "relieve_memory", critical))
		for _, lose := range []func(){func() { process = "" }, func() { process = "7/1"; w.observer.lose("svc", subject.Memory) }} {
			lose()
			if _, err := w.d.Approve(t.Context(), p.ID, "anna"); !errors.Is(err, ErrUnsure) {
				t.Errorf("%v", err)
			}
		}
		w.observer.set("svc", subject.Memory, .9)
		if _, err := w.d.Pause(t.Context(), PauseRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.d.Approve(t.Context(), p.ID, "anna"); !errors.Is(err, ErrPaused) {
			t.Errorf("while all is paused: %v", err)
		}
		if len(w.d.Status().Proposals) != 1 || acted(w.temp) != 0 {
			t.Errorf("%+v", w.d.Status().Proposals)
		}
	})
}

// TestProposalDenied: a denial holds for the situation, not for a higher level, and ends with the situation.
func TestProposalDenied(t *testing.T) {
	process := "7/1"
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.proposes(&process, nil)
		p := w.proposal(w.firing("svc", "relieve_memory", critical))
		if err := w.d.Deny(t.Context(), p.ID, "anna"); err != nil {
			t.Fatal(err)
		}
		if got := w.one(w.firing("svc", "relieve_memory", critical)); got.Disposition != alert.Denied {
			t.Errorf("%+v", got)
		}
		if outcomes, text := w.onProposal(p.ID); !slices.Equal(outcomes, []string{ProposalDenied}) || !strings.Contains(text, "by anna") {
			t.Errorf("%q %s", outcomes, text)
		}
		w.end()
		w.start(Options{})
		if got := w.one(w.firing("svc", "relieve_memory", critical)); got.Disposition != alert.Denied {
			t.Errorf("after a restart: %+v", got)
		}
		w.observer.set("svc", subject.Memory, .97)
		higher := w.proposal(w.firing("svc", "relieve_memory", emergency))
		if higher.Level != "emergency" {
			t.Errorf("%+v", higher)
		}
		w.observer.set("svc", subject.Memory, .5)
		<-time.After(2 * againLook)
		w.observer.set("svc", subject.Memory, .9)
		if again := w.proposal(w.firing("svc", "relieve_memory", critical)); again.ID == p.ID {
			t.Error("the proposal that was denied waits")
		}
		if n := acted(w.temp) + acted(w.cache) + acted(w.gc); n != 0 {
			t.Errorf("%d actions", n)
		}
	})
}

// TestProposalSurvives: a proposal waits on after a restart, is carried out by the new process, and expires.
func TestProposalSurvives(t *testing.T) {
	process := "7/1"
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.proposes(&process, nil)
		p := w.proposal(w.firing("svc", "relieve_memory", critical))
		w.end()
		w.start(Options{})
		if got := w.d.Status().Proposals; len(got) != 1 || got[0].What() != p.What() {
			t.Fatalf("%+v", got)
		}
		if got := w.one(w.firing("svc", "relieve_memory", critical)); got.Disposition != alert.Proposed {
			t.Errorf("%+v", got)
		}
		w.journal.fail(errors.New("no space left on device"))
		if _, err := w.d.Approve(t.Context(), p.ID, "anna"); !errors.Is(err, ErrJournal) || acted(w.temp) != 0 {
			t.Errorf("without a journal: %v", err)
		}
		w.journal.fail(nil)
		if _, err := w.d.Approve(t.Context(), p.ID, "anna"); err != nil {
			t.Fatal(err)
		}
		w.finished()
		if acted(w.temp) != 1 {
			t.Errorf("it acted %d times", acted(w.temp))
		}
		if states, err := w.journal.States(proposalPrefix); err != nil || len(states) != 0 {
			t.Errorf("%v, %v", states, err)
		}
		<-time.After(2 * time.Hour) // the cooldown
		p = w.proposal(w.firing("svc", "relieve_memory", critical))
		<-time.After(proposalValid + 2*againLook)
		w.settled()
		if outcomes, _ := w.onProposal(p.ID); !slices.Equal(outcomes, []string{ProposalExpired}) {
			t.Errorf("%q", outcomes)
		}
	})
}

// TestProposalOfAStep: a step in mode propose of a target that enforces: what comes before it acts, and it waits.
func TestProposalOfAStep(t *testing.T) {
	process := "7/1"
	bubble(t, Options{}, func(t *testing.T, w *world) {
		w.proposes(&process, Playbooks{"restore": {{Do: action.NameCleanTemp}, {Do: action.NameEvictCache, Mode: ModePropose}, {Do: action.NameCollectGarbage}}})
		svc := w.targets["svc"]
		svc.Mode = ModeEnforce
		w.targets["svc"] = svc
		w.d.Apply(w.targets)
		p := w.proposal(w.firing("svc", "restore", critical))
		if acted(w.temp) != 1 || acted(w.cache) != 0 || acted(w.gc) != 0 || p.From != 1 || len(p.Steps) != 2 {
			t.Errorf("%d, %d, %d, %+v", acted(w.temp), acted(w.cache), acted(w.gc), p)
		}
		if _, err := w.d.Approve(t.Context(), p.ID, "anna"); err != nil {
			t.Fatal(err)
		}
		w.finished()
		if acted(w.temp) != 1 || acted(w.cache) != 1 || acted(w.gc) != 1 {
			t.Errorf("%d, %d, %d", acted(w.temp), acted(w.cache), acted(w.gc))
		}
	})
}

// TestProposalJSON: what is kept of a proposal is all that is needed to carry it out.
func TestProposalJSON(t *testing.T) {
	p := Proposal{ID: "1", Target: "svc", From: 2, Below: critical, Digest: "d", Process: "7/1", Choice: []byte("12345678"), Guarded: true, Steps: []ProposedStep{{Step: 2, Do: "x"}}}
	raw, err := json.Marshal(p)
	var got Proposal
	if err == nil {
		err = json.Unmarshal(raw, &got)
	}
	if err != nil || got.From != 2 || got.Below != critical || got.Process != "7/1" || string(got.Choice) != "12345678" || !got.Guarded || len(got.Steps) != 1 {
		t.Errorf("%s: %+v, %v", raw, got, err)
	}
}
