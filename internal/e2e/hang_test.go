//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const hangInterval = 3 * time.Second

// hangingMount mounts a copy of a folder through a FUSE daemon that stands still at the signal
// STOP, as an NFS server that is gone does. Where FUSE is missing the test is skipped.
func hangingMount(t *testing.T, from, to string) *process {
	t.Helper()
	// Nothing is cached, so that each look asks the daemon.
	return hangingMountWith(t, "attr_timeout=0,entry_timeout=0,negative_timeout=0", from, to)
}

func hangingMountWith(t *testing.T, options, from, to string) *process {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	if _, err := exec.LookPath("bindfs"); err != nil {
		t.Skipf("no bindfs here: %v", err)
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	daemon := start(t, nil, "bindfs", "-f", "-o", options, from, to)
	t.Cleanup(func() {
		daemon.cmd.Process.Signal(syscall.SIGCONT)
		exec.Command("fusermount", "-uz", to).Run()
	})
	for range 100 {
		mounts, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(mounts), " "+to+" fuse") {
			return daemon
		}
		select {
		case <-daemon.done:
			t.Skipf("bindfs cannot mount here: %s", daemon.out)
		case <-time.After(pollEvery):
		}
	}
	t.Fatalf("%s is not mounted: %s", to, daemon.out)
	return nil
}

// TestHangingFolder: the first of two folders stands on a mount whose server stops answering.
func TestHangingFolder(t *testing.T) {
	dir := testDir(t)
	behind, hung, well := filepath.Join(dir, "behind"), filepath.Join(dir, "hung"), filepath.Join(dir, "well")
	writeFiles(t, behind, "a-%d.tmp", 3, 10, 2*time.Hour)
	writeFiles(t, well, "b-%d.tmp", 3, 10, 2*time.Hour)
	daemon := hangingMount(t, behind, hung)
	e := startExporter(t, dir, fmt.Sprintf(`
mode: enforce
trust_loopback: true
standalone: false
sample_interval: 1s
scan_interval: %s
targets:
  - name: app
    temp_dirs:
      - {name: hung, dir: %s, include: ['*.tmp'], max_age: 3h, age_by: mtime, min_age: 1s}
      - {name: well, dir: %s, include: ['*.tmp'], max_age: 3h, age_by: mtime, min_age: 1s}
`, hangInterval, hung, well))
	e.awaitFolders(t, 30*time.Second, "both folders are scanned", 1, 0)

	daemon.standStill(t)
	e.awaitFolders(t, e.threeIntervals(t), "the hung folder is seen", 0, 1)
	if m, _ := e.scrape(); m != nil {
		if _, found := m.sum("spillway_temp_files", "dir=hung"); found {
			t.Error("the series of the hung folder are still there, want them absent")
		}
	}
	if _, err := get(e.url + "/-/ready"); err != nil {
		t.Errorf("not ready: %v", err)
	}
	if page, err := get(e.url + "/"); err != nil || !strings.Contains(page, hung+" has not answered since") {
		t.Errorf("the page does not name the folder: %v", err)
	}
	e.scanGoesOn(t, well)

	for range 2 {
		start := time.Now()
		if status, answer := postSlowly(t, e.url+"/-/reload"); status != http.StatusOK || time.Since(start) > 10*time.Second {
			t.Errorf("reload: %d %s after %s", status, answer, time.Since(start))
		}
	}
	if !strings.Contains(e.out.String(), "does not answer: check whether the server of its mount is alive") {
		t.Error("the reload does not warn of the folder that does not answer")
	}
	e.awaitFolders(t, e.threeIntervals(t), "it is still seen after a reload", 0, 1)
	e.scanGoesOn(t, well)

	daemon.cmd.Process.Signal(syscall.SIGCONT)
	e.awaitFolders(t, 30*time.Second, "everything recovers", 1, 0)
	if n := strings.Count(e.out.String(), `msg="source works again"`); n == 0 {
		t.Error("the log does not say that the source works again")
	}

	within := e.threeIntervals(t)
	daemon.standStill(t)
	e.awaitFolders(t, within, "the folder hangs again", 0, 1)
	e.stopsWithError(t, hung)
	daemon.cmd.Process.Signal(syscall.SIGCONT)
	e.journalIsClosed(t)
}

