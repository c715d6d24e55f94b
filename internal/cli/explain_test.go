package cli

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestExplain says why a process is of a target and of no other, for people and for programs.
func TestExplain(t *testing.T) {
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	file := configFlag(t, "targets: [{name: first, processes: {match: {comm: no-such-comm}}}, {name: own, processes: {match: {comm: "+strings.TrimSpace(string(comm))+"}}}]\n")
	pid := strconv.Itoa(os.Getpid())
	r := runLine(t, "explain", pid, file, "--json")
	var e explanation
	if err := json.Unmarshal([]byte(r.out), &e); err != nil || r.code != ExitOK {
		t.Fatalf("%+v, %v", r, err)
	}
	if e.PID != os.Getpid() || e.Target == nil || *e.Target != "own" || e.Reason == "" || len(e.Refused) != 1 || e.Refused[0].Target != "first" {
		t.Errorf("%+v", r)
	}
	r = runLine(t, "explain", pid, file)
	if r.code != ExitOK || !strings.HasPrefix(r.out, "process  "+pid+" ") || !strings.Contains(r.out, "\nnot      first: ") || !strings.Contains(r.out, "\ntarget   own: ") {
		t.Errorf("%+v", r)
	}
	r = runLine(t, "explain", pid, configFlag(t, "targets: [{name: first, processes: {match: {comm: no-such-comm}}}]\n"))
	if r.code != ExitOK || !strings.Contains(r.out, "\ntarget   none: ") {
		t.Errorf("%+v", r)
	}
	if r = runLine(t, "explain", "2147483647", file); r.code != ExitFailure || r.errs == "" {
		t.Errorf("a process that does not exist: %+v", r)
	}
}
