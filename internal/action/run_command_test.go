package action

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

var quiet = slog.New(slog.DiscardHandler)

// program writes a shell script that may be run.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(ownDir(t), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// eventually asks until ok, at most for 10 seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within 10 seconds: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func someAlert() *alert.Alert {
	return &alert.Alert{
		Status: alert.StatusFiring, Fingerprint: "03fbd0809c15fb23", StartsAt: time.Date(2026, 11, 23, 10, 31, 29, 0, time.UTC),
		Labels:      map[string]string{"alertname": "Full", "target": "svc", "evil-label": "$(touch /tmp/x); `id`", "path": "/nowhere"},
		Annotations: map[string]string{"summary": strings.Repeat("s", maxEnvValue+5)},
	}
}

func commandRequest(argv ...string) Request {
	return Request{
		RunID: "r1", Target: "svc", Playbook: "mine", Trigger: "webhook", Level: series.LevelCritical,
		Settings: &CommandSettings{Argv: argv, Env: []string{"PATH", "SPILLWAY_TEST_ABSENT"}},
	}
}

func TestCommandTellsTheProgram(t *testing.T) {
	t.Setenv("SECRET", "s3cret")
	req := commandRequest(program(t, `pwd; echo "args:$#:$1"; echo "pgid:$(ps -o pgid= -p $$ | tr -d ' '):$$"; echo to stderr >&2; env; echo ---; cat`), "$HOME; rm")
	req.Alert = someAlert()
	res, err := NewCommand(quiet).Run(t.Context(), req)
	if err != nil || res.Outcome != Done || !strings.HasPrefix(res.Detail, "exit status 0 after ") {
		t.Fatalf("%+v, %v", res, err)
	}
	env, stdin, _ := strings.Cut(res.Output, "---\n")
	for _, want := range []string{
		"/\nargs:1:$HOME; rm\n", "to stderr\n", "SPILLWAY_TARGET=svc\n", "SPILLWAY_PLAYBOOK=mine\n", "SPILLWAY_RUN_ID=r1\n", "SPILLWAY_TRIGGER=webhook\n",
		"SPILLWAY_LEVEL=critical\n", "SPILLWAY_ALERTNAME=Full\n", "SPILLWAY_STATUS=firing\n", "SPILLWAY_FINGERPRINT=03fbd0809c15fb23\n",
		"SPILLWAY_STARTS_AT=2026-11-23T10:31:29Z\n", "SPILLWAY_LABEL_EVIL_LABEL=$(touch /tmp/x); `id`\n", "SPILLWAY_LABEL_PATH=/nowhere\n",
		"SPILLWAY_ANNOTATION_SUMMARY=" + strings.Repeat("s", maxEnvValue) + "\n", "PATH=" + os.Getenv("PATH") + "\n",
	} {
		if !strings.Contains(env, want) {
			t.Errorf("no %q in\n%s", want, env)
		}
	}
	if strings.Contains(env, "SECRET") || strings.Contains(env, "ABSENT") {
		t.Errorf("a variable that is not on the list was passed on:\n%s", env)
	}
	if pgid, pid, _ := strings.Cut(strings.TrimPrefix(line(env, "pgid:"), "pgid:"), ":"); pgid == "" || pgid != pid {
		t.Errorf("process %s is in group %s, want one of its own", pid, pgid)
	}
	var m struct {
		alert.Alert
		Run map[string]string
	}
	if err := json.Unmarshal([]byte(stdin), &m); err != nil {
		t.Fatalf("stdin %q: %v", stdin, err)
	}
	if m.Labels["alertname"] != "Full" || m.Fingerprint != "03fbd0809c15fb23" || m.Run["id"] != "r1" || m.Run["level"] != "critical" {
		t.Errorf("stdin: %s", stdin)
	}
}

func line(text, prefix string) string {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, prefix) {
			return strings.TrimSpace(l)
		}
	}
	return ""
}

func TestCommandWithoutAnAlert(t *testing.T) {
	res, err := NewCommand(quiet).Run(t.Context(), commandRequest("/bin/cat"))
	if want := `{"run":{"id":"r1","target":"svc","playbook":"mine","trigger":"webhook","level":"critical"}}` + "\n"; err != nil || res.Output != want {
		t.Errorf("%q, %v, want %q", res.Output, err, want)
	}
}

