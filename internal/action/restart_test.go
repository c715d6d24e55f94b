package action

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// states keeps what a journal would, beyond the end of a process.
type states struct {
	mu     sync.Mutex
	values map[string][]byte
	died   bool // nothing is written any more, as after kill -9
	writes int
	dieAt  int // the write that is the last one; 0: none
}

func (s *states) PutState(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.died {
		return errors.New("the process is dead")
	}
	if s.values == nil {
		s.values = make(map[string][]byte)
	}
	s.values[key] = value
	if s.writes++; s.writes == s.dieAt {
		s.died = true
	}
	return nil
}

func (s *states) States(prefix string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := maps.Clone(s.values)
	maps.DeleteFunc(out, func(key string, _ []byte) bool { return !strings.HasPrefix(key, prefix) })
	return out, nil
}

// fakeManager restarts a service that is only a number.
type fakeManager struct {
	mu       sync.Mutex
	start    int // of the service, from 1
	restarts int
	phase    restart.Phase
	err      error  // of a restart that does not happen
	after    func() // once the restart has happened and before it is reported
	slow     bool   // a restart that was requested happens later, and until then nothing shows it
	away     time.Time
}

func (m *fakeManager) State(context.Context) (restart.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.start == 0 {
		return restart.State{}, restart.ErrUnknown
	}
	return restart.State{Phase: m.phase, Instance: fmt.Sprint(m.start), Text: string(m.phase), Left: m.away, Shows: !m.slow}, nil
}

func (m *fakeManager) Restart(_ context.Context, from restart.State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil && !errors.Is(m.err, restart.ErrUnseen) {
		return m.err
	}
	if from.Instance != fmt.Sprint(m.start) {
		return restart.ErrUnknown
	}
	m.restarts++
	if !m.slow {
		m.start++
	}
	if m.after != nil {
		m.after()
	}
	return m.err
}

func (m *fakeManager) Check(context.Context) error { return nil }

func (m *fakeManager) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.restarts
}

// bench is one service with its restarts.
type bench struct {
	manager *fakeManager
	store   *states
	first   restart.Reading
	place   restart.Place
	level   series.Level
	now     time.Time
}

func newBench() *bench {
	return &bench{manager: &fakeManager{start: 1, phase: restart.Running}, store: &states{}, place: restart.Place{Unit: "app.service"}, now: time.Now()}
}

// process returns the action as a new process of the exporter has it.
func (b *bench) process() *Restart {
	clock := func() time.Time {
		b.now = b.now.Add(time.Millisecond)
		return b.now
	}
	return NewRestart(RestartOptions{
		Target: "app", Logger: quiet, Now: clock, Open: func(*restart.Spec) (restart.Manager, error) { return b.manager, nil },
		Ledger: restart.NewLedger(restart.LedgerOptions{Store: func() restart.Store { return b.store }, Now: clock}),
		Service: restart.Service{
			Host: restart.DefaultHost, Place: func() restart.Place { return b.place }, Refresh: func() {}, Instance: func() string { return fmt.Sprint(b.manager.start) },
			Reading: func() restart.Reading {
				return restart.Reading{Known: true, Level: int(b.level), At: b.now.Add(time.Hour), Text: "memory at 20%"}
			},
			First: func() restart.Reading { return b.first },
		},
	})
}

func restartRequest(run string, change ...func(*RestartSettings)) Request {
	s := &RestartSettings{Unit: "app.service"}
	for _, c := range change {
		c(s)
	}
	s.Validate(func(key, format string, args ...any) { panic(key + ": " + fmt.Sprintf(format, args...)) })
	return Request{RunID: run, Target: "app", Level: series.LevelEmergency, Below: series.LevelWarning, Settings: s}
}

func restartContender(*testing.T) contender {
	b, n := newBench(), 0
	a := b.process()
	return contender{
		action: actionFunc(func(ctx context.Context, req Request) (Result, error) {
			n++
			req.RunID = fmt.Sprint(n)
			return a.Run(ctx, req)
		}),
		req: restartRequest("1"), effects: b.manager.count, twice: 2, gone: Failed,
		remove: func() { b.manager.start = 0 },
	}
}

