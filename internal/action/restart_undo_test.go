package action

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/restart"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// drainable is the service of a bench that can be drained.
type drainable struct {
	*bench
	mu      sync.Mutex
	calls   []string
	answers int    // status of undo
	hang    string // the path at which the process of the exporter dies
	url     string
	records []string
}

func newDrainable(t *testing.T) *drainable {
	d := &drainable{bench: newBench(), answers: http.StatusOK}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.calls = append(d.calls, r.URL.Path)
		if r.URL.Path == d.hang {
			d.store.died = true
		}
		if r.URL.Path == "/undo" {
			w.WriteHeader(d.answers)
		}
	}))
	t.Cleanup(srv.Close)
	d.url = srv.URL
	return d
}

func (d *drainable) drain(s *RestartSettings) {
	s.Drain = Drain{Post: d.url + "/drain", Idle: d.url + "/idle", Undo: d.url + "/undo", Deadline: units.Duration(20 * time.Second)}
}

func (d *drainable) took() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls)
}

// undrain looks as a new process does.
func (d *drainable) undrain(t *testing.T, step DrainStep) (bool, error) {
	d.store.died, d.manager.err = false, nil
	return d.process().Undrain(t.Context(), []DrainStep{step}, true, func(_ context.Context, run, intent string) (func(error) error, error) {
		d.records = append(d.records, run+": "+intent)
		return func(err error) error {
			d.records = append(d.records, map[bool]string{true: "done", false: "failed"}[err == nil])
			return nil
		}, nil
	})
}

// TestRestartGivenUp: a service that was drained and is not restarted takes work again, whoever says no.
func TestRestartGivenUp(t *testing.T) {
	f := func(name string, change func(*drainable, *RestartSettings), want ...string) {
		t.Run(name, func(t *testing.T) {
			d := newDrainable(t)
			req := restartRequest("r1", d.drain, func(s *RestartSettings) { change(d, s) })
			res, err := d.process().Run(t.Context(), req)
			if got := d.took(); err == nil || d.manager.count() != 0 || !slices.Equal(got, want) {
				t.Errorf("%+v, %v, %d restarts, calls %q, want %q", res, err, d.manager.count(), got, want)
			}
			_, left, err := d.process().opts.Ledger.Drained("app")
			if taken := slices.Contains(want, "/undo"); left == taken || err != nil {
				t.Errorf("it may still be drained: %t, %v, want %t", left, err, !taken)
			}
		})
	}
	f("not allowed", func(d *drainable, _ *RestartSettings) { d.manager.err = restart.ErrNotAllowed }, "/drain", "/idle", "/undo")
	f("the manager says that it failed, and the service runs on", func(d *drainable, _ *RestartSettings) { d.manager.err = restart.ErrEnded }, "/drain", "/idle", "/undo")
	f("the program that restarts it does not", func(_ *drainable, s *RestartSettings) { s.Unit, s.Program = "", []string{"/bin/false"} }, "/drain", "/idle", "/undo")
	f("no undo", func(d *drainable, s *RestartSettings) { d.manager.err, s.Drain.Undo = restart.ErrNotAllowed, "" }, "/drain", "/idle")
}

// TestRestartUndrain: a service that a process has left drained takes work again once it is asked by the next one, and
// only then.
func TestRestartUndrain(t *testing.T) {
	step := func(d *drainable, enforces bool, change ...func(*RestartSettings)) DrainStep {
		return DrainStep{Settings: restartRequest("r9", append([]func(*RestartSettings){d.drain}, change...)...).Settings.(*RestartSettings), Enforces: enforces}
	}
	f := func(name string, enforces bool, change func(*drainable), configured func(*RestartSettings), over bool, want string, undone int) {
		t.Run(name, func(t *testing.T) {
			d := newDrainable(t)
			d.hang = "/drain"
			if _, err := d.process().Run(t.Context(), restartRequest("r1", d.drain)); err == nil {
				t.Fatal("the process was not killed")
			}
			d.mu.Lock()
			d.calls = nil
			d.mu.Unlock()
			change(d)
			for range 2 { // the second look finds nothing more to do
				got, err := d.undrain(t, step(d, enforces, configured))
				if got != over || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Fatalf("%t, %v, want %t, %q", got, err, over, want)
				}
				if !over {
					break
				}
			}
			calls := len(d.took())
			if undone != calls || calls > 0 && (len(d.records) != 2 || !strings.HasPrefix(d.records[0], "r1: ")) {
				t.Errorf("calls %q, records %q, want %d", d.took(), d.records, undone)
			}
			if _, left, err := d.process().opts.Ledger.Drained("app"); left == over || err != nil {
				t.Errorf("left drained: %t, %v", left, err)
			}
		})
	}
	same, none := func(*RestartSettings) {}, func(*drainable) {}
	f("killed in the drain", true, none, same, true, "", 1)
	f("restarted since", true, func(d *drainable) { d.manager.start++ }, same, true, "", 0)
	f("no longer in mode enforce", false, none, same, false, "not in mode enforce", 0)
	f("no undo", true, none, func(s *RestartSettings) { s.Drain.Undo = "" }, false, "no undo", 0)
	f("another drain is configured", true, none, func(s *RestartSettings) { s.Drain.Post += "/other" }, false, "no step", 0)
	f("undo fails", true, func(d *drainable) { d.answers = http.StatusInternalServerError }, same, false, "500", 1)
}

// TestRestartUndrainUnseen: a restart that may still come is waited for before its drain is taken back.
func TestRestartUndrainUnseen(t *testing.T) {
	d := newDrainable(t)
	d.manager.after = func() { d.manager.start-- } // it has not restarted it
	d.manager.err = restart.ErrUnseen
	if res, err := d.process().Run(t.Context(), restartRequest("r1", d.drain)); res.Outcome != Unknown {
		t.Fatalf("%+v, %v", res, err)
	}
	d.manager.after = nil
	step := DrainStep{Settings: restartRequest("r9", d.drain).Settings.(*RestartSettings), Enforces: true}
	if over, err := d.undrain(t, step); over || err != nil || slices.Contains(d.took(), "/undo") {
		t.Errorf("%t, %v, calls %q", over, err, d.took())
	}
	d.now = d.now.Add(drainSettles)
	if over, err := d.undrain(t, step); !over || err != nil || !slices.Contains(d.took(), "/undo") {
		t.Errorf("%t, %v, calls %q", over, err, d.took())
	}
}

// TestRestartUndrainWaits: no drain is taken back while a restart is at work on the service.
func TestRestartUndrainWaits(t *testing.T) {
	d := newDrainable(t)
	d.hang = "/drain"
	if _, err := d.process().Run(t.Context(), restartRequest("r1", d.drain)); err == nil {
		t.Fatal("the process was not killed")
	}
	d.store.died = false
	a := d.process()
	release, err := a.opts.Ledger.Claim(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	record := func(context.Context, string, string) (func(error) error, error) {
		return nil, errors.New("it was at work")
	}
	step := DrainStep{Settings: restartRequest("r9", d.drain).Settings.(*RestartSettings), Enforces: true}
	if over, err := a.Undrain(t.Context(), []DrainStep{step}, true, record); over || err != nil {
		t.Errorf("%t, %v", over, err)
	}
	release()
	if over, err := a.Undrain(t.Context(), []DrainStep{step}, true, record); over || err == nil {
		t.Errorf("%t, %v, want it to be tried now", over, err)
	}
}
