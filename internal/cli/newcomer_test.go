package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

// TestTopHelpListsServe: the flags that errors and documents point to are in the help that is asked for first.
func TestTopHelpListsServe(t *testing.T) {
	top := help(t)
	for _, want := range []string{"\nFlags of serve, which runs when no command is named:\n", "--web.listen-address=", "--web.telemetry-path=", "--web.config.file=", "\nFlags of every command:\n", "--config.file=FILE"} {
		if !strings.Contains(top, want) {
			t.Errorf("no %q in\n%s", want, top)
		}
	}
	if strings.Contains(top, "[no-]") || strings.Count(top, "Flags of serve") != 1 {
		t.Error(top)
	}
}

// TestConfigOfTheHost: the file of the host is read where no flag names one, an empty flag asks for the embedded
// defaults, and one that may not be looked at is not skipped.
func TestConfigOfTheHost(t *testing.T) {
	dir := realDir(t)
	file := filepath.Join(dir, "spillway.yml")
	f := func(want string, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		code := Main(t.Context(), args, Options{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: time.Now, ConfigFile: file})
		if code != ExitOK || !strings.HasPrefix(out.String(), want) {
			t.Errorf("%q: exit code %d, want %q first:\n%s%s", args, code, want, out.String(), errs.String())
		}
	}
	f("embedded defaults: ok", "check")
	writeTest(t, file, "journal: {dir: "+dir+"/journal}\n"+tempTarget(dir))
	f(file+": ok", "check")
	f("embedded defaults: ok", "check", "--config.file=")
	other := filepath.Join(dir, "other.yml")
	writeTest(t, other, tempTarget(dir))
	f(other+": ok", "check", "--config.file="+other)
	e := &env{Options: Options{ConfigFile: file}}
	if got := strings.Join(e.targetNames(), " "); got != "app" {
		t.Errorf("the completion knows the targets %q", got)
	}
	writeTest(t, filepath.Join(dir, "plain"), "")
	e = &env{Options: Options{ConfigFile: filepath.Join(dir, "plain", "spillway.yml")}}
	if e.findConfig(); e.configFile != "" {
		t.Error("what cannot exist was found")
	}
	e = &env{Options: Options{ConfigFile: filepath.Join(dir, strings.Repeat("x", 300))}}
	if e.findConfig(); e.configFile == "" {
		t.Error("what cannot be looked at was skipped")
	}
}

const strangerEnv = "SPILLWAY_TEST_STRANGER"

// TestAsStranger is the command line as another user; TestJournalMayNotBeRead runs it.
func TestAsStranger(t *testing.T) {
	args := os.Getenv(strangerEnv)
	if args == "" {
		t.Skip("is run by TestJournalMayNotBeRead")
	}
	r := runLine(t, strings.Fields(args)...)
	fmt.Printf("code %d\n%s%s", r.code, r.out, r.errs)
}