func TestRestartRecords(t *testing.T) {
	b := newBench()
	res, err := b.process().Run(t.Context(), restartRequest("r1"))
	if err != nil || res.Outcome != Done || res.Before == "" || res.After == "" {
		t.Fatalf("%+v, %v", res, err)
	}
	for _, want := range []string{"restarted app.service via systemd", "ready by its manager", "away for "} {
		if !strings.Contains(res.Detail, want) {
			t.Errorf("%q lacks %q", res.Detail, want)
		}
	}
}

// TestRestartRefusals: every guard holds it back, has no effect and says so.
func TestRestartRefusals(t *testing.T) {
	f := func(name string, change func(*bench), want string) {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			change(b)
			before := b.manager.count()
			for _, dry := range []bool{true, false} {
				req := restartRequest("r9")
				req.DryRun = dry
				res, err := b.process().Run(t.Context(), req)
				if err == nil || res.Outcome != Failed || res.Refused != want || b.manager.count() != before {
					t.Errorf("dry run %t: %+v, %v, %d restarts, want refused %s", dry, res, err, b.manager.count()-before, want)
				}
			}
		})
	}
	f("full right after the last start", func(b *bench) {
		b.first = restart.Reading{Known: true, Level: int(series.LevelCritical), Text: "memory at 90%"}
	}, restart.ReasonWillNotHelp)
	f("the unit has failed", func(b *bench) { b.manager.phase = restart.Broken }, restart.ReasonFailed)
	f("someone has stopped it", func(b *bench) { b.manager.phase = restart.Stopped }, restart.ReasonStopped)
	f("it starts already", func(b *bench) { b.manager.phase = restart.Busy }, restart.ReasonBusy)
	f("the host shuts down", func(b *bench) { b.manager.phase = restart.Closing }, restart.ReasonBusy)
	f("its processes are elsewhere", func(b *bench) { b.place.Unit = "other.service" }, restart.ReasonNotIts)
	f("the budget", func(b *bench) {
		for i := range 3 {
			if res, err := b.process().Run(t.Context(), restartRequest(fmt.Sprint(i))); err != nil {
				t.Fatalf("%+v, %v", res, err)
			}
		}
	}, restart.ReasonBudget)
}

// TestRestartDidNotHelp: that a restart has not helped is known to the next process of the exporter too, which has not seen the
// start, and forgotten with the next start.
func TestRestartDidNotHelp(t *testing.T) {
	b := newBench()
	b.level = series.LevelCritical
	if res, err := b.process().Run(t.Context(), restartRequest("r1")); err != nil {
		t.Fatalf("%+v, %v", res, err)
	}
	for _, run := range []string{"r2", "r3"} {
		if res, err := b.process().Run(t.Context(), restartRequest(run)); res.Refused != restart.ReasonWillNotHelp || b.manager.count() != 1 {
			t.Errorf("%+v, %v, %d restarts", res, err, b.manager.count())
		}
	}
	b.manager.start++ // someone else has restarted it
	b.level = series.LevelNormal
	if res, err := b.process().Run(t.Context(), restartRequest("r4")); err != nil || b.manager.count() != 2 {
		t.Errorf("another start: %+v, %v", res, err)
	}
	if res, err := b.process().Run(t.Context(), restartRequest("r5")); err != nil || b.manager.count() != 3 {
		t.Errorf("after one that has helped: %+v, %v", res, err)
	}
}

func TestRestartRepeated(t *testing.T) {
	b := newBench()
	if res, err := b.process().Run(t.Context(), restartRequest("r1")); err != nil {
		t.Fatalf("%+v, %v", res, err)
	}
	if res, _ := b.process().Run(t.Context(), restartRequest("r1")); res.Refused != restart.ReasonRepeated || b.manager.count() != 1 {
		t.Errorf("%+v, %d restarts", res, b.manager.count())
	}
}

