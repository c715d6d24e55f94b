package app

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// What opens an inspector is there only with mode: enforce, asks programs only of which it is
// known what they do, and leaves a record; the whole way is in the end-to-end tests.
func TestActivator(t *testing.T) {
	cmd := exec.Command("sh", "-c", "trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	tracker, err := proc.New(proc.Options{Root: "/proc", Targets: []proc.Target{{Name: "t", Config: proc.Config{Match: proc.Match{Cmdline: proc.Exprs{"trap 'exit 9' USR1"}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer tracker.Close()
	var members []proc.Member
	for deadline := time.Now().Add(10 * time.Second); len(members) != 1; {
		if time.Now().After(deadline) {
			t.Fatalf("%d members, want the shell", len(members))
		}
		if err := tracker.Refresh(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		members = tracker.Members("t") // a sleep that was just forked is still the shell by its command line
	}
	j, err := journal.Open(journal.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	p := &parts{logger: slog.New(slog.DiscardHandler), now: time.Now, journal: func() *journal.Journal { return j }}
	target := config.Target{Name: "t", Mode: config.DryRun, Heap: heap.Config{Provider: heap.ProviderNode, Activate: heap.ActivateSIGUSR1}}
	g := &graph{}
	if g.activator(&target, p) != nil {
		t.Error("a dry run may send signals")
	}
	target.Mode = config.Enforce
	activate := g.activator(&target, p)
	if err := activate(t.Context(), members[0]); !errors.Is(err, heap.ErrNotSent) || !strings.Contains(err.Error(), "which is not node") {
		t.Errorf("a shell: %v, want a refusal", err)
	}
	if records, _, err := j.Query(journal.Filter{}); err != nil || len(records) != 0 {
		t.Errorf("records %v, %v, want none: nothing was to be done", records, err)
	}
	p.journal = func() *journal.Journal { return nil }
	if err := activate(context.Background(), members[0]); !errors.Is(err, heap.ErrNotSent) || !strings.Contains(err.Error(), "no durable journal") {
		t.Errorf("without a journal: %v, want a refusal", err)
	}
}
