//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// answerLimit is how long any answer may take, whatever happens to the journal.
const answerLimit = 5 * time.Second

// trouble is what happens to the journal of a running exporter.
type trouble struct {
	name    string
	prepare func(t *testing.T, dir string) // makes dir/journal, before the start
	strike  func(t *testing.T, file string)
	pageOut bool                            // the file is not in memory when it strikes
	heal    func(t *testing.T, file string) // nil: only a new start helps
	reload  bool                            // the exporter needs a reload after heal
	says    string                          // on the page and in the answers
}

var troubles = []trouble{
	{name: "truncated", strike: cutFile(0), says: "the journal is damaged"},
	{name: "cut short", strike: cutFile(3), says: "the journal is damaged"},
	{name: "random bytes 1", strike: randomBytes(1), says: "the journal is damaged"},
	{name: "random bytes 2", strike: randomBytes(2), says: "the journal is damaged"},
	{name: "random bytes 3", strike: randomBytes(3), says: "the journal is damaged"},
	{name: "an older copy over it", strike: restoreOlder, says: "the journal is damaged"},
	{name: "damaged and replaced", strike: cutFile(0), says: "the journal is damaged", heal: moveFileAway, reload: true},
	{name: "removed", strike: removeFile, says: "no longer in its place"},
	{name: "removed and reloaded", strike: removeFile, heal: func(*testing.T, string) {}, reload: true, says: "no longer in its place"},
	{name: "folder moved and back", strike: moveFolder, heal: moveFolderBack, says: "no longer in its place"},
	{name: "folder moved and reloaded", strike: moveFolder, heal: func(*testing.T, string) {}, reload: true, says: "no longer in its place"},
	{name: "ENOSPC", prepare: smallDisk, strike: fillDisk, heal: emptyDisk, says: "no space left on device"},
	{name: "EROFS", prepare: loopDisk, strike: turnReadOnly, says: "read-only file system"},
	{name: "EIO", prepare: loopDisk, strike: shutDownDisk, says: "input/output error"},
	{name: "thin disk is full", prepare: loopDisk, strike: failNewBlocks, heal: freeBlocks, says: "no space left on device"},
	{name: "daemon killed", prepare: fuseDisk, strike: signalDaemon(syscall.SIGKILL), says: "transport endpoint is not connected"},
	{name: "hung disk", prepare: fuseDisk, strike: signalDaemon(syscall.SIGSTOP), heal: signalDaemon(syscall.SIGCONT), says: "does not answer"},
	{name: "hung disk paged out", prepare: cachingFuseDisk, pageOut: true, strike: signalDaemon(syscall.SIGSTOP), heal: signalDaemon(syscall.SIGCONT), says: "does not answer"},
	{name: "hung disk for good", prepare: fuseDisk, strike: signalDaemon(syscall.SIGSTOP), says: "does not answer"},
}

// TestJournalInTrouble: with a journal that cannot be used, the exporter answers at once, does
// nothing unrecorded, ends in its time, and goes on where it safely can.
func TestJournalInTrouble(t *testing.T) {
	for i := range troubles {
		tr := &troubles[i]
		t.Run(tr.name, func(t *testing.T) {
			dir := testDir(t)
			file := filepath.Join(dir, "journal", "journal.db")
			if tr.prepare != nil {
				tr.prepare(t, dir)
			}
			tmp := filepath.Join(dir, "tmp")
			writeFiles(t, tmp, "before-%d.tmp", 3, 10, 2*time.Hour)
			e := startExporter(t, dir, `
mode: enforce
trust_loopback: true
standalone: false
sample_interval: 1s
scan_interval: 1s
targets:
  - name: svc
    temp_dirs: [{name: tmp, dir: `+tmp+`, include: ['*.tmp'], max_age: 1h, age_by: mtime, min_age: 1s}]
`)
			t.Cleanup(func() { wakeDaemon(file) })
			if older, err := os.ReadFile(file); err != nil {
				t.Error(err)
			} else if err := os.WriteFile(filepath.Join(dir, "older.db"), older, 0o600); err != nil {
				t.Error(err)
			}
			e.cleans(t, tmp)
			writeFiles(t, tmp, "during-%d.tmp", 3, 10, 2*time.Hour)
			if tr.pageOut {
				e.pageOut(t, file)
			}
			tr.strike(t, file)
			e.refuses(t, tr, tmp)
			if tr.heal != nil {
				tr.heal(t, file)
				if tr.reload {
					if status, answer := post(t, e.url+"/-/reload", "", "", ""); status != http.StatusOK {
						t.Errorf("reload: %d %s", status, answer)
					}
				}
				e.cleans(t, tmp)
			}
			e.endsInTime(t)
		})
	}
}