// TestRestartKilled ends the exporter after each write to the journal, and while the manager is at it. The next
// process, whose alert still fires, may restart what has not been restarted, and nothing twice.
func TestRestartKilled(t *testing.T) {
	f := func(name string, change func(*bench), restartsThen, restartsAfter int) {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			change(b)
			_, _ = b.process().Run(t.Context(), restartRequest("r1"))
			if n := b.manager.count(); n != restartsThen {
				t.Fatalf("%d restarts before the end, want %d", n, restartsThen)
			}
			b.store.died, b.store.dieAt, b.manager.after, b.manager.err = false, 0, nil, nil
			res, _ := b.process().Run(t.Context(), restartRequest("r1")) // the same intent
			if n := b.manager.count(); b.store.writes > 0 && n != restartsThen && restartsThen > 0 {
				t.Fatalf("the same intent restarted it twice: %+v", res)
			}
			res, err := b.process().Run(t.Context(), restartRequest("r2"))
			if n := b.manager.count(); n != restartsAfter {
				t.Errorf("%d restarts, want %d: %+v, %v", n, restartsAfter, res, err)
			}
		})
	}
	f("before anything is written", func(b *bench) { b.store.died = true }, 0, 2)
	f("after the intent", func(b *bench) { b.store.dieAt = 1 }, 0, 1)
	f("before the manager is asked", func(b *bench) {
		b.store.dieAt = 2
		b.manager.err = errors.New("killed before the request")
	}, 0, 1)
	f("while the manager is at it", func(b *bench) {
		b.manager.after = func() { b.store.died = true }
		b.manager.err = restart.ErrUnseen
	}, 1, 1)
	f("before the result is written", func(b *bench) { b.store.dieAt = 2 }, 1, 1)
	f("while the service stops, which its manager does not show", func(b *bench) {
		b.manager.slow, b.manager.err = true, restart.ErrUnseen
		b.manager.after = func() { b.store.died = true }
	}, 1, 1)
}

// TestRestartRefusedByTheManager: what the manager does not do takes nothing from the budget.
func TestRestartRefusedByTheManager(t *testing.T) {
	b := newBench()
	for i, c := range []struct {
		err  error
		want string
	}{{restart.ErrBusy, restart.ReasonBusy}, {restart.ErrBudget, restart.ReasonDisruption}, {restart.ErrNotAllowed, ""}, {restart.ErrUnknown, ""}} {
		b.manager.err = c.err
		if res, err := b.process().Run(t.Context(), restartRequest(fmt.Sprint(i))); !errors.Is(err, c.err) && res.Refused == "" || res.Outcome != Failed || res.Refused != c.want {
			t.Errorf("%v: %+v, %v, want refused %q", c.err, res, err, c.want)
		}
	}
	b.manager.err = nil
	if res, err := b.process().Run(t.Context(), restartRequest("r9")); err != nil || b.manager.count() != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestRestartUnseen(t *testing.T) {
	b := newBench()
	b.manager.err = restart.ErrUnseen
	if res, err := b.process().Run(t.Context(), restartRequest("r1")); res.Outcome != Unknown || err == nil {
		t.Errorf("%+v, %v, want unknown", res, err)
	}
	b.manager.err = nil
	if res, _ := b.process().Run(t.Context(), restartRequest("r2")); res.Refused != restart.ReasonUnseen {
		t.Errorf("%+v, want it left alone", res)
	}
	b.now = b.now.Add(time.Hour)
	if res, err := b.process().Run(t.Context(), restartRequest("r3")); res.Outcome != Done {
		t.Errorf("%+v, %v, want done an hour later", res, err)
	}
}

func TestRestartDrains(t *testing.T) {
	var mu sync.Mutex
	var calls []string
	asked, status := 0, http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path != "/idle" {
			calls = append(calls, r.Method+" "+r.URL.Path)
		} else if asked++; asked < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(status)
	}))
	defer srv.Close()
	drained := func(s *RestartSettings) {
		s.Drain = Drain{Post: srv.URL + "/drain", Idle: srv.URL + "/idle", Undo: srv.URL + "/undo", Deadline: units.Duration(20 * time.Second)}
	}
	b := newBench()
	res, err := b.process().Run(t.Context(), restartRequest("r1", drained))
	if err != nil || !strings.Contains(res.Detail, "drained and idle after") || asked != 3 || !slices.Equal(calls, []string{"POST /drain"}) {
		t.Errorf("%+v, %v, asked %d times, calls %q", res, err, asked, calls)
	}
	b.manager.err, calls = restart.ErrNotAllowed, nil
	if res, err = b.process().Run(t.Context(), restartRequest("r2", drained)); !errors.Is(err, restart.ErrNotAllowed) || !slices.Equal(calls, []string{"POST /drain", "POST /undo"}) {
		t.Errorf("%+v, %v, calls %q, want the drain taken back", res, err, calls)
	}
	b.manager.err, status = nil, http.StatusInternalServerError
	if res, err = b.process().Run(t.Context(), restartRequest("r3", drained)); err != nil || !strings.Contains(res.Detail, "not drained") {
		t.Errorf("%+v, %v: one that does not drain is restarted all the same", res, err)
	}
}

