package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/subject"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// removing is what an action does that removes some files.
func removing(n int) func(context.Context, action.Request) (action.Result, error) {
	return func(_ context.Context, req action.Request) (action.Result, error) {
		res := action.Result{Outcome: action.Done, Files: int64(n), Policies: []action.PolicyResult{{Kind: "cache", Policy: "p", Files: int64(n)}}}
		if req.DryRun {
			res.Outcome = action.DryRun
		}
		for i := range n {
			if req.OnFile != nil {
				req.OnFile(res.Policies[0], fmt.Appendf(nil, "f%d", i), "over_limit")
			}
		}
		return res, nil
	}
}

// TestRunKey: which steps run, by what the steps before them have reached and removed.
func TestRunKey(t *testing.T) {
	notify := func(run string) Step { return Step{Do: action.NameHTTP, Run: run} }
	for _, tt := range []struct {
		name    string
		mode    string
		steps   []Step
		removed int
		relief  bool
		want    []string
		outcome string
	}{
		{"removed and relieved", ModeEnforce, []Step{{Do: action.NameEvictCache}, notify(RunIfRemoved)}, 3, true, []string{"1 evict_cache done", "2 http done"}, OutcomeRelieved},
		{"removed and not relieved", ModeEnforce, []Step{{Do: action.NameEvictCache}, notify(RunIfRemoved)}, 3, false, []string{"1 evict_cache done", "2 http done"}, OutcomeIneffective},
		{"nothing removed", ModeEnforce, []Step{{Do: action.NameEvictCache}, notify(RunIfRemoved)}, 0, false, []string{"1 evict_cache done"}, OutcomeIneffective},
		{"the steps between do not run", ModeEnforce, []Step{{Do: action.NameEvictCache}, {Do: action.NameCollectGarbage}, notify(RunIfRemoved)}, 3, true, []string{"1 evict_cache done", "3 http done"}, OutcomeRelieved},
		{"as without the key", ModeEnforce, []Step{{Do: action.NameEvictCache}, notify("")}, 3, true, []string{"1 evict_cache done"}, OutcomeRelieved},
		{"if unrelieved", ModeEnforce, []Step{{Do: action.NameEvictCache}, notify(RunIfUnrelieved)}, 3, false, []string{"1 evict_cache done", "2 http done"}, OutcomeIneffective},
		{"always, relieved", ModeEnforce, []Step{{Do: action.NameEvictCache}, notify(RunAlways)}, 3, true, []string{"1 evict_cache done", "2 http done"}, OutcomeRelieved},
		{"always, nothing removed", ModeEnforce, []Step{{Do: action.NameEvictCache}, notify(RunAlways)}, 0, false, []string{"1 evict_cache done", "2 http done"}, OutcomeIneffective},
		{"a dry run", ModeDryRun, []Step{{Do: action.NameEvictCache}, notify(RunIfRemoved)}, 3, false, []string{"1 evict_cache dry_run", "2 http dry_run"}, string(action.DryRun)},
		{"a dry run that would remove nothing", ModeDryRun, []Step{{Do: action.NameEvictCache}, notify(RunIfRemoved)}, 0, false, []string{"1 evict_cache dry_run"}, string(action.DryRun)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, w *world) {
				service := &fakeAction{}
				var files []int64
				service.do = func(_ context.Context, req action.Request) (action.Result, error) {
					files = append(files, req.Removed.Noted())
					out := action.Result{Outcome: action.Done}
					if req.DryRun {
						out.Outcome = action.DryRun
					}
					return out, nil
				}
				w.cache.do = func(ctx context.Context, req action.Request) (action.Result, error) {
					if tt.relief {
						w.observer.set("svc", subject.Memory, .30)
					}
					return removing(tt.removed)(ctx, req)
				}
				w.targets["svc"] = w.withHTTP(tt.mode, service, Playbooks{"relieve_memory": tt.steps})
				w.d.Apply(w.targets)
				for range 2 { // the second knows nothing of what the first has removed
					w.observer.set("svc", subject.Memory, .90)
					d := w.one(w.firing("svc", "relieve_memory", critical))
					w.finished()
					if r := w.run(d.RunID); r.Outcome != tt.outcome {
						t.Errorf("the run is %+v, want %s", r, tt.outcome)
					}
					if diff := cmp.Diff(tt.want, w.steps(d.RunID)); diff != "" {
						t.Errorf("steps (-want +got):\n%s", diff)
					}
					<-time.After(3 * time.Hour) // the bubble's clock
				}
				for _, n := range files {
					if n != int64(tt.removed) {
						t.Errorf("the steps were given the names of %v files, want %d", files, tt.removed)
					}
				}
			})
		})
	}
}