// threeIntervals is three times the present interval of the folders, which is longer than the
// configured one where scans cost more than their budget, as on a busy host, and one poll of the test.
func (e *exporter) threeIntervals(t *testing.T) time.Duration {
	t.Helper()
	m, err := e.scrape()
	if err != nil {
		t.Fatal(err)
	}
	interval := hangInterval
	if s, found := m.sum("spillway_sampler_interval_seconds", "lane=dirs"); found {
		interval = max(interval, time.Duration(s*float64(time.Second)))
	}
	return 3*interval + time.Second
}

// TestStopWithHangingAction: a clean-up is in the folder when the exporter is stopped.
func TestStopWithHangingAction(t *testing.T) {
	dir := testDir(t)
	behind, hung := filepath.Join(dir, "behind"), filepath.Join(dir, "hung")
	writeFiles(t, behind, "a-%d.tmp", 3, 10, 2*time.Hour)
	daemon := hangingMount(t, behind, hung)
	e := startExporter(t, dir, `
mode: enforce
trust_loopback: true
standalone: false
sample_interval: 1s
scan_interval: 1m
targets:
  - name: app
    temp_dirs: [{name: hung, dir: `+hung+`, include: ['*.tmp'], max_age: 1h, age_by: mtime, min_age: 1s}]
`)
	daemon.standStill(t)
	if status, answer := post(t, e.url+"/api/v1/run", "application/json", "", `{"target":"app","action":"clean_temp"}`); status != http.StatusOK {
		t.Fatalf("run: %d %s", status, answer)
	}
	eventually(t, 10*time.Second, "the action has begun", func() error {
		records, err := e.journal()
		if err == nil && len(records) < 2 {
			err = fmt.Errorf("%d records", len(records))
		}
		return err
	})
	e.stopsWithError(t, "clean_temp")
	daemon.cmd.Process.Signal(syscall.SIGCONT)
	for _, r := range e.journalIsClosed(t) {
		if r.Outcome == "" || r.Outcome == "done" {
			t.Errorf("recorded %+v, want an end that is unknown or interrupted", r)
		}
	}
}

// awaitFolders waits until the hung folder has a success and a lane that is stuck (0: absent), and
// the other one works.
func (e *exporter) awaitFolders(t *testing.T, limit time.Duration, what string, success, stuck float64) {
	t.Helper()
	eventually(t, limit, what, func() error {
		m, err := e.scrape()
		if err != nil {
			return err
		}
		ok, _ := m.sum("spillway_source_success", "source=temp", "name=hung")
		held, found := m.sum("spillway_lane_stuck", "lane=dirs", "source=temp", "target=app", "name=hung")
		other, _ := m.sum("spillway_source_success", "source=temp", "name=well")
		if ok != success || held != stuck || found != (stuck == 1) || other != 1 {
			return fmt.Errorf("success %v, stuck %v (%v), the other folder %v", ok, held, found, other)
		}
		return nil
	})
}

// scanGoesOn makes a file and waits for it to be counted.
func (e *exporter) scanGoesOn(t *testing.T, dir string) {
	t.Helper()
	before := countFiles(t, dir)
	writeFiles(t, dir, fmt.Sprintf("more-%d-%%d.tmp", before), 1, 10, 2*time.Hour)
	eventually(t, max(e.threeIntervals(t), 20*time.Second), "the other folder is still scanned", func() error {
		m, err := e.scrape()
		if err != nil {
			return err
		}
		if n, _ := m.sum("spillway_temp_files", "dir=well"); n != float64(before+1) {
			return fmt.Errorf("%v files, want %d", n, before+1)
		}
		return nil
	})
}

