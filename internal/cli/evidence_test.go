package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/control"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// TestEvidenceOutside: what grew in folders and mappings is shown in few lines, with a capture and without, and where no exporter
// runs that is said.
func TestEvidenceOutside(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "spillway.yml")
	text := fmt.Sprintf("targets: [{name: app, processes: {match: {comm: app}}}]\njournal: {dir: %s}\n", dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	o := evidence.NewOutside([]evidence.Folder{{
		Kind: "temp", Name: "tts", Added: &evidence.Added{Pattern: "tts-*.wav", Share: .88, Empty: true},
		Grew: evidence.Difference{From: at, To: at.Add(time.Hour), Rows: []evidence.Growth{{Name: "tts-*.wav", Objects: 41}, {Name: "*.mp4", Objects: 2, Bytes: 3 << 20}}},
	}}, &evidence.Mappings{Grew: evidence.Difference{From: at, To: at, Rows: []evidence.Growth{{Name: "anonymous range 7", Bytes: 5 << 20}, {Name: "[heap]", Bytes: 5 << 10}}}})
	answer := evidence.Outside{}
	serveOutside := func() (end func()) {
		s, err := control.Listen(t.Context(), dir, control.Options{Logger: slog.New(slog.DiscardHandler), Outside: func(string) evidence.Outside { return answer }})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Serve() }()
		return func() {
			if err := errors.Join(s.Close(), <-ended); err != nil {
				t.Error(err)
			}
		}
	}
	run := func(args ...string) (code int, out, errs string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code = Main(t.Context(), append([]string{"evidence", "app", "--config.file=" + file}, args...), Options{Stdout: &stdout, Stderr: &stderr})
		return code, stdout.String(), stderr.String()
	}
	const (
		capture = "sampling of node"
		lines   = "temp folder tts, since 03:04; 88% of the new files are tts-*.wav, empty GROWTH WHERE +41 files tts-*.wav +2 files, +3MiB *.mp4"
	)
	same := func(out, want string) bool { return strings.Contains(strings.Join(strings.Fields(out), " "), want) }
	keepCaptures(t, dir)
	if code, out, errs := run(); code == ExitOK || !strings.Contains(errs, "nothing was captured of app yet") {
		t.Errorf("nothing at all: %d %s%s", code, out, errs)
	}
	end := serveOutside()
	if code, out, errs := run(); code == ExitOK || !strings.Contains(errs, "nothing was captured of app yet") {
		t.Errorf("nothing grew: %d %s%s", code, out, errs)
	}
	answer = o
	if code, out, errs := run(); code != ExitOK || !same(out, lines) || !same(out, "+5MiB anonymous range 7") || strings.Contains(out, "[heap]") || !strings.Contains(errs, "nothing was captured of app yet") {
		t.Errorf("without a capture: %d %s%s", code, out, errs)
	}
	if code, out, _ := run("--output=pprof"); code == ExitOK || out != "" {
		t.Errorf("pprof without a capture: %d %q", code, out)
	}
	end()
	keepCaptures(t, dir, evidence.Profile{Target: "app", Runtime: "node", Rung: evidence.RungSampling, Kind: evidence.KindFunction, Time: at, Epoch: "1", Rows: []evidence.Row{{Name: "f", File: "a.js", Line: 1, Bytes: 5 << 20}}})
	if code, out, errs := run(); code != ExitOK || !strings.Contains(out, capture) || strings.Contains(out, "folder") || !strings.Contains(errs, "no exporter runs here") {
		t.Errorf("without an exporter: %d %s%s", code, out, errs)
	}
	defer serveOutside()()
	if code, out, errs := run(); code != ExitOK || !strings.Contains(out, capture) || !same(out, lines) || errs != "" {
		t.Errorf("with a capture: %d %s%s", code, out, errs)
	}
	code, out, _ := run("--output=json")
	var got struct {
		Newest   evidence.Profile
		Folders  []evidence.GrownFolder
		Mappings evidence.Difference
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != ExitOK || got.Newest.Target != "app" || len(got.Folders) != 1 || got.Folders[0].Added.Share != .88 || len(got.Mappings.Rows) != 1 {
		t.Errorf("%d %s, %v", code, out, err)
	}
	if code, out, _ := run("--output=pprof"); code != ExitOK || out == "" || strings.Contains(out, "folder") {
		t.Errorf("pprof: %d %q", code, out)
	}
}

// keepCaptures writes captures into the journal in a folder.
func keepCaptures(t *testing.T, dir string, all ...evidence.Profile) {
	t.Helper()
	j, err := journal.Open(journal.Options{Dir: dir, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	store := evidence.NewStore(func() evidence.State { return j })
	for i := range all {
		if err := store.Add(t.Context(), &all[i], 10); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}
