//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inside is a process whose /tmp is its own.
type inside struct {
	*process
	pidfile string
}

// startInside runs a script in a private /tmp, by a command line that makes the namespaces, and keeps the
// process. The pid file names it from when the script has ended.
func startInside(t *testing.T, pidfile string, by []string, script string) *inside {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mount namespaces need root")
	}
	p := &inside{start(t, nil, append(slices.Clone(by), "bash", "-ec",
		"mount -t tmpfs -o mode=1777 tmpfs /tmp\n"+script+"\necho ready\nexec sleep 1000000")...), pidfile}
	eventually(t, startLimit, "the process is ready", func() error {
		if !strings.Contains(p.out.String(), "ready") {
			return errors.New(p.out.String())
		}
		return nil
	})
	if err := os.WriteFile(pidfile, []byte(strconv.Itoa(p.cmd.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// private gives a process of root mounts of its own, and hostile a process of a user, who makes a user
// namespace for it.
var (
	private = []string{"unshare", "-m"}
	hostile = []string{"setpriv", "--reuid=4242", "--regid=4242", "--clear-groups", "unshare", "-U", "-r", "-m"}
)

// names returns the names in a folder as the process sees it.
func (p *inside) names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "root", dir))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// sh runs a script where the process is.
func (p *inside) sh(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command("nsenter", "-t", strconv.Itoa(p.cmd.Process.Pid), "-m", "bash", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func insideConfig(mode, pidfile, dir string) string {
	return fmt.Sprintf(`
mode: %s
trust_loopback: true
sample_interval: 1s
scan_interval: 1s
standalone: false
targets:
  - name: app
    processes: {match: {pidfile: %s}}
    temp_dirs:
      - {name: tmp, dir: %s, target_root: true, include: ['*.tmp'], age_by: mtime, max_age: 1h, min_age: 1s}
`, mode, pidfile, dir)
}

// expect waits for a series of the target's folder; below 0 it waits until there is none.
func (e *exporter) expect(t *testing.T, name string, want float64) {
	t.Helper()
	eventually(t, startLimit, fmt.Sprintf("%s is %v", name, want), func() error {
		m, err := e.scrape()
		if err != nil {
			return err
		}
		got, found := m.sum(name, "target=app")
		if name == "spillway_source_success" {
			got, found = m.sum(name, "target=app", "source=temp")
		}
		if found != (want >= 0) || found && got != want {
			return fmt.Errorf("%v, found %v, want %v\n%s", got, found, want, e.errors())
		}
		return nil
	})
}

// errors returns what the log says of sources.
func (e *exporter) errors() string {
	var out []string
	for line := range strings.Lines(e.out.String()) {
		if strings.Contains(line, "source=temp") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// clean runs clean_temp and returns the record of its step.
func (e *exporter) clean(t *testing.T) record {
	t.Helper()
	var answer struct {
		RunID string `json:"run_id"`
	}
	eventually(t, startLimit, "the run begins", func() error {
		status, text := post(t, e.url+"/api/v1/run", "application/json", "", `{"target": "app", "action": "clean_temp"}`)
		if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.RunID == "" {
			return fmt.Errorf("%d %s", status, text)
		}
		return nil
	})
	var step record
	eventually(t, startLimit, "the run ends", func() error {
		records, err := e.journal()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(records, func(r record) bool { return r.RunID == answer.RunID && r.Step == 1 && r.Outcome != "" })
		if i < 0 {
			return errors.New("no result yet")
		}
		step = records[i]
		return nil
	})
	return step
}

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestTargetRoot: the private /tmp of a process is observed, planned and cleaned, and the host's is not.
func TestTargetRoot(t *testing.T) {
	dir := testDir(t)
	same := "/tmp/spillway-e2e-" + strconv.Itoa(os.Getpid()) + ".tmp" // a name that the host's /tmp has too
	if err := os.WriteFile(same, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(same) })
	if err := os.Chtimes(same, time.Now(), time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	leak := "cd /tmp; mkdir sub; touch -d '2 hours ago' a.tmp sub/b.tmp held.tmp " + same + "; touch young.tmp; exec 7<held.tmp"
	p := startInside(t, dir+"/pid", private, leak)

	e := startExporter(t, dir, insideConfig("dry_run", p.pidfile, "/tmp"))
	e.expect(t, "spillway_temp_files", 5)
	e.expect(t, "spillway_temp_expired_files", 4)
	if r := e.clean(t); r.Outcome != "dry_run" || r.Files != 3 || r.Skipped["in_use"] != 1 {
		t.Errorf("dry run: %+v", r)
	}
	equal(t, "after a dry run", p.names(t, "/tmp"), "a.tmp", "sub", "held.tmp", filepath.Base(same), "young.tmp")
	e.stop()

	e = startExporter(t, dir, insideConfig("enforce", p.pidfile, "/tmp"))
	if r := e.clean(t); r.Outcome != "done" || r.Files != 3 || r.Skipped["in_use"] != 1 {
		t.Errorf("%+v", r)
	}
	equal(t, "after a run", p.names(t, "/tmp"), "sub", "held.tmp", "young.tmp")
	if _, err := os.Stat(same); err != nil {
		t.Errorf("the host's own file: %v", err)
	}
	e.expect(t, "spillway_temp_files", 2)
	page, err := get(e.url + "/")
	if err != nil || !strings.Contains(page, "Temp, uploads, logs") {
		t.Errorf("the page: %v", err)
	}

	p.kill()
	e.expect(t, "spillway_temp_files", -1)
	if r := e.clean(t); r.Outcome != "done" || r.Files != 0 || !strings.Contains(r.Detail, "no process of the target runs") {
		t.Errorf("without the process: %+v", r)
	}
	startInside(t, p.pidfile, private, "touch -d '2 hours ago' /tmp/new.tmp")
	e.expect(t, "spillway_temp_files", 1)
	e.expect(t, "spillway_source_success", 1)
	if r := e.clean(t); r.Outcome != "done" || r.Files != 1 {
		t.Errorf("of the next process: %+v", r)
	}
}

// TestTargetRootOfTheHost: without a /tmp of its own the process has the host's.
func TestTargetRootOfTheHost(t *testing.T) {
	dir := testDir(t)
	p := startInside(t, dir+"/pid", private, "umount -l /tmp; cd /")
	e := startExporter(t, dir, insideConfig("enforce", p.pidfile, "/tmp"))
	e.expect(t, "spillway_source_success", 0)
	if r := e.clean(t); r.Outcome != "failed" || r.Files != 0 || !strings.Contains(r.Detail, "this host's own /tmp") {
		t.Errorf("%+v", r)
	}
}

// TestTargetRootHostile: who makes a user namespace gets no file removed that is not his.
func TestTargetRootHostile(t *testing.T) {
	dir := testDir(t)
	for up := dir; up != "/tmp" && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeFiles(t, dir+"/victim", "%d.tmp", 5, 1, 2*time.Hour)
	writeFiles(t, dir+"/mixed", "root-%d.tmp", 3, 1, 2*time.Hour)
	writeFiles(t, dir+"/mixed", "own-%d.tmp", 2, 1, 2*time.Hour)
	if out, err := exec.Command("bash", "-ec", "chown 4242:4242 "+dir+"/mixed "+dir+"/mixed/own*").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, tc := range map[string]struct {
		outcome, says string
		files         int64
		left          int
	}{
		"victim": {"failed", "belongs to user 0, whom its user namespace does not have", 0, 5},
		"mixed":  {"done", "", 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			own := testDir(t)
			p := start(t, nil, append(slices.Clone(hostile), "bash", "-ec", fmt.Sprintf(
				"mount -t tmpfs tmpfs /mnt; mkdir /mnt/shown; mount --bind %s/%s /mnt/shown; echo ready; exec sleep 1000000", dir, name))...)
			eventually(t, startLimit, "the process is ready", func() error {
				if !strings.Contains(p.out.String(), "ready") {
					return errors.New(p.out.String())
				}
				return nil
			})
			if err := os.WriteFile(own+"/pid", []byte(strconv.Itoa(p.cmd.Process.Pid)), 0o644); err != nil {
				t.Fatal(err)
			}
			e := startExporter(t, own, insideConfig("enforce", own+"/pid", "/mnt/shown"))
			r := e.clean(t)
			if r.Outcome != tc.outcome || r.Files != tc.files || !strings.Contains(r.Detail, tc.says) {
				t.Errorf("%+v, want %+v", r, tc)
			}
			if name == "mixed" && r.Skipped["foreign"] != 3 {
				t.Errorf("skipped %v, want 3 foreign files", r.Skipped)
			}
			if n := countFiles(t, dir+"/"+name); n != tc.left {
				t.Errorf("%d files are left, want %d", n, tc.left)
			}
			e.expect(t, "spillway_source_success", map[string]float64{"victim": 0, "mixed": 1}[name])
		})
	}
}

// TestTargetRootSwapped: a folder that the process exchanges for a link, or for another one, is refused.
func TestTargetRootSwapped(t *testing.T) {
	dir := testDir(t)
	p := startInside(t, dir+"/pid", private, "mkdir -p /tmp/app/cache /tmp/other/cache; touch -d '2 hours ago' /tmp/app/cache/a.tmp /tmp/other/cache/b.tmp")
	e := startExporter(t, dir, insideConfig("enforce", p.pidfile, "/tmp/app/cache"))
	e.expect(t, "spillway_temp_files", 1)
	p.sh(t, "mv /tmp/app /tmp/was; ln -s other /tmp/app")
	if r := e.clean(t); r.Outcome != "failed" || !strings.Contains(r.Detail, "/tmp/app is a symbolic link") {
		t.Errorf("a link: %+v", r)
	}
	e.expect(t, "spillway_source_success", 0)
	p.sh(t, "rm /tmp/app; mv /tmp/other /tmp/app")
	if r := e.clean(t); r.Outcome != "failed" || !strings.Contains(r.Detail, "is not the one that was first seen of process") {
		t.Errorf("another folder: %+v", r)
	}
	equal(t, "in the other folder", p.names(t, "/tmp/app/cache"), "b.tmp")
	p.sh(t, "rm -r /tmp/app; mv /tmp/was /tmp/app")
	if r := e.clean(t); r.Outcome != "done" || r.Files != 1 {
		t.Errorf("as it was: %+v", r)
	}
}

// TestTargetRootEnds: a process that ends in the middle of a run costs nothing but its own files.
func TestTargetRootEnds(t *testing.T) {
	dir := testDir(t)
	p := startInside(t, dir+"/pid", private, "mkdir /tmp/many; cd /tmp/many; seq -f '%.0f.tmp' 1 40000 | xargs touch -d '2 hours ago'; cd /")
	e := startExporter(t, dir, insideConfig("enforce", p.pidfile, "/tmp/many"))
	e.expect(t, "spillway_temp_files", 40000)
	held, err := os.Open(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "root/tmp/many"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	_, text := post(t, e.url+"/api/v1/run", "application/json", "", `{"target": "app", "action": "clean_temp"}`)
	eventually(t, startLimit, "the run removes", func() error {
		names, err := held.Readdirnames(-1)
		held.Seek(0, 0)
		if err != nil || len(names) == 40000 {
			return fmt.Errorf("%d files, %w: %s", len(names), err, text)
		}
		return nil
	})
	p.cmd.Process.Signal(syscall.SIGKILL)
	eventually(t, startLimit, "the run ends", func() error {
		records, err := e.journal()
		for _, r := range records {
			if r.Step == 1 && r.Outcome == "done" && r.Files+r.Skipped["changed"] == 40000 {
				return nil
			}
		}
		return fmt.Errorf("%+v, %w", records, err)
	})
	e.expect(t, "spillway_temp_files", -1)
}
