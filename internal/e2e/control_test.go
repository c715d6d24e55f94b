//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCleanupAlongside: while the exporter runs, the command has it do the clean-up: in its journal, by its
// dispatcher, with the same table and exit codes as without it. Another user is refused, what stands in
// the way of the socket stays, and a killed exporter leaves the end open.
func TestCleanupAlongside(t *testing.T) {
	dir := testDir(t)
	temp, journal := filepath.Join(dir, "tts"), filepath.Join(dir, "journal")
	file := filepath.Join(dir, "spillway.yml")
	config := "instance: here\ntargets:\n  - name: svc\n    temp_dirs: [{name: tts, dir: " + temp + ", include: ['*.wav'], max_age: 1h, age_by: mtime, min_age: 1s}]\n"
	fill := func(n int) { writeFiles(t, temp, "%d.wav", n, 10, 2*time.Hour) }
	cleanup := func(args ...string) *process {
		return start(t, nil, append([]string{binary(t), "cleanup", "--config.file=" + file}, args...)...)
	}
	ends := func(p *process, code int, says ...string) {
		t.Helper()
		select {
		case <-p.done:
		case <-time.After(30 * time.Second):
			t.Fatal("cleanup does not end")
		}
		if got := p.cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("exit code %d, want %d: %s", got, code, p.out)
		}
		for _, s := range says {
			if !strings.Contains(p.out.String(), s) {
				t.Errorf("it does not say %q: %s", s, p.out)
			}
		}
	}
	fill(5)
	e := startExporter(t, dir, config)
	asks := fmt.Sprintf("the exporter with pid %d holds the journal and does the clean-up", e.cmd.Process.Pid)
	ends(cleanup(), 0, asks, "dry_run")
	if n := countFiles(t, temp); n != 5 {
		t.Fatalf("%d files are left of 5 although nothing enforces", n)
	}
	ends(cleanup("--enforce", "--files"), 0, asks, "expired\t"+temp+"/4.wav", "done")
	if n := countFiles(t, temp); n != 0 {
		t.Errorf("%d files are left", n)
	}
	records, err := get(e.url + "/api/v1/journal")
	if want := fmt.Sprintf("requested by the command cleanup (uid %d, pid ", os.Getuid()); err != nil || !strings.Contains(records, want) || !strings.Contains(records, `"files":5`) {
		t.Errorf("the journal does not say who asked and what went: %v: %s", err, records)
	}
	// The file has changed since the exporter loaded it: neither knows what the other means.
	fill(5)
	loaded, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, strings.Replace(string(loaded), "max_age: 1h", "max_age: 90m", 1))
	ends(cleanup("--enforce"), 2, "has another configuration of these targets than this command", "it runs with "+file, "reload the exporter first")
	if n := countFiles(t, temp); n != 5 {
		t.Errorf("%d files are left of 5 by a configuration that the exporter has not loaded", n)
	}
	writeFile(t, file, string(loaded))
	ends(cleanup("--enforce"), 0, asks, "done")
	ends(cleanup("--enforce", "--target=other"), 2, "--target other: no such target")
	t.Run("another user", func(t *testing.T) {
		fill(1)
		p := start(t, nil, need(t, "setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", binary(t), "cleanup", "--enforce", "--config.file="+file)
		<-p.done
		if code := p.cmd.ProcessState.ExitCode(); code == 0 || countFiles(t, temp) != 1 {
			t.Errorf("exit code %d, %d files of 1: %s", code, countFiles(t, temp), p.out)
		}
	})
	t.Run("the exporter is killed", func(t *testing.T) {
		fill(20000)
		p := cleanup("--enforce", "--files")
		eventually(t, 30*time.Second, "the first file", func() error {
			if !strings.Contains(p.out.String(), "expired") {
				return fmt.Errorf("so far: %s", p.out)
			}
			return nil
		})
		e.cmd.Process.Signal(syscall.SIGKILL)
		ends(p, 1, "what became of the clean-up is unknown")
		<-e.done // before it is, the next one could still be accepted by it
	})
	t.Run("after it", func(t *testing.T) {
		fill(3)
		p := cleanup("--enforce")
		ends(p, 0, "done")
		if strings.Contains(p.out.String(), "holds the journal") || countFiles(t, temp) != 0 {
			t.Errorf("the socket of a dead exporter is asked: %s", p.out)
		}
		again := startExporter(t, dir, config)
		fill(3)
		ends(cleanup("--enforce"), 0, fmt.Sprint("pid ", again.cmd.Process.Pid), "done")
		again.stop()
		if _, err := os.Lstat(filepath.Join(journal, "control.sock")); !os.IsNotExist(err) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	t.Run("a link in its place", func(t *testing.T) {
		if err := os.Symlink(file, filepath.Join(journal, "control.sock")); err != nil {
			t.Fatal(err)
		}
		startExporter(t, dir, config)
		ends(cleanup("--enforce"), 75, "another")
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	})
}