// TestRestartInOrder: the attempt is written, then evidence, drain, the wait, the restart, ready and a reading, each
// after the one before it and each in the record.
func TestRestartInOrder(t *testing.T) {
	b := newBench()
	var mu sync.Mutex
	var did []string
	do := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains(did, what) {
			did = append(did, what)
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { do(r.URL.Path) }))
	defer srv.Close()
	a := b.process()
	a.opts.Capture = func(context.Context, string, bool) evidence.Taken {
		if b.store.writes != 1 {
			t.Errorf("evidence after %d writes, want the attempt to be written first", b.store.writes)
		}
		do("evidence")
		return evidence.Taken{Outcome: evidence.Captured}
	}
	b.manager.after = func() {
		if b.store.writes != 3 {
			t.Errorf("asked after %d writes, want that it is written first", b.store.writes)
		}
		do("restart")
	}
	a.opts.Service.ReadyBy, a.opts.Service.Ready = "its probe", func(time.Time) bool {
		do("ready")
		return true
	}
	read := a.opts.Service.Reading
	a.opts.Service.Reading = func() restart.Reading {
		if b.manager.count() > 0 {
			do("reading")
		}
		return read()
	}
	res, err := a.Run(t.Context(), restartRequest("r1", func(s *RestartSettings) { s.Drain = Drain{Post: srv.URL + "/drain", Idle: srv.URL + "/idle"} }))
	if want := []string{"evidence", "/drain", "/idle", "restart", "ready", "reading"}; err != nil || !slices.Equal(did, want) {
		t.Errorf("%v, did %q, want %q", err, did, want)
	}
	form := regexp.MustCompile(`^evidence: captured; drained and idle after \S+; restarted app\.service via systemd in \S+; ready by its probe, away for \S+$`)
	if !form.MatchString(res.Detail) || res.Outcome != Done || res.Before == "" || res.After == "" {
		t.Errorf("%+v", res)
	}
}

// TestRestartHeld: what is held back at the last moment is not restarted, takes its drain back and costs nothing.
func TestRestartHeld(t *testing.T) {
	var calls []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { calls = append(calls, r.URL.Path) }))
	defer srv.Close()
	b := newBench()
	req := restartRequest("r1", func(s *RestartSettings) {
		s.Drain = Drain{Post: srv.URL + "/drain", Idle: srv.URL + "/idle", Undo: srv.URL + "/undo"}
		s.Budget.AtMost = 1
	})
	req.Held = func() (string, string) { return "window", "its window has closed" }
	res, err := b.process().Run(t.Context(), req)
	if err == nil || res.Outcome != Failed || res.Refused != "window" || b.manager.count() != 0 || !slices.Equal(calls, []string{"/drain", "/idle", "/undo"}) {
		t.Errorf("%+v, %v, %d restarts, calls %q", res, err, b.manager.count(), calls)
	}
	req.Held = func() (string, string) { return "", "" }
	req.RunID = "r2"
	if res, err := b.process().Run(t.Context(), req); err != nil || res.Outcome != Done {
		t.Errorf("%+v, %v: it has taken from the budget", res, err)
	}
}

