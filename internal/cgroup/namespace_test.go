package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const insideVariable = "SPILLWAY_TEST_CGROUP_NAMESPACE"

// TestRealNamespace makes a cgroup with two below it and runs this test again in one of them, in a
// cgroup namespace of its own and with a mount of its own: as a container runtime does. It takes root
// and a hierarchy that can be written.
func TestRealNamespace(t *testing.T) {
	if text := os.Getenv(insideVariable); text != "" {
		inNamespace(t, text)
		return
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	ran := false
	for _, h := range below(parseMounts(b), "/sys/fs/cgroup") {
		top, err := os.MkdirTemp(h.dir, "spillway-test-")
		if err != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(top) })
		own, other := filepath.Join(top, "pod", "own"), filepath.Join(top, "pod", "other")
		for _, dir := range []string{filepath.Dir(own), own, other} {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Remove(dir) })
		}
		sleeper := exec.Command("sh", "-c", `echo $$ >"$0/cgroup.procs" && echo ready && exec sleep 60`, other)
		out, err := sleeper.StdoutPipe()
		if err == nil {
			err = sleeper.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() })
		if n, err := out.Read(make([]byte, 6)); n == 0 {
			t.Logf("%s: a process cannot be moved there: %v", h.dir, err)
			continue
		}
		kind := map[bool]string{true: "-t cgroup2", false: "-t cgroup -o memory"}[h.unified]
		for name, script := range map[string]string{
			"a mount of its own": `mount ` + kind + ` none "$2" && `,
			"mounted over":       "",
		} {
			t.Run(filepath.Base(h.dir)+" "+name, func(t *testing.T) {
				inside := exec.Command("sh", "-c", `echo $$ >"$0/cgroup.procs" && exec unshare -C -m sh -c '`+script+`exec "$0" -test.run=^TestRealNamespace$ -test.v' "$1" "$1" "$2"`, own, os.Args[0], t.TempDir())
				inside.Env = append(os.Environ(), fmt.Sprintf("%s=%v %s %s %d", insideVariable, h.unified, strings.TrimPrefix(own, h.dir), strings.TrimPrefix(other, h.dir), sleeper.Process.Pid))
				out, err := inside.CombinedOutput()
				t.Logf("%s", out)
				if err != nil {
					if strings.Contains(string(out), "unshare:") || strings.Contains(string(out), "mount:") {
						t.Skip("namespaces or mounts are not allowed here")
					}
					t.Error(err)
				}
				ran = true
			})
		}
	}
	if !ran {
		t.Skip("no cgroup hierarchy can be written here")
	}
}

// inNamespace runs in the namespace and looks for its own cgroup and for the sleeper's.
func inNamespace(t *testing.T, text string) {
	var (
		unified    bool
		own, other string
		sleeper    int
	)
	if _, err := fmt.Sscan(text, &unified, &own, &other, &sleeper); err != nil {
		t.Fatal(err)
	}
	tree := NewTree(Options{})
	for pid, want := range map[int]string{os.Getpid(): own, sleeper: other} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err != nil {
			t.Fatal(err)
		}
		v2, v1 := Parse(b)
		raw := v1
		if unified {
			raw = v2
		}
		if !strings.HasPrefix(want, "/spillway-test-") || string(raw) == want {
			t.Fatalf("process %d is shown at %q: the namespace is not one of its own", pid, raw)
		}
		if got := string(tree.Resolve(time.Now(), nil, unified, raw)); got != want {
			t.Errorf("process %d is shown at %q and resolved to %q, want %q", pid, raw, got, want)
		}
	}
}
