//go:build vm

package guest

import (
	"fmt"
	"strings"
	"testing"
)

// criBox is a container of containerd with the annotations that its CRI plugin gives one.
func criBox(t *testing.T, id, cgroup, pod, uid string, mib int, args ...string) {
	t.Helper()
	args = append([]string{"-n", "k8s.io", "run", "-d", "--memory-limit", fmt.Sprint(mib * 4 << 20), "--cgroup", cgroup}, args...)
	for key, value := range map[string]string{
		"container-type": "container", "container-name": "web", "image-name": "docker.io/shop/web:1",
		"sandbox-name": pod, "sandbox-namespace": "shop", "sandbox-uid": uid,
	} {
		args = append(args, "--annotation", "io.kubernetes.cri."+key+"="+value)
	}
	run(t, "ctr", append(args, "--rootfs", "/srv/rootfs", id, "/hold", fmt.Sprint(mib))...)
	t.Cleanup(func() { _, _ = try("ctr", "-n", "k8s.io", "task", "rm", "-f", id) })
}

func TestEngineContainerd(t *testing.T) {
	what(t, "containers of containerd with the annotations of CRI, with the systemd and the cgroupfs driver: name, image, memory.max; without `CAP_DAC_READ_SEARCH` one warning")
	engines(t)
	rested(t)
	run(t, "systemctl", "start", "containerd.service")
	t.Cleanup(func() { _, _ = try("systemctl", "stop", "containerd.service") })
	const uid, uid2 = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"
	id, id2 := strings.Repeat("ab12", 16), strings.Repeat("cd34", 16)
	criBox(t, id, "kubepods-besteffort-pod"+strings.ReplaceAll(uid, "-", "_")+".slice:cri-containerd:"+id, "orchestrator-7d4b9c6f5-x2x9z", uid, 26, "--runc-systemd-cgroup")
	criBox(t, id2, "/kubepods/besteffort/pod"+uid2+"/"+id2, "cart-0", uid2, 27)
	const config = `discover: {by: container, top: 30}
targets: [{name: cart, processes: {match: {image: 'docker.io/shop/*', pod: cart-0, namespace: shop}}}]
`
	serve(t, config)
	wantInfo(t, "shop/orchestrator/web", `container="web"`, `pod="orchestrator-7d4b9c6f5-x2x9z"`, `namespace="shop"`)
	wantLimit(t, "shop/orchestrator/web", holding(t, 26))
	wantInfo(t, "cart", `container="web"`, `pod="cart-0"`, `namespace="shop"`)
	wantLimit(t, "cart", holding(t, 27))

	serve(t, config, "[Service]\nAmbientCapabilities=\nAmbientCapabilities=CAP_SYS_PTRACE\nCapabilityBoundingSet=\nCapabilityBoundingSet=CAP_SYS_PTRACE\n")
	wantInfo(t, "unnamed-containerd")
	if got := strings.Count(logsSinceStart(t), `source=containerd err=`); got != 1 {
		t.Errorf("%d warnings, want one\n%s", got, logsSinceStart(t))
	}
}

// logsSinceStart returns the log of the unit since it was started.
func logsSinceStart(t *testing.T) string {
	t.Helper()
	return sh(t, "journalctl -o cat --no-pager _SYSTEMD_INVOCATION_ID="+property(t, unit, "InvocationID"))
}
