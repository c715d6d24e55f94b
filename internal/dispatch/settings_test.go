package dispatch

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
)

const ownSteps = `
mine:
  - {do: command, argv: [/bin/true, --flag, ""], env: [HOME], timeout: 3s}
  - {do: http, url: 'http://127.0.0.1:1/gc', body: now}
  - {do: http, url: 'http://app.example/gc', hosts: [app.example]}
  - {do: signal, signal: SIGUSR2, all: true}
  - {do: reclaim_cgroup, amount: 64MiB}
only: [{do: command, argv: [/bin/true]}]
checked: [{do: command, argv: [/bin/true], verify: {after: 1}}]
mixed: [{do: command, argv: [/bin/true]}, clean_temp]
`

func TestOwnSteps(t *testing.T) {
	p := readPlaybooks(t, ownSteps)
	if got := mistakes(p.Validate); got != nil {
		t.Fatal(got)
	}
	want := []action.Settings{
		&action.CommandSettings{Argv: []string{"/bin/true", "--flag", ""}, Env: []string{"HOME"}},
		&action.HTTPSettings{URL: "http://127.0.0.1:1/gc", Body: "now"},
		&action.HTTPSettings{URL: "http://app.example/gc", Hosts: []string{"app.example"}},
		&action.SignalSettings{Signal: "SIGUSR2", All: true},
		&action.ReclaimSettings{Amount: 64 << 20},
	}
	for i := range want {
		if diff := cmp.Diff(want[i], p["mine"][i].With); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
	if got := p["only"][0].With.(*action.CommandSettings).Env; !cmp.Equal(got, action.DefaultEnv) {
		t.Errorf("default env %v", got)
	}
	built := p.Build(func(string) bool { return true }, nil)
	for name, subject := range map[string]Subject{"mine": subject.Memory, "only": "", "checked": subject.Memory, "mixed": subject.Temp} {
		if got := built[name].Subject; got != subject {
			t.Errorf("%s relieves %q, want %q", name, got, subject)
		}
	}
	if got, want := describe(p["mine"]), `command ["/bin/true" "--flag" ""], http POST http://127.0.0.1:1/…, http POST http://app.example/…, signal SIGUSR2 to all processes, reclaim_cgroup 64MiB`; got != want {
		t.Errorf("described as %s", got)
	}
}

func TestOwnStepMistakes(t *testing.T) {
	p := readPlaybooks(t, `
a: [{do: command}, {do: command, argv: [true-ish]}, {do: http}, {do: signal, signal: SIGKILL}, {do: reclaim_cgroup}]
`)
	got := strings.Join(mistakes(p.Validate), "\n")
	for _, says := range []string{"a[0].argv: is missing", `a[1].argv[0]: "true-ish" is not absolute`, "a[2].url: is missing", "a[3].signal: \"SIGKILL\" is not a signal", "a[4].amount: is missing"} {
		if !strings.Contains(got, says) {
			t.Errorf("no %q in\n%s", says, got)
		}
	}
	got = strings.Join(mistakes(func(report report.Func) { p.CheckActions(func(string) bool { return false }, report) }), "\n")
	if !strings.Contains(got, `a[3].do: "signal" has nothing to work on: write processes for this target`) {
		t.Error(got)
	}
}

// A run of steps that pass the alert on keeps the alert that began it; its output is in the journal.
func TestOwnStepsGetTheAlert(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		act := &fakeAction{do: func(_ context.Context, req action.Request) (action.Result, error) {
			if req.DryRun {
				return action.Result{Outcome: action.DryRun}, nil
			}
			return action.Result{Outcome: action.Done, Output: "did it"}, nil
		}}
		steps := readPlaybooks(t, ownSteps)
		target := Target{Name: "svc", Mode: ModeEnforce, Actions: map[string]action.Action{action.NameCommand: act}}
		target.Playbooks = Playbooks{"only": steps["only"]}.Build(func(name string) bool { return name == action.NameCommand }, nil)
		w.d.Apply(map[string]Target{"svc": target})
		a := w.firing("svc", "only", series.LevelCritical)
		got := w.one(a)
		w.finished()
		calls := act.calls()
		if len(calls) != 1 || calls[0].DryRun || calls[0].Alert == nil || calls[0].Alert.Fingerprint != a.Fingerprint ||
			calls[0].Playbook != "only" || calls[0].Settings.(*action.CommandSettings).Argv[0] != "/bin/true" {
			t.Fatalf("asked for %+v", calls)
		}
		steps2 := w.records(journal.Filter{RunID: got.RunID})
		if len(steps2) != 2 || steps2[0].Output != "did it" || steps2[0].Intent != `command ["/bin/true"]` || steps2[1].Outcome != "done" {
			t.Errorf("recorded %+v", steps2)
		}
		// Alone it has nothing to do.
		if _, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Action: action.NameCommand}); err == nil || !strings.Contains(err.Error(), "does what a step says") {
			t.Errorf("run of the action alone: %v", err)
		}
	})
}

func TestStepsOfOneActionRestApart(t *testing.T) {
	s := &playbookState{}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	one := Step{Do: action.NameCommand, Cooldown: 60e9, With: &action.CommandSettings{Argv: []string{"/bin/one"}}}
	two := Step{Do: action.NameCommand, Cooldown: 60e9, With: &action.CommandSettings{Argv: []string{"/bin/two"}}}
	s.stepRan(&one, enforce, now)
	if s.stepUntil(&one, enforce, now).IsZero() || !s.stepUntil(&two, enforce, now).IsZero() {
		t.Errorf("the steps rest until %v", s.acted.Steps)
	}
}