func TestCommandOutcomes(t *testing.T) {
	f := func(name, text string, outcome Outcome, says string) {
		t.Helper()
		res, err := NewCommand(quiet).Run(t.Context(), commandRequest(program(t, text)))
		if res.Outcome != outcome || err == nil && says != "" || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %s, %v, want %s and %q", name, res.Outcome, err, outcome, says)
		}
	}
	f("good", "exit 0", Done, "")
	f("bad", "exit 7", Failed, "ended with exit status 7")
	f("ends by a signal", "kill -TERM $$", Failed, "was ended by SIGTERM")
	f("does not read its input", "exec <&-; exit 0", Done, "")
	for name, path := range map[string]string{"none": "/nonexistent/program", "relative": "program", "a folder": "/"} {
		if res, err := NewCommand(quiet).Run(t.Context(), commandRequest(path)); res.Outcome != Failed || err == nil {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
	broken := program(t, "")
	if err := os.WriteFile(broken, []byte("#!/nonexistent/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if res, err := NewCommand(quiet).Run(t.Context(), commandRequest(broken)); res.Outcome != Failed || err == nil || !strings.Contains(err.Error(), "could not be started") {
		t.Errorf("an interpreter that does not exist: %+v, %v", res, err)
	}
}

func TestCommandOutputIsCapped(t *testing.T) {
	res, err := NewCommand(quiet).Run(t.Context(), commandRequest(program(t, `head -c 3000000 /dev/zero | tr '\0' x; printf '\377'`)))
	if err != nil || len(res.Output) > 64<<10 || !strings.HasSuffix(res.Output, fmt.Sprintf("... and %d bytes more", 3000001-maxOutput)) {
		t.Errorf("%d bytes, %v: ...%s", len(res.Output), err, res.Output[max(0, len(res.Output)-60):])
	}
	c := &capped{}
	c.Write(bytes.Repeat([]byte{0xff}, maxOutput))
	if got := c.text(); len(got) > maxOutput || !strings.HasPrefix(got, "\uFFFD") {
		t.Errorf("%d bytes of what is not text", len(got))
	}
}

func alive(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(raw), ") ")
	return !strings.HasPrefix(state, "Z")
}

func TestCommandIsKilledWithItsChildren(t *testing.T) {
	pids := filepath.Join(realDir(t), "pids")
	req := commandRequest(program(t, `trap '' TERM; (trap '' TERM; sleep 300) & echo $! >>`+pids+`; (sleep 300) & echo $! >>`+pids+`; echo $$ >>`+pids+`; echo begun; wait`))
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	start := time.Now()
	res, err := NewCommand(quiet).Run(ctx, req)
	if res.Outcome != Unknown || err == nil || res.Output != "begun\n" || !strings.Contains(res.Detail, "was killed with its process group") {
		t.Errorf("%+v, %v", res, err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	raw, _ := os.ReadFile(pids)
	if n := len(strings.Fields(string(raw))); n != 3 {
		t.Fatalf("%d processes began", n)
	}
	for field := range strings.FieldsSeq(string(raw)) {
		pid, _ := strconv.Atoi(field)
		eventually(t, "process "+field+" is gone", func() bool { return !alive(pid) })
	}
}

// What a command leaves running does not hold the run up, although it holds the output open.
func TestCommandLeavesAChildBehind(t *testing.T) {
	pids := filepath.Join(realDir(t), "pid")
	res, err := NewCommand(quiet).Run(t.Context(), commandRequest(program(t, `sleep 300 & echo $! >`+pids+`; echo left it`)))
	if err != nil || res.Outcome != Done || res.Output != "left it\n" {
		t.Errorf("%+v, %v", res, err)
	}
	raw, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
	if !alive(pid) {
		t.Error("the child was ended with the command")
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func TestCommandMistakes(t *testing.T) {
	plain := filepath.Join(realDir(t), "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	open := program(t, "")
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	f := func(s Settings, want ...string) {
		t.Helper()
		var got []string
		s.Validate(func(key, format string, args ...any) { got = append(got, key+": "+fmt.Sprintf(format, args...)) })
		if len(got) != len(want) {
			t.Fatalf("%q, want %q", got, want)
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%q, want %q", got[i], want[i])
			}
		}
	}
	f(&CommandSettings{}, "argv: is missing: write the program and its arguments")
	f(&CommandSettings{Argv: []string{"true"}}, `argv[0]: "true" is not absolute: write the whole path`)
	f(&CommandSettings{Argv: []string{"/bin"}}, `argv[0]: "/bin" is not a file`)
	f(&CommandSettings{Argv: []string{plain}}, `argv[0]: "`+plain+`" is not executable`)
	f(&CommandSettings{Argv: []string{open}}, `argv[0]: "`+open+`" can be changed by everybody`)
	f(&CommandSettings{Argv: []string{"/bin/true", "a\x00b"}, Env: []string{"A=b", "SPILLWAY_X", "HOME"}},
		"argv[1]: holds a NUL", `env[0]: "A=b" is not the name of a variable`, `env[1]: "SPILLWAY_X" is given by the exporter`)
	f(&CommandSettings{Argv: make([]string, maxArgs+1)}, "argv: 257 arguments are too many")

	f(&HTTPSettings{}, "url: is missing")
	f(&HTTPSettings{URL: "ftp://127.0.0.1/"}, `url: is not a URL of a server`)
	f(&HTTPSettings{URL: "http://app.example/gc"}, `url: names "app.example", which is not on this host's loopback: write http://127.0.0.1:PORT/..., or hosts: [app.example]`)
	f(&HTTPSettings{URL: "http://me:pw@127.0.0.1/"}, "url: holds a user")
	f(&HTTPSettings{URL: "http://127.0.0.1/#a"}, `url: holds a fragment`)
	f(&HTTPSettings{URL: "http://app.example/", Hosts: []string{"app.example", "http://b"}, TokenFile: plain, Body: strings.Repeat("x", maxHTTPBody+1)},
		`hosts[1]: "http://b" is not a host`, "body: has 65537 bytes", `token_file: "`+plain+`" does not hold one line`)
	f(&HTTPSettings{URL: "http://[::1]:80/", TokenFile: "token"}, `token_file: "token" is not absolute`)

	f(&SignalSettings{}, "signal: is missing")
	for _, name := range []string{"SIGKILL", "SIGSTOP", "SIGSEGV", "9", "usr1"} {
		f(&SignalSettings{Signal: name}, fmt.Sprintf("signal: %q is not a signal that may be sent: write one of SIGHUP, SIGINT,", name))
	}
	f(&ReclaimSettings{}, "amount: is missing")
	f(&ReclaimSettings{Amount: 4096}, "amount: 4KiB is too little")
	f(&CommandSettings{Argv: []string{"/bin/true"}})
}
