package proc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/cgroup"
)

const (
	idA     = "26971d13a55d4cb0d1a3c2f6a60f0a3fd3b8a1c5e2c94f0b7d6a8e9f01234567"
	idB     = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	idC     = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
	podA    = "5ad8d0a7-7c4c-4a2b-9d3a-6f2f1f0e9b11"
	podB    = "9b11d0a7-7c4c-4a2b-9d3a-6f2f1f0e5ad8"
	burst   = "/kubepods.slice/kubepods-burstable.slice"
	replica = "orchestrator-7d4b9c6f5-"
)

func scopeOf(pod, id string) string {
	return "0::" + burst + "/kubepods-burstable-pod" + strings.ReplaceAll(pod, "-", "_") + ".slice/cri-containerd-" + id + ".scope\n"
}

// node is a fake root of a host with the files of containers.
type node struct {
	t   testing.TB
	dir string
}

func (n node) write(name, text string) {
	n.t.Helper()
	full := filepath.Join(n.dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// pod makes what the kubelet and containerd leave of a container in a pod.
func (n node) pod(namespace, pod, uid, container, id, image string) {
	n.t.Helper()
	n.write("var/log/pods/"+namespace+"_"+pod+"_"+uid+"/"+container+"/0.log", "")
	n.write("var/log/containers/"+pod+"_"+namespace+"_"+container+"-"+id+".log", "")
	n.write("run/containerd/io.containerd.runtime.v2.task/k8s.io/"+id+"/config.json", `{"annotations":{"io.kubernetes.cri.container-name":"`+container+
		`","io.kubernetes.cri.image-name":"`+image+`","io.kubernetes.cri.sandbox-name":"`+pod+`","io.kubernetes.cri.sandbox-namespace":"`+namespace+`","io.kubernetes.cri.sandbox-uid":"`+uid+`"}}`)
}

func (n node) docker(id, name, image string) {
	n.t.Helper()
	n.write("var/lib/docker/containers/"+id+"/config.v2.json", `{"Name":"/`+name+`","Config":{"Image":"`+image+`"}}`)
}

func discoveredNames(t testing.TB, w *watched) string {
	t.Helper()
	usages, err := w.Discovered(nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range usages {
		if u.Target != Overflow {
			names = append(names, u.Target)
		}
	}
	return strings.Join(names, " ")
}

func TestDiscoverByContainer(t *testing.T) {
	for by, want := range map[string]string{
		ByUnit:      "containerd.service db shop/orchestrator/sidecar shop/orchestrator/web",
		ByContainer: "containerd.service db shop/orchestrator/sidecar shop/orchestrator/web",
		ByPod:       "containerd.service db shop/orchestrator",
		ByCgroup:    "db shop/orchestrator/sidecar shop/orchestrator/web system.slice_containerd.service",
	} {
		n := node{t, t.TempDir()}
		n.pod("shop", replica+"x2x9z", podA, "web", idA, "shop/web:1")
		n.pod("shop", replica+"x2x9z", podA, "sidecar", idB, "shop/side:1")
		n.docker(idC, "db", "postgres:17")
		f := newFake(t)
		f.put(fakeProcess{pid: 10, comm: "node", cgroup: scopeOf(podA, idA), resident: 10})
		f.put(fakeProcess{pid: 11, comm: "side", cgroup: scopeOf(podA, idB), resident: 10})
		f.put(fakeProcess{pid: 12, comm: "postgres", cgroup: "0::/system.slice/docker-" + idC + ".scope\n", resident: 10})
		f.put(fakeProcess{pid: 13, comm: "containerd", cgroup: "0::/system.slice/containerd.service\n", resident: 10})
		w := watch(t, Options{Root: f.dir, RootFS: n.dir, Discover: &Discover{By: by, Top: 10}})
		w.tick(0)
		if got := discoveredNames(t, w); got != want {
			t.Errorf("by %s: %q, want %q", by, got, want)
		}
	}
}

// TestContainerRestarts: a target keeps its name when its container is restarted under another id or its
// pod is replaced, and of two that run at a time each is one.
func TestContainerRestarts(t *testing.T) {
	n := node{t, t.TempDir()}
	n.pod("shop", replica+"x2x9z", podA, "web", idA, "shop/web:1")
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", cgroup: scopeOf(podA, idA), resident: 10})
	w := watch(t, Options{Root: f.dir, RootFS: n.dir, Discover: &Discover{By: ByContainer, Top: 10}})
	w.tick(0)
	w.tick(5 * time.Second)

	f.remove(10) // the container is restarted
	n.pod("shop", replica+"x2x9z", podA, "web", idB, "shop/web:1")
	f.put(fakeProcess{pid: 20, comm: "node", cgroup: scopeOf(podA, idB), resident: 10, start: 370000})
	w.tick(5 * time.Second)
	u := w.usage("shop/orchestrator/web")
	if got := discoveredNames(t, w); got != "shop/orchestrator/web" || u.Restarts != 1 || !u.HasRestarts || u.Container == nil || u.Container.ID != idB || !u.Whole {
		t.Errorf("after a restart of the container: %q, %+v", got, u)
	}

	n.pod("shop", replica+"7qkfd", podB, "web", idC, "shop/web:2") // a rolling update: the new one comes first
	f.put(fakeProcess{pid: 30, comm: "node", cgroup: scopeOf(podB, idC), resident: 10, start: 380000})
	w.tick(5 * time.Second)
	w.tick(time.Minute) // it lasts
	if got := discoveredNames(t, w); got != "shop/orchestrator/web shop/orchestrator/web_2" {
		t.Errorf("while both run: %q", got)
	}
	f.remove(20)
	for range keepShown + 1 {
		w.tick(5 * time.Second)
	}
	if got := discoveredNames(t, w); got != "shop/orchestrator/web_2" {
		t.Errorf("when the old one is gone: %q", got)
	}
	f.remove(30)
	n.pod("shop", replica+"9zzzz", podA, "web", idA, "shop/web:2")
	f.put(fakeProcess{pid: 40, comm: "node", cgroup: scopeOf(podA, idA), resident: 10, start: 390000})
	w.tick(5 * time.Second)
	if got := discoveredNames(t, w); got != "shop/orchestrator/web_2" {
		t.Errorf("after the next: %q", got)
	}
}

// TestContainersSeenFromInside: the node's view from the exporter's own pod, with the host's hierarchy
// mounted. The names are those that it would have on the host.
func TestContainersSeenFromInside(t *testing.T) {
	n := node{t, t.TempDir()}
	n.pod("shop", replica+"x2x9z", podA, "web", idA, "shop/web:1")
	own := strings.TrimSpace(strings.TrimPrefix(scopeOf(podB, idB), "0::"))
	host := filepath.Join(n.dir, "sys/fs/cgroup")
	if err := os.MkdirAll(filepath.Join(host, own), 0o755); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(t.TempDir(), "own")
	if err := os.Symlink(filepath.Join(host, own), mine); err != nil { // one inode, as two mounts of it have
		t.Fatal(err)
	}
	f := newFake(t)
	if err := os.Mkdir(f.path("self"), 0o755); err != nil {
		t.Fatal(err)
	}
	f.write("self/mountinfo", "30 29 0:26 / "+mine+" ro - cgroup2 cgroup rw\n31 29 0:26 /../../../.. "+host+" ro - cgroup2 cgroup rw\n")
	sibling := strings.TrimPrefix(strings.TrimPrefix(scopeOf(podA, idA), "0::"), burst)
	f.put(fakeProcess{pid: 10, comm: "node", cgroup: "0::/../.." + sibling, resident: 10})
	f.put(fakeProcess{pid: 11, comm: "containerd", cgroup: "0::/../../../../system.slice/containerd.service\n", resident: 10})
	tree := cgroup.NewTree(cgroup.Options{Procfs: f.dir, Sysfs: filepath.Join(n.dir, "sys")})
	w := watch(t, Options{Root: f.dir, RootFS: n.dir, Cgroups: tree, Discover: &Discover{By: ByContainer, Top: 10}, Targets: []Target{
		target("a", Config{Match: Match{Cgroup: "/system.slice"}}),
	}})
	w.tick(0)
	if got := discoveredNames(t, w); got != "shop/orchestrator/web" || w.pids("a") != "11" {
		t.Errorf("%q, and %q in /system.slice", got, w.pids("a"))
	}
	if u := w.usage("a"); u.CgroupV2 != "/system.slice/containerd.service" || u.Unit != "containerd.service" {
		t.Errorf("%q of %q", u.CgroupV2, u.Unit)
	}
}

// TestContainerNamedLater: the kubelet makes its links after the container has started.
func TestContainerNamedLater(t *testing.T) {
	n := node{t, t.TempDir()}
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", cgroup: scopeOf(podA, idA), resident: 10, start: 360000})
	w := watch(t, Options{Root: f.dir, RootFS: n.dir, Discover: &Discover{By: ByContainer, Top: 10}})
	f.write("meminfo", "MemTotal: 1024 kB\n") // of which it uses more than 1 %
	w.tick(0)
	if got := discoveredNames(t, w); got != "unnamed-containerd" {
		t.Errorf("without a name: %q", got)
	}
	n.pod("shop", replica+"x2x9z", podA, "web", idA, "shop/web:1")
	w.tick(5 * time.Second)
	if got := discoveredNames(t, w); !strings.Contains(got, "shop/orchestrator/web") {
		t.Errorf("with one: %q", got)
	}
}

func TestSelectByContainer(t *testing.T) {
	n := node{t, t.TempDir()}
	n.pod("shop", replica+"x2x9z", podA, "web", idA, "ghcr.io/shop/web:1.4")
	n.docker(idC, "db", "postgres:17")
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", cgroup: scopeOf(podA, idA)})
	f.put(fakeProcess{pid: 11, comm: "unknown", cgroup: scopeOf(podB, idB)})
	f.put(fakeProcess{pid: 12, comm: "postgres", cgroup: "4:memory:/docker/" + idC + "\n1:name=systemd:/x\n"})
	f.put(fakeProcess{pid: 13, comm: "sshd", cgroup: "0::/system.slice/ssh.service\n"})
	tests := []struct {
		match Match
		want  string
	}{
		{Match{Container: "web"}, "10"},
		{Match{Container: "*"}, "10 12"},
		{Match{Container: "db"}, "12"},
		{Match{Pod: replica + "*"}, "10"},
		{Match{Pod: "orchestrator"}, "10"},
		{Match{Pod: "orchestra"}, ""},
		{Match{Namespace: "sh?p", Container: "web"}, "10"},
		{Match{Namespace: "kube-*"}, ""},
		{Match{Image: "*/shop/web:*"}, "10"},
		{Match{Image: "postgres:*", Comm: "postgres"}, "12"},
		{Match{Pod: "*"}, "10"},
	}
	for _, tt := range tests {
		w := watch(t, Options{Root: f.dir, RootFS: n.dir, Targets: []Target{target("a", Config{Match: tt.match})}})
		w.tick(0)
		if got := w.pids("a"); got != tt.want {
			t.Errorf("%+v takes %q, want %q", tt.match, got, tt.want)
		}
		if got := w.Stats().Unreadable; got != 1 && tt.match.Comm == "" {
			t.Errorf("%+v: %d processes are undecided, want the one whose container nothing names", tt.match, got)
		}
	}
	w := watch(t, Options{Root: f.dir, RootFS: n.dir, Targets: []Target{
		target("all", Config{Match: Match{Cgroup: burst}, Exclude: &Match{Namespace: "kube-system"}}),
	}})
	w.tick(0)
	if got := w.pids("all"); got != "10" {
		t.Errorf("with an exclude %q, want 10: what cannot be decided is refused", got)
	}

	w = watch(t, Options{Root: f.dir, RootFS: n.dir, Targets: []Target{target("a", Config{Match: Match{Container: "cache", Namespace: "shop"}})}})
	for pid, want := range map[int]string{
		10: `container is "web", not "cache"`, 11: "nothing on this host names it", 12: `container is "db", not "cache"`, 13: "in no container",
	} {
		e, err := w.Explain(pid)
		if err != nil || len(e.Refused) != 1 || !strings.Contains(e.Refused[0].Reason, want) {
			t.Errorf("explain %d: %+v, %v, want %q", pid, e, err, want)
		}
	}
	if e, err := w.Explain(10); err != nil || e.Container == nil || e.Container.Path() != "shop/orchestrator/web" {
		t.Errorf("explain: %+v, %v", e.Container, err)
	}
}

// TestDescribe: the container of a target is that of the cgroup which holds all its members.
func TestDescribe(t *testing.T) {
	n := node{t, t.TempDir()}
	n.pod("shop", "db-0", podA, "web", idA, "shop/web:1")
	n.pod("shop", "db-0", podA, "side", idB, "shop/side:1")
	f := newFake(t)
	f.put(fakeProcess{pid: 10, comm: "node", cgroup: scopeOf(podA, idA)})
	w := watch(t, Options{Root: f.dir, RootFS: n.dir, Targets: []Target{target("a", Config{Match: Match{Pod: "db-0"}})}})
	w.tick(0)
	if u := w.usage("a"); u.Container == nil || u.Container.Name != "web" || u.Container.Pod != "db-0" || u.Whole {
		t.Errorf("one container: %+v", u.Container)
	}
	f.put(fakeProcess{pid: 11, comm: "side", cgroup: scopeOf(podA, idB)})
	w.tick(time.Minute)
	w.tick(time.Minute)
	if u := w.usage("a"); u.Container == nil || u.Container.Name != "" || u.Container.Pod != "db-0" || u.Container.Namespace != "shop" {
		t.Errorf("two containers of a pod: %+v", u.Container)
	}
}
