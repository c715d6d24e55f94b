package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/control"
)

// TestPauseCommand: the commands ask the exporter that holds the journal, and say what it answers.
func TestPauseCommand(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "spillway.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "discover: {by: comm, top: 5}\njournal: {dir: %s}\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (code int, out string) {
		t.Helper()
		var text bytes.Buffer
		code = Main(t.Context(), append(args, "--config.file="+file), Options{Stdout: &text, Stderr: &text})
		return code, text.String()
	}
	if code, out := run("pause"); code != ExitFailure || !strings.Contains(out, "so there is nothing to pause: start it, or name the configuration") {
		t.Errorf("without an exporter: %d %s", code, out)
	}
	var got control.Pause
	var answer control.Paused
	var refuse error
	s, err := control.Listen(t.Context(), dir, control.Options{Logger: slog.New(slog.DiscardHandler), Pause: func(_ context.Context, _ control.Peer, req control.Pause) (control.Paused, error) {
		got = req
		return answer, refuse
	}})
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
	for _, tt := range []struct {
		args   []string
		answer control.Paused
		err    error
		want   control.Pause
		code   int
		says   string
	}{
		{[]string{"pause", "--for=2h", "--target=app", "--reason=why"}, control.Paused{Changed: []string{"target app"}}, nil, control.Pause{Target: "app", For: 2 * time.Hour, Reason: "why"}, ExitOK, "paused: target app\n"},
		{[]string{"pause"}, control.Paused{Changed: []string{"all"}, Warning: "not after a restart"}, nil, control.Pause{}, ExitFailure, "paused: all\nspillway_exporter: not after a restart"},
		{[]string{"resume"}, control.Paused{}, nil, control.Pause{Resume: true}, ExitOK, "nothing is paused"},
		{[]string{"resume", "--target=app"}, control.Paused{Changed: []string{"target app"}}, nil, control.Pause{Target: "app", Resume: true}, ExitOK, "resumed: target app"},
		{[]string{"pause", "--target=ap"}, control.Paused{}, errors.New("write one of app"), control.Pause{Target: "ap"}, ExitConfig, "write one of app"},
	} {
		answer, refuse = tt.answer, tt.err
		code, out := run(tt.args...)
		tt.want.Protocol = 1
		if diff := cmp.Diff(tt.want, got); code != tt.code || !strings.Contains(out, tt.says) || diff != "" {
			t.Errorf("%q: %d %s (-want +got):\n%s", tt.args, code, out, diff)
		}
	}
	if code, out := run("pause", "--for=0s"); code != ExitConfig || !strings.Contains(out, "--for: ") {
		t.Errorf("no length: %d %s", code, out)
	}
}
