package heap

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// inContainer returns what starts a program as a container runtime does: in namespaces of its own for
// mounts with a /tmp of its own, for processes, and what flags say besides.
func inContainer(t *testing.T, flags ...string) []string {
	t.Helper()
	by := append([]string{"unshare", "-m", "-p", "-f", "--kill-child"}, flags...)
	by = append(by, "sh", "-c", `mount -t tmpfs tmpfs /tmp && mount -t proc proc /proc && { ip link set lo up 2>/dev/null || true; } && exec "$@"`, "sh")
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
	tracker, err := proc.New(proc.Options{Targets: []proc.Target{{Name: "t", Config: proc.Config{
		Match: proc.Match{Pidfile: pidfile(t, n.cmd.Process.Pid)}, Children: true,
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer tracker.Close()
	if err := tracker.Refresh(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	members := func() []proc.Member { return tracker.Members("t") }
	c := locatedClient(t, newPool(t), Config{Provider: ProviderNode}, Target{Members: members})
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
		tracker, err := proc.New(proc.Options{Targets: []proc.Target{{Name: "t", Config: proc.Config{Match: proc.Match{Pidfile: pidfile(t, pid)}, Children: true}}}})
		if err != nil {
			t.Fatal(err)
		}
		defer tracker.Close()
		if err := tracker.Refresh(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		c := locatedClient(t, newPool(t), Config{Provider: ProviderNode}, Target{Members: func() []proc.Member { return tracker.Members("t") }})
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
