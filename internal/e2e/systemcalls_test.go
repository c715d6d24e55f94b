//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/needs"
)

const newestOf418 = 334 // rseq, on amd64: later calls have higher numbers

// newCalls are the system calls that are newer than the oldest kernel, as x/sys knows them.
func newCalls(t *testing.T) []string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_amd64.go"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile(`SYS_([A-Z0-9_]+) += (\d+)`).FindAllStringSubmatch(string(text), -1) {
		if n, _ := strconv.Atoi(m[2]); n > newestOf418 {
			out = append(out, strings.ToLower(m[1]))
		}
	}
	return out
}

// TestNewSystemCallsAreKnown: of the calls that serve, check, cleanup, journal and each action really make,
// those that the oldest kernel has not stand in the table, so that they are refused in turn.
func TestNewSystemCallsAreKnown(t *testing.T) {
	h := newRefusedHost(t, "")
	trace := filepath.Join(testDir(t), "trace")
	h.prefix = []string{need(t, "strace"), "-D", "-f", "-qq", "-A", "-o", trace}
	h.serve(t)
	h.run(t, "journal")
	h.run(t, "check", "--web.listen-address=127.0.0.1:0")
	h.run(t, "cleanup", "--dry-run")
	writeFiles(t, h.dir+"/temp", "again%d.wav", 2, 10, 0)
	h.run(t, "cleanup", "--enforce")
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	made := make(map[string]int)
	for _, m := range regexp.MustCompile(`(?m)^\d+ +([a-z0-9_]+)\(`).FindAllStringSubmatch(string(text), -1) {
		made[m[1]]++
	}
	if made["openat2"] == 0 || made["pidfd_send_signal"] == 0 || made["renameat2"] == 0 || made["unlinkat"] == 0 {
		t.Fatalf("the trace is not whole: %v", made)
	}
	newer := newCalls(t)
	var seen []string
	for call := range made {
		if slices.Contains(newer, call) {
			seen = append(seen, fmt.Sprintf("%s %d", call, made[call]))
			if needs.Calls[call] == "" {
				t.Errorf("%s is newer than Linux %s: give it a stand-in or a refusal that names it, and a line in the table of needs", call, needs.OldestKernel)
			}
		}
	}
	slices.Sort(seen)
	t.Logf("%d calls, newer than Linux %s: %s", len(made), needs.OldestKernel, strings.Join(seen, ", "))
}
