package hostcheck

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/restart"
)

type askedManager struct {
	check error
	state restart.State
}

func (m askedManager) State(context.Context) (restart.State, error) { return m.state, nil }
func (m askedManager) Restart(context.Context, restart.State) error { panic("check restarts") }
func (m askedManager) Check(context.Context) error                  { return m.check }

func TestConnect(t *testing.T) {
	f := func(name string, m askedManager, openErr error, want string) {
		t.Helper()
		l := &look{Options: Options{Connect: func(*restart.Spec) (restart.Manager, error) { return m, openErr }}}
		err := l.connect(&restart.Spec{Via: restart.ViaDocker, Container: "web"}, &restart.Place{Container: "aa"})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	f("well", askedManager{state: restart.State{ID: "aa"}}, nil, "")
	f("no right", askedManager{check: restart.ErrNotAllowed}, nil, "refuses")
	f("the right cannot be asked for", askedManager{check: restart.ErrUnproven, state: restart.State{ID: "aa"}}, nil, "not known")
	f("that, and another container", askedManager{check: restart.ErrUnproven, state: restart.State{ID: "bb"}}, nil, "are in container aa, not in bb")
	f("another container", askedManager{state: restart.State{ID: "bb"}}, nil, "are in container aa, not in bb")
	f("not in a cluster", askedManager{}, errors.New("is not set"), "is not set")
}
