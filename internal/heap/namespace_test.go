package heap

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// inContainer returns what starts a program as a container runtime does: in namespaces of its own for
// mounts with a /tmp of its own, for processes, and what flags add.
func inContainer(t *testing.T, flags ...string) []string {
	t.Helper()
	own := "mount -t tmpfs tmpfs /tmp"
	if root, err := filepath.Abs("../.."); err != nil {
		t.Fatal(err)
	} else if strings.HasPrefix(root, "/tmp/") { // what is run lies below the folder that is exchanged
		own = `mount --bind '` + root + `' /mnt && ` + own + ` && mkdir -p '` + root + `' && mount --bind /mnt '` + root + `'`
	}
	by := append([]string{"unshare", "-m", "-p", "-f", "--kill-child"}, flags...)
	by = append(by, "sh", "-c", own+` && mount -t proc proc /proc && { ip link set lo up 2>/dev/null || true; } && exec "$@"`, "sh")
	if out, err := exec.Command(by[0], append(by[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("namespaces cannot be made here: %v: %s", err, out)
	}
	return by
}

// userMapped runs a program as user 1000 of a user namespace, who is this user outside.
var userMapped = []string{"unshare", "-U", "--map-user=1000"}

// TestAgentInContainer: the socket is found below the root of the process, by its pid and user as it
// knows them itself.
func TestAgentInContainer(t *testing.T) {
	by := inContainer(t)
	for name, more := range map[string][]string{"its user is this host's": nil, "in a user namespace, as rootless engines make it": userMapped} {
		t.Run(name, func(t *testing.T) {
			n, members := startAgentBy(t, append(append([]string{}, by...), more...))
			c := agentClient(t, newPool(t), members)
			if u := readSoon(t, c); u.Used.Bytes <= 0 || u.Limit.Bytes <= 0 {
				t.Errorf("%v", u)
			}
			if _, err := os.Stat(agentSocket(n)); err == nil {
				t.Error("its socket is in this host's /tmp: it runs in no container")
			}
			if before, after, err := c.Collect(t.Context()); err != nil || before.Used.Bytes <= 0 || after.Used.Bytes <= 0 {
				t.Errorf("%v to %v, %v", before, after, err)
			}
		})
	}
}

// TestInspectorInContainer: its loopback is another one. It is entered where that is allowed, and where it
// is not the error names the agent, which needs no such right.
func TestInspectorInContainer(t *testing.T) {
	n := startNodeBy(t, inContainer(t, "-n"), "127.0.0.1:9229")
	c := locatedClient(t, newPool(t), Config{Provider: ProviderNode}, Target{Members: memberOf(t, n.cmd.Process.Pid)})
	if u := readSoon(t, c); u.Used.Bytes <= 0 || u.Limit.Bytes <= 0 {
		t.Errorf("%v", u)
	}
	if before, after, err := c.Collect(t.Context()); err != nil || before.Used.Bytes <= 0 || after.Used.Bytes <= 0 {
		t.Errorf("%v to %v, %v", before, after, err)
	}
}

// TestInspectorInContainerWithoutTheRight runs this test again as a user without capabilities.
func TestInspectorInContainerWithoutTheRight(t *testing.T) {
	const variable = "SPILLWAY_TEST_MEMBER"
	if text := os.Getenv(variable); text != "" {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		c := locatedClient(t, newPool(t), Config{Provider: ProviderNode}, Target{Members: memberOf(t, pid)})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = c.Read(ctx)
		if !errors.Is(err, proc.ErrOtherNetwork) || !strings.Contains(err.Error(), "CAP_SYS_ADMIN") || !strings.Contains(err.Error(), "provider: node_agent") {
			t.Errorf("%v, want what is missing and the agent", err)
		}
		return
	}
	n := startNodeBy(t, inContainer(t, "-n"), "127.0.0.1:9229")
	again := exec.Command("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", os.Args[0], "-test.run=^"+t.Name()+"$")
	again.Env = append(os.Environ(), variable+"="+strconv.Itoa(n.cmd.Process.Pid))
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("setpriv is not installed")
	}
	if out, err := again.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestAgentOfAnotherUser runs this test again as a user with the capabilities of the shipped unit, and
// without them: the folder of the socket is closed to others, and the unit may enter it.
func TestAgentOfAnotherUser(t *testing.T) {
	const variable = "SPILLWAY_TEST_AGENT"
	if text := os.Getenv(variable); text != "" {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		c := agentClient(t, newPool(t), memberOf(t, pid))
		if u, err := c.Read(t.Context()); err != nil || u.Used.Bytes <= 0 || u.Limit.Bytes <= 0 {
			t.Errorf("%v, %v", u, err)
		}
		return
	}
	if _, err := exec.LookPath("setpriv"); err != nil || os.Getuid() != 0 {
		t.Skip("setpriv is not installed, or this is not root")
	}
	n, members := startAgent(t)
	readSoon(t, agentClient(t, newPool(t), members))
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "heap.test")
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	for caps, works := range map[string]bool{"+dac_read_search,+sys_ptrace": true, "+sys_ptrace": false} {
		again := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,"+caps, "--ambient-caps=-all,"+caps, program, "-test.run=^"+t.Name()+"$")
		again.Dir = filepath.Dir(program)
		again.Env = append(os.Environ(), variable+"="+strconv.Itoa(n.cmd.Process.Pid))
		out, err := again.CombinedOutput()
		if (err == nil) != works || !works && !strings.Contains(string(out), "or with CAP_DAC_READ_SEARCH") {
			t.Errorf("with %s: %v, want that it works: %v: %s", caps, err, works, out)
		}
	}
}

// memberOf returns what lists a process and its children.
func memberOf(t *testing.T, pid int) func() []proc.Member {
	t.Helper()
	tracker, err := proc.New(proc.Options{Targets: []proc.Target{{Name: "t", Config: proc.Config{Match: proc.Match{Pidfile: pidfile(t, pid)}, Children: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tracker.Close() })
	if err := tracker.Refresh(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	return func() []proc.Member { return tracker.Members("t") }
}