// cleans runs the clean-up until it has emptied the folder, and finds it in the journal.
func (e *exporter) cleans(t *testing.T, tmp string) {
	t.Helper()
	eventually(t, 30*time.Second, "a clean-up", func() error {
		status, answer := e.ask(t, http.MethodPost, "/api/v1/run", `{"target":"svc","action":"clean_temp"}`)
		if status != http.StatusOK {
			return fmt.Errorf("run: %d %s", status, answer)
		}
		return nil
	})
	eventually(t, 20*time.Second, "the folder is empty and the runs are recorded", func() error {
		if n := countFiles(t, tmp); n > 0 {
			return fmt.Errorf("%d files are left", n)
		}
		records, err := e.journal()
		if err == nil && len(runsOf(records)) == 0 {
			err = fmt.Errorf("no run is recorded in %d records", len(records))
		}
		for _, r := range records {
			if r.Outcome == "" {
				err = fmt.Errorf("open: %+v", r)
			}
		}
		return err
	})
}

func runsOf(records []record) (out []record) {
	for _, r := range records {
		if r.Step > 0 && r.Files > 0 {
			out = append(out, r)
		}
	}
	return out
}

// ask sends a request, which must be answered within answerLimit.
func (e *exporter) ask(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, e.url+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	start := time.Now()
	resp, err := (&http.Client{Timeout: 2 * answerLimit}).Do(req)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return 0, ""
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if took := time.Since(start); took > answerLimit {
		t.Errorf("%s %s: %d after %s", method, path, resp.StatusCode, took.Round(time.Millisecond))
	}
	return resp.StatusCode, string(answer)
}

const tempAlert = `{"version":"4","status":"firing","receiver":"spillway","groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"","groupKey":"g",
"alerts":[{"status":"firing","labels":{"alertname":"SpillwayTempFilesPiledUp","target":"svc","playbook":"clean_temp","severity":"warning","n":"%d"},"annotations":{},
"startsAt":"2026-01-02T03:04:05Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"%016x"}]}`

// refuses checks that everything answers, several times and at once, and that nothing is removed.
func (e *exporter) refuses(t *testing.T, tr *trouble, tmp string) {
	t.Helper()
	start := countFiles(t, tmp)
	eventually(t, 60*time.Second, "the trouble is noticed", func() error { // some writes fit in what is there already
		m, err := e.scrape()
		if err != nil {
			return err
		}
		if start > countFiles(t, tmp) {
			writeFiles(t, tmp, "during-%d.tmp", 3, 10, 2*time.Hour)
		}
		status, answer := e.ask(t, http.MethodPost, "/api/v1/run", `{"target":"svc","action":"clean_temp","force":true}`)
		if v, _ := m.sum("spillway_journal_writable"); v != 0 || status != http.StatusServiceUnavailable {
			return fmt.Errorf("spillway_journal_writable %v, run %d %s", v, status, answer)
		}
		return nil
	})
	start = countFiles(t, tmp)
	for round := range 3 {
		var asked sync.WaitGroup
		for n := range 5 {
			asked.Go(func() {
				if status, answer := e.ask(t, http.MethodPost, "/api/v1/webhook", fmt.Sprintf(tempAlert, n, 100*round+n+1)); status != http.StatusServiceUnavailable {
					t.Errorf("webhook: %d %s", status, answer)
				}
				if status, answer := e.ask(t, http.MethodPost, "/api/v1/run", `{"target":"svc","action":"clean_temp"}`); status != http.StatusServiceUnavailable {
					t.Errorf("run: %d %s", status, answer)
				}
				e.ask(t, http.MethodGet, "/api/v1/journal", "")
			})
		}
		for _, path := range []string{"/-/healthy", "/-/ready", "/metrics"} {
			if status, answer := e.ask(t, http.MethodGet, path, ""); status != http.StatusOK {
				t.Errorf("%s: %d %s", path, status, answer)
			}
		}
		if _, page := e.ask(t, http.MethodGet, "/", ""); !strings.Contains(page, tr.says) {
			t.Errorf("the page does not say %q: %s", tr.says, journalLine(page))
		}
		asked.Wait()
	}
	if m, err := e.scrape(); err != nil {
		t.Error(err)
	} else if v, _ := m.sum("spillway_journal_writable"); v != 0 {
		t.Error("spillway_journal_writable is 1")
	}
	if n := countFiles(t, tmp); n != start {
		t.Errorf("%d files are left, want %d: something was removed without a record", n, start)
	}
}

