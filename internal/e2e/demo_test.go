//go:build e2e

package e2e

import (
	"bytes"
	"os/exec"
	"regexp"
	"testing"
)

// TestDemoEnds: the demo relieves, keeps the open file, and names the function and the line that leak.
func TestDemoEnds(t *testing.T) {
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary(t), "demo", "--duration=60s")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{
		`relieve_memory +Spillway\w+ .* relieved`, `speaking\.wav is still there`,
		`(?m)^What leaks: leak\.\(\*Service\)\.rememberSession leak/leak\.go:\d+\. It holds [0-9.]+MiB more than at [0-9:]+, \d+% of the growth over \d+ captures\.$`,
	} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("no %s in\n%s", want, &out)
		}
	}
}
