package control

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// brittle is a journal that can fail to keep a state.
type brittle struct {
	*journal.Journal
	err error
}

func (j *brittle) PutState(ctx context.Context, key string, value []byte) error {
	if j.err != nil {
		return j.err
	}
	return j.Journal.PutState(ctx, key, value)
}

// TestPauseOverTheSocket: a command pauses and resumes the dispatcher of the exporter, with who asked in its journal.
func TestPauseOverTheSocket(t *testing.T) {
	book := &brittle{Journal: journal.OpenMemory(journal.Options{Logger: quiet()})}
	d := dispatch.New(dispatch.Options{Journal: book, Logger: slog.New(slog.DiscardHandler)})
	d.Apply(map[string]dispatch.Target{"app": {Name: "app"}})
	dir := t.TempDir()
	s, err := Listen(t.Context(), dir, Options{Pause: Pauser{Dispatcher: func() *dispatch.Dispatcher { return d }}.Pause, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	ask := func(req Pause) (Paused, error) {
		t.Helper()
		return dial(t, dir).Pause(t.Context(), req)
	}
	got, err := ask(Pause{Target: "app", Reason: "a release"})
	if diff := cmp.Diff(Paused{Changed: []string{"target app until someone resumes: a release"}}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	records, _, err := book.Query(journal.Filter{Limit: 10})
	if err != nil || len(records) != 1 || records[0].Target != "app" || records[0].Action != "pause" || !strings.Contains(records[0].Intent, "requested by the command pause (uid ") {
		t.Errorf("%+v, %v", records, err)
	}
	if got, err := ask(Pause{Resume: true}); err != nil || len(got.Changed) != 1 || len(d.Status().Pauses) != 0 {
		t.Errorf("resume: %+v, %v", got, err)
	}
	if got, err := ask(Pause{Resume: true}); err != nil || len(got.Changed) != 0 {
		t.Errorf("resume again: %+v, %v", got, err)
	}
	if _, err := ask(Pause{Target: "ap"}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "write one of app") {
		t.Errorf("%v", err)
	}
	book.err = errors.New("no space left on device")
	if got, err := ask(Pause{For: time.Hour}); err != nil || !strings.Contains(got.Warning, "in effect, but not after a restart") || len(d.Status().Pauses) != 1 {
		t.Errorf("without a journal: %+v, %v", got, err)
	}
}