func TestRestartByCommand(t *testing.T) {
	b := newBench()
	by := func(argv ...string) func(*RestartSettings) {
		return func(s *RestartSettings) { s.Unit, s.Program = "", argv }
	}
	res, err := b.process().Run(t.Context(), restartRequest("r1", by("/bin/echo", "restarted")))
	if err != nil || res.Outcome != Done || !strings.Contains(res.Output, "restarted") {
		t.Errorf("%+v, %v", res, err)
	}
	if res, err = b.process().Run(t.Context(), restartRequest("r2", by("/bin/false"))); err == nil || res.Outcome != Failed {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestRestartComplete: what follows from how the target is matched, and what is missing where nothing does.
func TestRestartComplete(t *testing.T) {
	f := func(s RestartSettings, unit string, contained bool, wantKey, want string) {
		t.Helper()
		key, missing := s.Complete(unit, contained)
		if key != wantKey || (missing != "") != (wantKey != "") || missing == "" && s.String() != want {
			t.Errorf("%q: %s %s, want %q of %q", s.String(), key, missing, want, wantKey)
		}
	}
	f(RestartSettings{}, "app.service", false, "", "restart via systemd app.service")
	f(RestartSettings{Unit: "other"}, "app.service", false, "", "restart via systemd other.service")
	f(RestartSettings{Unit: "my.app"}, "", false, "", "restart via systemd my.app.service")
	f(RestartSettings{Via: "systemd"}, "", true, "unit", "")
	f(RestartSettings{}, "", true, "", "restart")
	f(RestartSettings{}, "", false, "via", "")
	f(RestartSettings{Container: "web"}, "app.service", false, "", "restart")
	f(RestartSettings{Via: "podman", Container: "web"}, "app.service", false, "", "restart via podman web")
	f(RestartSettings{Via: "command", Program: []string{"/bin/true"}}, "app.service", false, "", `restart via command ["/bin/true"]`)
}

// TestRestartOf: what is restarted follows from where the processes are, unless the step says it.
func TestRestartOf(t *testing.T) {
	id := strings.Repeat("a", 64)
	f := func(s RestartSettings, place restart.Place, want string) {
		t.Helper()
		spec, err := s.Spec(&place)
		got := spec.Via + " " + spec.String()
		if err != nil {
			got = "refused"
		}
		if got != want {
			t.Errorf("%+v at %+v: %q, want %q", s, place, got, want)
		}
	}
	f(RestartSettings{Unit: "app.service"}, restart.Place{}, "systemd app.service")
	f(RestartSettings{}, restart.Place{Engine: "docker", Container: id}, "docker container "+id[:12])
	f(RestartSettings{}, restart.Place{Engine: "podman", Container: id}, "podman container "+id[:12])
	f(RestartSettings{}, restart.Place{Engine: "podman", Container: id, UserOwned: true}, "refused")
	f(RestartSettings{Socket: "/run/user/1000/podman/podman.sock"}, restart.Place{Engine: "podman", Container: id, UserOwned: true}, "podman container "+id[:12])
	f(RestartSettings{Container: "web"}, restart.Place{Engine: "podman", Container: id}, "podman container web")
	f(RestartSettings{Via: "docker", Container: "web"}, restart.Place{}, "docker container web")
	f(RestartSettings{Via: "docker"}, restart.Place{}, "refused")
	f(RestartSettings{}, restart.Place{Engine: "containerd", Container: id, Pod: "web-1", Namespace: "shop"}, "kubernetes pod shop/web-1")
	f(RestartSettings{Via: "kubernetes"}, restart.Place{}, "refused")
	f(RestartSettings{}, restart.Place{}, "refused")
}
