//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	httppprof "net/http/pprof"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/refuse"
)

// execEnv makes the test binary refuse system calls and become the program of its arguments.
const execEnv = "SPILLWAY_E2E_EXEC"

func TestMain(m *testing.M) {
	if tree := os.Getenv(treeEnv); tree != "" {
		os.Exit(beTree(tree))
	}
	if os.Getenv(execEnv) == "" {
		os.Exit(m.Run())
	}
	_, err := refuse.FromEnvironment()
	if err == nil {
		err = syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(99)
}

// refusals are the calls that are refused in turn, and what does not work then: by command or action,
// the call that its error must name. All else must give what it gives with every call.
var refusals = []struct {
	calls  string
	refuse map[string]string
}{
	{"openat2:ENOSYS", nil},
	{"openat2:EPERM", nil},
	{"statx:ENOSYS", nil},
	{"openat2:EPERM,statx:EPERM", nil},
	{"renameat2:ENOSYS", nil},
	{"renameat2:EINVAL", nil},
	{"faccessat2:ENOSYS", nil},
	{"faccessat2:EPERM", nil},
	{"pidfd_open:ENOSYS", nil},
	{"pidfd_send_signal:ENOSYS", map[string]string{"signal": "pidfd_send_signal", "check": "pidfd_send_signal", "cleanup --dry-run": "pidfd_send_signal", "cleanup --enforce": "pidfd_send_signal", "rotate_logs": "pidfd_send_signal"}},
	{"memfd_create:ENOSYS", map[string]string{"journal": "memfd_create"}},
	{"copy_file_range:ENOSYS", nil},
	{"clone3:ENOSYS", nil},
	{"close_range:ENOSYS", nil},
	{"fallocate:ENOSYS", nil},
}

// refusedHost is a folder for each kind of policy, a process that handles SIGHUP, and their configuration.
type refusedHost struct {
	dir, config string
	address     string // of the service
	calls       string
	prefix      []string // before each command, such as strace
}

func newRefusedHost(t *testing.T, calls string) *refusedHost {
	t.Helper()
	h := &refusedHost{dir: testDir(t), calls: calls}
	writeFiles(t, h.dir+"/temp/sub", "t%d.wav", 6, 3000, 5*time.Hour)
	writeFiles(t, h.dir+"/cache", "c%d.json", 10, 5000, 5*time.Hour)
	writeFiles(t, h.dir+"/uploads", "u%d.mp4", 4, 5000, 5*time.Hour)
	writeFiles(t, h.dir+"/copied", "a%d.log", 2, 30000, time.Hour)
	writeFiles(t, h.dir+"/renamed", "b%d.log", 2, 30000, time.Hour)
	for _, dir := range []string{"/quarantine", "/outside"} {
		if err := os.Mkdir(h.dir+dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeFiles(t, h.dir+"/outside", "stolen%d.wav", 2, 10, 5*time.Hour)
	if err := os.Symlink(h.dir+"/outside", h.dir+"/temp/link"); err != nil {
		t.Fatal(err)
	}
	service := start(t, nil, "/bin/sh", "-c", "trap : HUP; echo ready; while :; do read x <&-; /bin/sleep 0.2; done # "+h.dir)
	eventually(t, startLimit, "the service handles SIGHUP", func() error {
		if !strings.Contains(service.out.String(), "ready") {
			return fmt.Errorf("it is not ready")
		}
		return nil
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/heap", httppprof.Index)
	mux.HandleFunc("/relieve", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	h.address = server.Listener.Addr().String()
	h.config = strings.NewReplacer("DIR", h.dir, "ADDRESS", h.address).Replace(`mode: enforce
trust_loopback: true
standalone: false
sample_interval: 1s
journal: {dir: DIR/journal}
targets:
  - name: svc
    processes: {match: {cmdline: 'trap : HUP; .* # DIR'}, children: false}
    heap: {provider: go_pprof, address: ADDRESS, limit: 1GiB}
    temp_dirs: [{name: temp, dir: DIR/temp, include: ['*.wav'], recursive: true, max_age: 1h, age_by: mtime, min_age: 1s, strict: true}]
    caches: [{name: cache, dir: DIR/cache, include: ['*.json'], max_entries: 4, evict_to: 100%, age_by: mtime, lru_by: mtime, min_age: 1s}]
    uploads: [{name: uploads, dir: DIR/uploads, include: ['*.mp4'], max_age: 1h, age_by: mtime, min_age: 1s, quarantine: DIR/quarantine}]
    logs:
      - {name: copied, dir: DIR/copied, include: ['*.log'], max_bytes: 10KB, keep_files: 3, compress: true}
      - {name: renamed, dir: DIR/renamed, include: ['*.log'], max_bytes: 10KB, keep_files: 3, rotate: rename, signal: SIGHUP}
    playbooks:
      relieve_memory:
        - clean_temp
        - evict_cache
        - enforce_uploads
        - rotate_logs
        - {do: signal, signal: SIGHUP}
        - {do: command, argv: [/bin/true]}
        - {do: http, url: 'http://ADDRESS/relieve'}
        - collect_garbage
        - {do: reclaim_cgroup, amount: 1MiB}
`)
	if err := os.WriteFile(h.dir+"/spillway.yml", []byte(h.config), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *refusedHost) environment() []string {
	return []string{execEnv + "=1", refuse.Variable + "=" + h.calls}
}

// run runs a command and returns what it said.
func (h *refusedHost) run(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	argv := slices.Concat(h.prefix, []string{os.Args[0], binary(t), "--config.file=" + h.dir + "/spillway.yml"}, args)
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), h.environment()...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return h.normal(fmt.Sprintf("%s\n%v", out.String(), err))
}

var (
	took   = regexp.MustCompile(`after [\d.]+m?s`)
	times  = regexp.MustCompile(`\d{8}T\d{6}Z(-\d+-)?`)
	passed = regexp.MustCompile(`(?m)^(warning: openat2.*| +\d+  .*resident| +\d+ +"?(sh|sleep)\b.*| +\d+ process.*|.*no process matches now)\n`)
)

// normal leaves out what differs between two runs.
func (h *refusedHost) normal(s string) string {
	s = strings.NewReplacer(h.dir, "DIR", h.address, "ADDRESS").Replace(s)
	s = took.ReplaceAllString(s, "")
	return times.ReplaceAllString(passed.ReplaceAllString(s, ""), "TIME")
}

// tree lists the files of the folders with their sizes.
func (h *refusedHost) tree(t *testing.T) string {
	t.Helper()
	var out []string
	for _, dir := range []string{"temp", "cache", "uploads", "quarantine", "outside", "copied", "renamed"} {
		err := filepath.WalkDir(filepath.Join(h.dir, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil && (strings.HasSuffix(path, ".gz") || !d.Type().IsRegular()) {
				out = append(out, h.normal(path)) // a header with the time, and a link with a path
				return nil
			}
			out = append(out, fmt.Sprintf("%s %d", h.normal(path), info.Size()))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// serve runs the playbook of all actions, and returns the result of each.
func (h *refusedHost) serve(t *testing.T) (out map[string]string) {
	t.Helper()
	e := startExporterAs(t, slices.Concat(h.prefix, []string{os.Args[0], binary(t)}), h.environment(), "127.0.0.1:0", h.dir, "", "--config.file="+h.dir+"/spillway.yml")
	eventually(t, startLimit, "the process is seen", func() error {
		m, err := e.scrape()
		if err != nil {
			return err
		}
		if n, _ := m.sum("spillway_processes", "target=svc"); n != 1 {
			return fmt.Errorf("%v processes", n)
		}
		return nil
	})
	if status, answer := post(t, e.url+"/api/v1/run", "application/json", "", `{"target":"svc","playbook":"relieve_memory"}`); status != http.StatusOK {
		t.Fatalf("run: %d %s", status, answer)
	}
	eventually(t, startLimit, "the playbook has run", func() error {
		records, err := e.journal()
		if err == nil && len(runs(records, "relieve_memory")) == 0 {
			err = fmt.Errorf("%d records", len(records))
		}
		return err
	})
	records, err := e.journal()
	if err != nil {
		t.Fatal(err)
	}
	out = make(map[string]string)
	for _, r := range records {
		if r.Step > 0 {
			if r.Action == "collect_garbage" { // with sizes that no two runs share
				out[r.Action] = r.Outcome
				continue
			}
			skipped, _ := json.Marshal(r.Skipped)
			out[r.Action] = h.normal(fmt.Sprintf("%s, %d files, %d bytes, skipped %s %s %s", r.Outcome, r.Files, r.Bytes, skipped, r.Error, r.Detail))
		}
	}
	out["log"] = fmt.Sprintf("%d warnings", strings.Count(e.out.String(), "a system call is refused"))
	out["tree of serve"] = h.tree(t)
	e.stop()
	return out
}

// everything runs each command and action, and returns what each gave.
func everything(t *testing.T, calls string) map[string]string {
	t.Helper()
	h := newRefusedHost(t, calls)
	out := h.serve(t)
	out["journal"] = exitOf(h.run(t, "journal"))
	h = newRefusedHost(t, calls)
	for _, args := range [][]string{{"check", "--web.listen-address=127.0.0.1:0"}, {"cleanup", "--dry-run"}, {"cleanup", "--enforce"}} {
		out[strings.TrimSuffix(strings.Join(args, " "), " --web.listen-address=127.0.0.1:0")] = h.run(t, args...)
	}
	out["tree of cleanup"] = h.tree(t)
	return out
}

// exitOf is the error of a command, and nothing of what it printed when it went well.
func exitOf(out string) string {
	if strings.HasSuffix(out, "\n<nil>") {
		return "ok"
	}
	return out
}

// TestWithoutSystemCalls holds every command and action under each refusal against what they do
// with all calls.
func TestWithoutSystemCalls(t *testing.T) {
	want := everything(t, "")
	for action, outcome := range want {
		if slices.Contains([]string{"clean_temp", "evict_cache", "enforce_uploads", "rotate_logs", "signal", "command", "http", "collect_garbage"}, action) && !strings.HasPrefix(outcome, "done") {
			t.Errorf("with every call %s: %s: the test tests nothing", action, outcome)
		}
	}
	for _, command := range []string{"check", "cleanup --dry-run", "cleanup --enforce", "journal"} {
		if exitOf(want[command]) != "ok" && want[command] != "ok" {
			t.Errorf("with every call %s: %s: the test tests nothing", command, want[command])
		}
	}
	for _, c := range refusals {
		t.Run(strings.ReplaceAll(c.calls, ",", " and "), func(t *testing.T) {
			got := everything(t, c.calls)
			for _, what := range slices.Sorted(maps.Keys(want)) {
				name := cmp.Or(c.refuse[what], c.refuse[strings.TrimPrefix(what, "tree of ")])
				warned := strings.Contains(c.calls, "openat2") || strings.Contains(c.calls, "pidfd_send_signal")
				switch {
				case what == "log":
					if got[what] != map[bool]string{false: "0 warnings", true: "1 warnings"}[warned] {
						t.Errorf("%s", got[what])
					}
				case strings.HasPrefix(what, "tree") && len(c.refuse) > 1: // what was refused differs
				case name != "":
					if !strings.Contains(got[what], name) {
						t.Errorf("%s does not name %s: %s", what, name, got[what])
					}
				default:
					if diff := gocmp.Diff(want[what], got[what]); diff != "" {
						t.Errorf("%s (-with every call +without):\n%s", what, diff)
					}
				}
			}
		})
	}
}
