package refuse

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Main is for TestMain: it refuses what the environment names and runs the tests.
func Main(m *testing.M) int {
	if _, err := FromEnvironment(); err != nil {
		panic(err)
	}
	return m.Run()
}

// Again runs tests of the same binary once more, in a process to which calls are refused. They must
// pass, and at least one must run. The binary's TestMain calls Main.
func Again(t *testing.T, calls, run string, flags ...string) {
	t.Helper()
	if os.Getenv(Variable) != "" {
		t.Skip("this is the run without " + os.Getenv(Variable))
	}
	args := append([]string{"-test.run=" + run, "-test.v", "-test.timeout=5m"}, flags...)
	if testing.Short() {
		args = append(args, "-test.short")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), Variable+"="+calls)
	out, err := cmd.CombinedOutput()
	passed := bytes.Count(out, []byte("--- PASS"))
	t.Logf("%d tests passed without %s", passed, calls)
	if err != nil || passed == 0 {
		t.Errorf("without %s: %v\n%s", calls, err, failures(string(out)))
	}
}

// failures leaves out what passed.
func failures(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "=== ") && !strings.Contains(line, "--- PASS") {
			b.WriteString(line)
		}
	}
	return b.String()
}
