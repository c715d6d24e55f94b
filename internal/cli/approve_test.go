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

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/control"
)

// TestApproveCommand: the commands ask the exporter that holds the journal, and say what it answers.
func TestApproveCommand(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "spillway.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "discover: {by: comm, top: 5}\njournal: {dir: %s}\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	var got control.Decide
	var answer control.Decided
	var refuse error
	s, err := control.Listen(t.Context(), dir, control.Options{Logger: slog.New(slog.DiscardHandler), Decide: func(_ context.Context, _ control.Peer, req control.Decide) (control.Decided, error) {
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
	one := control.Proposed{ID: "p1", Target: "app", Playbook: "relieve_memory", Level: "critical", What: "clean_temp (3 files)"}
	for _, tt := range []struct {
		args   []string
		answer control.Decided
		err    error
		want   control.Decide
		code   int
		says   string
	}{
		{[]string{"approve"}, control.Decided{}, nil, control.Decide{}, ExitOK, "no proposal waits"},
		{[]string{"approve"}, control.Decided{Waits: []control.Proposed{one}}, nil, control.Decide{}, ExitOK, "clean_temp (3 files)"},
		{[]string{"approve", "p1", "--by=anna"}, control.Decided{Run: "r1"}, nil, control.Decide{ID: "p1", By: "anna"}, ExitOK, "approved: p1, run r1\n"},
		{[]string{"deny", "p1"}, control.Decided{}, nil, control.Decide{ID: "p1", Deny: true}, ExitOK, "denied: p1\n"},
		{[]string{"deny", "p2"}, control.Decided{}, errors.New("no proposal waits"), control.Decide{ID: "p2", Deny: true}, ExitConfig, "no proposal waits"},
	} {
		answer, refuse = tt.answer, tt.err
		var text bytes.Buffer
		code := Main(t.Context(), append(tt.args, "--config.file="+file), Options{Stdout: &text, Stderr: &text})
		tt.want.Protocol = 1
		if diff := cmp.Diff(tt.want, got); code != tt.code || !strings.Contains(text.String(), tt.says) || diff != "" {
			t.Errorf("%q: %d %s (-want +got):\n%s", tt.args, code, &text, diff)
		}
	}
}