func journalLine(page string) string {
	for line := range strings.Lines(page) {
		if strings.Contains(line, "The journal ") {
			return line
		}
	}
	return "it does not mention the journal"
}

// endsInTime terminates the exporter: it is gone within 30 s.
func (e *exporter) endsInTime(t *testing.T) {
	t.Helper()
	start := time.Now()
	e.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.done:
		t.Logf("ended after %s with code %d", time.Since(start).Round(time.Millisecond), e.cmd.ProcessState.ExitCode())
	case <-time.After(30 * time.Second):
		if e.leavesKernel(t) {
			t.Log("every thread has ended; the kernel closes its files as soon as the disk answers")
			return
		}
		t.Error("it has not ended 30 s after SIGTERM")
	}
}

// leavesKernel reports whether each thread of the process has ended its life in user space. FUSE
// has the end of a process wait for the daemon, where a file is open.
func (e *exporter) leavesKernel(t *testing.T) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", e.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		const exiting = 4 // PF_EXITING
		_, rest, _ := strings.Cut(string(stat), ") ")
		if flags, err := strconv.ParseUint(strings.Fields(rest)[6], 10, 64); err != nil || flags&exiting == 0 {
			return false
		}
	}
	return true
}

// TestSecondExporterAtAJournalThatIsGone: the folder of the journal is emptied under an exporter,
// and another one begins a journal there: one of them acts.
func TestSecondExporterAtAJournalThatIsGone(t *testing.T) {
	dir := testDir(t)
	tmp := filepath.Join(dir, "tmp")
	writeFiles(t, tmp, "a-%d.tmp", 3, 10, 2*time.Hour)
	config := `
mode: enforce
trust_loopback: true
standalone: false
sample_interval: 1s
targets:
  - name: svc
    temp_dirs: [{name: tmp, dir: ` + tmp + `, include: ['*.tmp'], max_age: 1h, age_by: mtime, min_age: 1s}]
`
	first := startExporter(t, dir, config)
	removeFile(t, filepath.Join(dir, "journal", "journal.db"))
	second := startExporter(t, dir, "", "--config.file="+filepath.Join(dir, "spillway.yml"))
	for range 3 {
		if status, answer := first.ask(t, http.MethodPost, "/api/v1/run", `{"target":"svc","action":"clean_temp"}`); status != http.StatusServiceUnavailable {
			t.Fatalf("the first exporter: %d %s", status, answer)
		}
	}
	if status, answer := post(t, first.url+"/-/reload", "", "", ""); status != http.StatusOK {
		t.Errorf("reload: %d %s", status, answer)
	}
	if status, answer := first.ask(t, http.MethodPost, "/api/v1/run", `{"target":"svc","action":"clean_temp"}`); status != http.StatusServiceUnavailable {
		t.Fatalf("the first exporter after a reload: %d %s", status, answer)
	}
	if n := countFiles(t, tmp); n != 3 {
		t.Errorf("%d files are left, want 3", n)
	}
	second.cleans(t, tmp)
	second.endsInTime(t)
	if status, answer := post(t, first.url+"/-/reload", "", "", ""); status != http.StatusOK {
		t.Errorf("reload: %d %s", status, answer)
	}
	first.cleans(t, tmp)
	first.endsInTime(t)
}