// postSlowly posts with the patience that a reload may need.
func postSlowly(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := (&http.Client{Timeout: 15 * time.Second}).Post(url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Status
}

// stopsWithError terminates the exporter: it ends within 30 s, with an error that names what.
func (e *exporter) stopsWithError(t *testing.T, what string) {
	t.Helper()
	start := time.Now()
	e.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.done:
	case <-time.After(30 * time.Second):
		t.Fatal("it has not ended 30 s after SIGTERM")
	}
	t.Logf("ended after %s with code %d", time.Since(start).Round(time.Millisecond), e.cmd.ProcessState.ExitCode())
	if code := e.cmd.ProcessState.ExitCode(); code <= 0 {
		t.Errorf("exit code %d, want an error", code)
	}
	_, text, _ := strings.Cut(e.out.String(), "shutting down")
	if !strings.Contains(text, "a step did not end as it should") || !strings.Contains(text, what) {
		t.Errorf("the log of the shutdown does not name %s:\n%s", what, text)
	}
}

// journalIsClosed opens the journal for writing, as a new start does, and returns its records.
func (e *exporter) journalIsClosed(t *testing.T) []record {
	t.Helper()
	again := startExporter(t, e.dir, "", "--config.file="+filepath.Join(e.dir, "spillway.yml"))
	if strings.Contains(again.out.String(), "corrupt") || strings.Contains(again.out.String(), "interrupted by the end of the previous process") {
		t.Error("the journal was not closed: what was open is found interrupted by the next start")
	}
	records, err := again.journal()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return records
}

// standStill stops a process, and returns when it stands still: until then it may answer.
func (p *process) standStill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("%v, %v, want it stopped", status, err)
	}
}

// TestCommandsOnHangingFolder: check and cleanup name the folder that does not answer, do the rest and end.
func TestCommandsOnHangingFolder(t *testing.T) {
	t.Parallel() // it waits more than it works
	dir := testDir(t)
	behind, hung, well := filepath.Join(dir, "behind"), filepath.Join(dir, "hung"), filepath.Join(dir, "well")
	writeFiles(t, behind, "a-%d.tmp", 3, 10, 2*time.Hour)
	writeFiles(t, well, "b-%d.tmp", 3, 10, 2*time.Hour)
	daemon := hangingMount(t, behind, hung)
	config := filepath.Join(dir, "spillway.yml")
	text := fmt.Sprintf(`
journal: {dir: %s/journal}
targets:
  - name: app
    temp_dirs:
      - {name: hung, dir: %s, include: ['*.tmp'], max_age: 1h, age_by: mtime, min_age: 1s}
      - {name: well, dir: %s, include: ['*.tmp'], max_age: 1h, age_by: mtime, min_age: 1s}
`, dir, hung, well)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon.standStill(t)
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"check"}, 0, "temp well: would remove 3 of 3 files"},
		{[]string{"cleanup", "--dry-run"}, 3, "app/hung: failed"},
		{[]string{"cleanup", "--enforce"}, 3, "app/hung: unknown"},
	} {
		start := time.Now()
		cmd := exec.CommandContext(t.Context(), "timeout", append([]string{"-s", "KILL", "60", binary(t), "--config.file=" + config}, tc.args...)...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != tc.code || time.Since(start) > 50*time.Second {
			t.Errorf("%v: %v after %s, want exit code %d:\n%s", tc.args, err, time.Since(start), tc.code, out)
		}
		for _, want := range []string{tc.says, `"` + hung + `" has not answered for 15s: check whether the server of its mount is alive`} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%v does not say %q:\n%s", tc.args, want, out)
			}
		}
	}
	if left, err := os.ReadDir(well); err != nil || len(left) != 0 {
		t.Errorf("%d files are left in the folder that answers, %v", len(left), err)
	}
}