// withHTTP is target with an action http.
func (w *world) withHTTP(mode string, service action.Action, p Playbooks) Target {
	out := w.target("svc", mode, nil)
	out.Actions[action.NameHTTP] = service
	out.Playbooks = p.Build(func(a string) bool { return out.Actions[a] != nil }, nil)
	return out
}

// TestNotifiedAtOnce: the service is notified at once, and not when it has been seen whether the step helped.
func TestNotifiedAtOnce(t *testing.T) {
	bubble(t, Options{VerifyTimeout: time.Minute}, func(t *testing.T, w *world) {
		service := &fakeAction{}
		var after time.Duration
		var began time.Time
		service.do = func(context.Context, action.Request) (action.Result, error) {
			after = time.Since(began)
			return action.Result{Outcome: action.Done}, nil
		}
		w.cache.do = func(ctx context.Context, req action.Request) (action.Result, error) {
			began = time.Now()
			return removing(1)(ctx, req)
		}
		w.observer.refresh = func(*fakeObserver, string, Subject) {} // no sample comes
		w.targets["svc"] = w.withHTTP(ModeEnforce, service, Playbooks{"relieve_memory": {{Do: action.NameEvictCache}, {Do: action.NameHTTP, Run: RunIfRemoved}}})
		w.d.Apply(w.targets)
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		if r := w.run(d.RunID); r.Outcome != string(action.Unknown) || len(service.calls()) != 1 || after > time.Second {
			t.Errorf("%s, notified %d times, %s after the removal", r.Outcome, len(service.calls()), after)
		}
	})
}

// TestFallingIsPassedOn: a value that falls by itself ends the relief, and not what passes on what was done.
func TestFallingIsPassedOn(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, w *world) {
		service := &fakeAction{}
		w.cache.do = removing(2)
		w.targets["svc"] = w.withHTTP(ModeEnforce, service, Playbooks{"relieve_memory": {
			{Do: action.NameEvictCache}, {Do: action.NameCollectGarbage}, {Do: action.NameHTTP, Run: RunIfRemoved},
		}})
		w.d.Apply(w.targets)
		w.observer.refresh = func(o *fakeObserver, target string, s Subject) {
			r := o.readings[target+"/"+string(s)]
			r.Samples++
			r.Ratio, r.Peak, r.Level = .71, .90, warning
			o.readings[target+"/"+string(s)] = r
		}
		d := w.one(w.firing("svc", "relieve_memory", critical))
		w.finished()
		if diff := cmp.Diff([]string{"1 evict_cache done", "3 http done"}, w.steps(d.RunID)); diff != "" || w.run(d.RunID).Outcome != OutcomeFalling {
			t.Errorf("%s, steps (-want +got):\n%s", w.run(d.RunID).Outcome, diff)
		}
		if n := w.counter("spillway_action_skips_total", map[string]string{"reason": SkipFalling}); n != 1 {
			t.Errorf("%v steps were skipped as falling, want the collection alone", n)
		}
	})
}