// TestJournalMayNotBeRead: the journal of the service is not one that does not exist.
func TestJournalMayNotBeRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	dir, err := os.MkdirTemp("/var/tmp", "spillway-cli")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Chmod(dir, 0o755), os.Mkdir(dir+"/journal", 0o700), os.WriteFile(dir+"/test", program, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	file := dir + "/spillway.yml"
	if err := os.WriteFile(file, []byte("journal: {dir: "+dir+"/journal}\n"+tempTarget(dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	f := func(args, want string, code int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), dir+"/test", "-test.run=^TestAsStranger$")
		cmd.Dir, cmd.Env = "/", []string{strangerEnv + "=" + args + " --config.file=" + file}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if text := string(out); err != nil || !strings.Contains(text, fmt.Sprintf("code %d\n", code)) || !strings.Contains(text, want) || strings.Contains(text, "no journal yet") {
			t.Errorf("%s: %v, want exit code %d and %q:\n%s", args, err, code, want, text)
		}
	}
	f("journal", "permission denied: this user may not read the journal: use sudo", ExitFailure)
	f("check", "may not read "+dir+"/journal", ExitOK)
}

// TestCheckPlansWhatIsRefused: where serve would refuse the listener the plan is printed all the same, and says so at its
// end.
func TestCheckPlansWhatIsRefused(t *testing.T) {
	dir := realDir(t)
	oldFile(t, dir+"/t/due.tmp")
	file := configFlag(t, "mode: enforce\n"+tempTarget(dir))
	r := runLine(t, "check", file, "--web.listen-address=:10042")
	if r.code != ExitConfig || !strings.Contains(r.out, "would remove 1 of 1 files") || !strings.HasSuffix(r.out, "serve would refuse to start with this configuration and these flags: the error says why\n") || !strings.Contains(r.errs, "would let every host") {
		t.Errorf("%+v", r)
	}
	r = runLine(t, "check", "--json", file, "--web.listen-address=:10042")
	var p plan
	if err := json.Unmarshal([]byte(r.out), &p); err != nil || r.code != ExitConfig || !strings.Contains(p.Refused, "would let every host") || p.Targets[0].Cleanup[0].Files != 1 {
		t.Errorf("%v: %+v", err, r)
	}
	if r = runLine(t, "check", configFlag(t, tempTarget(dir)), "--web.telemetry-path=/api/v1/webhook"); r.code != ExitConfig || !strings.Contains(r.out, "would remove 1 of 1 files") {
		t.Errorf("%+v", r)
	}
}

// TestCheckConnectAsksSources: each source of a target is read once with --connect, and none without it.
func TestCheckConnectAsksSources(t *testing.T) {
	asked := make(chan string, 10)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		switch r.URL.Path {
		case "/stats":
			io.WriteString(w, `{"heap": {"used": 1048576, "limit": 4194304}, "hits": 3, "misses": 1}`)
		case "/busy":
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer service.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nothing := "http://" + l.Addr().String()
	l.Close()
	config := configFlag(t, `
targets:
  - name: good
    heap: {provider: json, url: `+service.URL+`/stats, map: {used: heap.used, limit: heap.limit}}
    app: {url: `+service.URL+`/stats, map: {cache_hits: hits, cache_misses: misses}}
    probe: {url: `+service.URL+`/well}
  - name: bad
    heap: {provider: json, url: `+nothing+`/stats, map: {used: heap.used}}
    app: {url: `+service.URL+`/stats, map: {requests_total: requests}}
    probe: {url: `+service.URL+`/busy}
`)
	if r := runLine(t, "check", config); r.code != ExitOK || strings.Contains(r.out, " answers: ") || strings.Contains(r.out, "not answer") || len(asked) > 0 {
		t.Errorf("without --connect %d requests: %+v", len(asked), r)
	}
	r := runLine(t, "check", "--connect", config)
	good, bad, _ := strings.Cut(r.out, "\nbad (")
	for _, want := range []string{"  heap answers: heap 1MiB of 4MiB\n", "  app answers: 2 of 2 values\n", "  probe answers: status 200 in "} {
		if r.code != ExitOK || !strings.Contains(good, want) {
			t.Errorf("no %q in %+v", want, r)
		}
	}
	for _, want := range []string{"  heap does not answer as it should: ", "  app does not answer as it should: ", "  probe does not answer as it should: status 503 in "} {
		if !strings.Contains(bad, want) {
			t.Errorf("no %q in %+v", want, r)
		}
	}
	if n := len(asked); n != 5 {
		t.Errorf("%d requests, want one for each source that answers", n)
	}
	var p plan
	if r = runLine(t, "check", "--connect", "--json", config); json.Unmarshal([]byte(r.out), &p) != nil || len(p.Targets[0].Answers) != 3 || p.Targets[1].Answers[0].Error == "" {
		t.Errorf("%+v", r)
	}
}

// TestExportForce: --force replaces what differs, keeps its mode, and replaces no link.
func TestExportForce(t *testing.T) {
	dir := realDir(t)
	if r := runLine(t, "export", dir); r.code != ExitOK {
		t.Fatalf("%+v", r)
	}
	edited := filepath.Join(dir, "alertmanager.yml")
	bundled, err := os.ReadFile(edited)
	if err != nil {
		t.Fatal(err)
	}
	writeTest(t, edited, "# mine\n")
	if err := os.Chmod(edited, 0o640); err != nil {
		t.Fatal(err)
	}
	if r := runLine(t, "export", dir); r.code != ExitFailure || !strings.Contains(r.errs, "overwrite it with --force") {
		t.Errorf("%+v", r)
	}
	r := runLine(t, "export", "--force", dir)
	text, err := os.ReadFile(edited)
	info, statErr := os.Stat(edited)
	if r.code != ExitOK || err != nil || string(text) != string(bundled) || statErr != nil || info.Mode() != 0o640 || strings.Count(r.out, "replaced   ") != 1 {
		t.Errorf("%v, %v, %q: %+v", err, info, text, r)
	}
	mine := filepath.Join(realDir(t), "mine")
	writeTest(t, mine, "# mine\n")
	if err := os.Remove(edited); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(mine, edited); err != nil {
		t.Fatal(err)
	}
	if r := runLine(t, "export", "--force", dir); r.code != ExitFailure || !strings.Contains(r.errs, edited+" is not a regular file") {
		t.Errorf("a link: %+v", r)
	}
	if text, err := os.ReadFile(mine); err != nil || string(text) != "# mine\n" {
		t.Errorf("the file behind the link is now %q, %v", text, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".spillway-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
}

// TestVersionIsComplete: --version has no line without a value.
func TestVersionIsComplete(t *testing.T) {
	text := versionText()
	for line := range strings.Lines(text) {
		if strings.HasSuffix(strings.TrimSpace(line), ":") || strings.Contains(line, "branch: ,") {
			t.Errorf("a line without a value: %q", line)
		}
	}
	for _, want := range []string{"spillway_exporter, version ", "(revision: ", "\n  go version: ", "\n  platform: "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestModeIsLogged: the first lines of the log say what may be changed.
func TestModeIsLogged(t *testing.T) {
	e := &env{configFile: strings.TrimPrefix(configFlag(t, "trust_loopback: true\n"+tempTarget("/srv")+"  - {name: b, mode: enforce, processes: {match: {comm: x, user: root}}}\n  - {name: c, mode: enforce, processes: {match: {comm: y, user: root}}}\n"), "--config.file=")}
	cfg, err := e.config()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	setup.LogMode(cfg, e.configFile, setup.NewLogger(&log, "info", "logfmt"))
	if want := `msg="configuration loaded" mode=dry_run file=` + e.configFile + " targets=3 enforce=2\n"; !strings.HasSuffix(log.String(), want) {
		t.Errorf("%s, want %s", log.String(), want)
	}
}
