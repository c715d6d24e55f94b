package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// result is what a command line gave.
type result struct {
	code      int
	out, errs string
}

// runLine runs a command line until it ends or the test does.
func runLine(t *testing.T, args ...string) result {
	t.Helper()
	return runAt(t, time.Now, args...)
}

func runAt(t *testing.T, now func() time.Time, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := Main(t.Context(), args, Options{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: now, ConfigFile: "/nonexistent/spillway.yml"})
	return result{code, out.String(), errs.String()}
}

// configFlag writes a configuration with a journal of its own and returns the flag that names it.
func configFlag(t *testing.T, text string) string {
	t.Helper()
	dir := realDir(t)
	file := filepath.Join(dir, "spillway.yml")
	writeTest(t, file, text+"\njournal: {dir: "+dir+"/journal}\n")
	return "--config.file=" + file
}

func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeTest(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// oldFile writes a file that is due.
func oldFile(t *testing.T, path string) {
	t.Helper()
	writeTest(t, path, "x")
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

func have(t *testing.T, path string, want bool) {
	t.Helper()
	if _, err := os.Stat(path); (err == nil) != want {
		t.Errorf("%s: %v, want it there: %v", path, err, want)
	}
}

// lines passes on each write to a channel.
type lines chan<- string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// serveUntil runs serve until a line of its log has a text, and then other with that exporter
// running.
func serveUntil(t *testing.T, text string, flags []string, other func()) int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := make(chan string, 1000)
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, append([]string{"serve"}, flags...), Options{Stdout: io.Discard, Stderr: lines(log)})
	}()
	for deadline := time.After(20 * time.Second); ; {
		select {
		case line := <-log:
			if !strings.Contains(line, text) {
				continue
			}
			other()
			cancel()
			return <-ended
		case code := <-ended:
			t.Fatalf("serve ended with %d", code)
		case <-deadline:
			t.Fatalf("serve did not log %q", text)
		}
	}
}

// TestServe: a second instance is locked out, a cleanup is done by the first, the journal command reads
// alongside, a path that the server cannot take is a mistake, and serve ends well.
func TestServe(t *testing.T) {
	dir := realDir(t)
	oldFile(t, dir+"/t/due.tmp")
	file := configFlag(t, "standalone: false\n"+tempTarget(dir))
	flags := []string{file, "--web.listen-address=127.0.0.1:0"}
	code := serveUntil(t, "status page", flags, func() {
		if r := runLine(t, flags...); r.code != ExitLocked {
			t.Errorf("a second instance on one journal: %+v, want exit code %d", r, ExitLocked)
		}
		f := func(code int, says string, args ...string) {
			t.Helper()
			if r := runLine(t, append([]string{"cleanup", file}, args...)...); r.code != code || !strings.Contains(r.out+r.errs, says) {
				t.Errorf("cleanup %q while the exporter holds the journal: %+v, want %d and %q", args, r, code, says)
			}
		}
		f(ExitConfig, "--target other: no such target with directories: write one of app", "--enforce", "--target=other")
		f(ExitOK, " dry_run")
		f(ExitOK, "1 ", "--dry-run")
		have(t, dir+"/t/due.tmp", true)
		f(ExitOK, "expired\t"+dir+"/t/due.tmp\n", "--enforce", "--files")
		have(t, dir+"/t/due.tmp", false)
		if r := runLine(t, "journal", file); r.code != ExitOK || !strings.Contains(r.out, "OUTCOME") {
			t.Errorf("the journal command alongside a running exporter: %+v", r)
		}
	})
	if code != ExitOK {
		t.Errorf("exit code %d", code)
	}
	if r := runLine(t, file, "--web.telemetry-path=metrics"); r.code != ExitConfig || !strings.Contains(r.errs, `--web.telemetry-path: "metrics" does not begin with a slash: write "/metrics"`) {
		t.Errorf("%+v", r)
	}
}

// TestMistakes: whatever is wrong with the command line or the configuration ends with 2 and says
// how many mistakes there are.
func TestMistakes(t *testing.T) {
	f := func(says string, args ...string) {
		t.Helper()
		if r := runLine(t, args...); r.code != ExitConfig || !strings.HasSuffix(r.errs, says) || r.out != "" {
			t.Errorf("%q: %+v, want exit code %d and %q", args, r, ExitConfig, says)
		}
	}
	f("spillway_exporter: unknown command \"chekc\": did you mean check?\n", "chekc")
	f("\nspillway_exporter: 1 mistake in the configuration\n", "check", configFlag(t, "sample_interval: never\n"+tempTarget("/tmp")))
	f("\nspillway_exporter: 2 mistakes in the configuration\n", "check", configFlag(t, "sample_interval: never\nscan_interval: never\n"+tempTarget("/tmp")))
	f("give at least 10s\n", "demo", "--duration=9s")
	f("write: spillway_exporter export DIR\n", "export")
	f("give it with --config.file\n", "cleanup", "--enforce")
	f("give one of them\n", "cleanup", "--enforce", "--dry-run")
	f("such as 30s, 5m, 48h, 2d or 1w\n", "journal", "--since=soon")
}

// TestCompletion: the values of --target are those of the configuration file.
func TestCompletion(t *testing.T) {
	e := &env{}
	if got := e.targetNames(); got != nil {
		t.Errorf("without a file: %q", got)
	}
	e.configFile = strings.TrimPrefix(configFlag(t, "targets: [{name: a, processes: {match: {comm: x}}}, {name: b, processes: {match: {comm: y}}}]\n"), "--config.file=")
	if got := strings.Join(e.targetNames(), " "); got != "a b" {
		t.Errorf("%q", got)
	}
	writeTest(t, e.configFile, "targets: [\n")
	if got := e.targetNames(); got != nil {
		t.Errorf("with a bad file: %q", got)
	}
}