// TestRunKeyMistakes: values that are unknown, and steps that nothing before them would make run.
func TestRunKeyMistakes(t *testing.T) {
	post := &action.HTTPSettings{URL: "http://127.0.0.1:1/x"}
	got := mistakes(Playbooks{
		"a": {{Do: action.NameHTTP, With: post, Run: RunIfRemoved}, {Do: action.NameEvictCache}},
		"b": {{Do: action.NameCleanTemp, Run: "sometimes"}},
		"c": {{Do: "trim_cache"}, {Do: action.NameHTTP, With: post, Run: RunIfRemoved}},
		"d": {{Do: action.NameHTTP, With: post, Run: RunIfRemoved}},
		"e": {{Do: action.NameCleanTemp}, {Do: "d"}},
		"f": {{Do: "d", Run: RunAlways}},
	}.Validate)
	want := []string{
		`b[0].run: "sometimes" is not known: write if_unrelieved or if_removed or always`,
		`f[0]: is the playbook "d" with keys of a step: write its name alone, and the keys in its own steps`,
		"a[0].run: no step before it removes files: write it after one such as clean_temp or evict_cache, or remove the key",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

// hostileNames are names that break who does not quote them.
func hostileNames() []string {
	return []string{
		"plain.mp4", "sub/with space.mp4", "new\nline", `quo"te'`, "back\\slash", "tab\tand\x01bell\a", "ünïcode \u2028", "<&>",
		"not\xffutf8", "\xc0\xaf", strings.Repeat("x", 255), "-rf", "$(id)", "{}", "%s%n",
	}
}

// received is the part of a message that the receivers of these tests read.
type received struct {
	Run     struct{ ID, Target string }
	Removed struct {
		Files    int
		Policies []struct {
			Kind, Policy, Dir string
			Files, More       int
			Names             []string
			NamesBase64       [][]byte `json:"names_base64"`
		}
	}
}

// names returns all names that were received, sorted.
func (r *received) names() []string {
	var out []string
	for _, p := range r.Removed.Policies {
		out = append(out, p.Names...)
		for _, name := range p.NamesBase64 {
			out = append(out, string(name))
		}
	}
	slices.Sort(out)
	return out
}

// TestNamesReachTheService runs a playbook on a real folder with a real server and a real program: both get the
// names of this run, whatever they are, and in a dry run the record has what they would get.
func TestNamesReachTheService(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stdin := filepath.Join(dir, "stdin")
	bodies := make(chan []byte, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		bodies <- raw
	}))
	defer srv.Close()
	quiet := slog.New(slog.DiscardHandler)
	cache := policy.Cache{Common: policy.Common{Name: "media", Dir: dir + "/cache", Include: []string{"*"}, AgeBy: policy.AgeMtime, MinAge: new(units.Duration)}, MaxAge: units.Duration(time.Hour)}
	actions := map[string]action.Action{
		action.NameEvictCache: action.NewDirs(action.DirOptions{Target: "svc", Logger: quiet}, policy.KindCache, &policy.Folders{Caches: []policy.Cache{cache}}),
		action.NameHTTP:       action.NewHTTP(quiet), action.NameCommand: action.NewCommand(quiet),
	}
	playbooks := Playbooks{"mine": {
		{Do: action.NameEvictCache},
		{Do: action.NameHTTP, Run: RunIfRemoved, With: &action.HTTPSettings{URL: srv.URL}},
		{Do: action.NameCommand, Run: RunIfRemoved, With: &action.CommandSettings{Argv: []string{"/bin/dd", "of=" + stdin, "status=none"}}},
	}}
	w := &world{
		t: t, log: &bytes.Buffer{}, observer: &fakeObserver{readings: make(map[string]Reading)},
		journal: &durable{Journal: journal.OpenMemory(journal.Options{Logger: quiet})},
	}
	w.targets = map[string]Target{"svc": {Name: "svc", Mode: ModeEnforce, Actions: actions, Playbooks: playbooks.Build(func(a string) bool { return actions[a] != nil }, nil)}}
	w.start(Options{})
	defer w.end()
	run := func(dry bool) (outputs []string) {
		t.Helper()
		ended := make(chan End, 1)
		id, err := w.d.RunNow(t.Context(), ManualRequest{Target: "svc", Playbook: "mine", DryRun: &dry, Trigger: alert.TriggerManual, Follower: &Follower{Ended: func(e End) { ended <- e }}})
		if err != nil {
			t.Fatal(err)
		}
		if end := <-ended; end.Err != nil {
			t.Fatal(end)
		}
		records := w.records(journal.Filter{RunID: id})
		for _, r := range slices.Backward(records) {
			if r.Step > 1 {
				outputs = append(outputs, r.Output)
			}
		}
		return outputs
	}
	check := func(what string, raw []byte, want []string) {
		t.Helper()
		var r received
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatalf("%s: %v in %q", what, err, raw)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, r.names()); diff != "" || r.Removed.Files != len(want) || r.Run.Target != "svc" {
			t.Errorf("%s (-want +got):\n%s in %s", what, diff, raw)
		}
		if p := r.Removed.Policies[0]; p.Kind != "cache" || p.Policy != "media" || p.Dir != dir+"/cache" || p.Files != len(want) || p.More != 0 {
			t.Errorf("%s: %+v", what, p)
		}
	}
	put := func(names ...string) {
		t.Helper()
		for _, name := range names {
			path := cache.Dir + "/" + name
			old := time.Now().Add(-2 * time.Hour)
			err := os.MkdirAll(filepath.Dir(path), 0o755)
			if err == nil {
				err = os.WriteFile(path, []byte("x"), 0o644)
			}
			if err == nil {
				err = os.Chtimes(path, old, old)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	put(hostileNames()...)
	planned := run(true)
	if len(planned) != 2 || len(bodies) != 0 {
		t.Fatalf("a dry run has sent %d bodies and recorded %q", len(bodies), planned)
	}
	for _, what := range planned {
		check("the plan", []byte(what), hostileNames())
	}
	run(false)
	check("the body", <-bodies, hostileNames())
	raw, err := os.ReadFile(stdin)
	if err != nil {
		t.Fatal(err)
	}
	check("the standard input", raw, hostileNames())
	put("second")
	run(false)
	check("the second body", <-bodies, []string{"second"})
	if outputs := run(false); len(outputs) != 0 || len(bodies) != 0 {
		t.Errorf("a run that removed nothing has sent %d bodies, outputs %q", len(bodies), outputs)
	}
}
