//go:build vm

package guest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	podFolder  = "/etc/kubernetes/manifests" // the kubelet runs the pods that it finds here
	podConfigs = "/etc/vmtest"               // in place of ConfigMaps, which come from an API server
	podVolumes = "/var/lib/kubelet/pods"

	pauseImage = "docker.io/vmtest/pause:1"
	leakImage  = "docker.io/vmtest/leaky:1"
)

// The network of the pods: each has an address that its node reaches, and there is nothing else.
const podNetwork = `{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.88.77.0/24"}}]}`

const containerdConfig = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + pauseImage + `"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = %t
`

// Without an API server it runs static pods only. A container that ended is started again after a
// second, not after minutes.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: ` + podFolder + `
fileCheckFrequency: 1s
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: %s
address: 127.0.0.1
readOnlyPort: 10255
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
failSwapOn: false
featureGates: {KubeletCrashLoopBackOffMax: true}
crashLoopBackOff: {maxContainerRestartPeriod: 1s}
`

// startKubelet starts containerd and a kubelet with no pods. Both end with the test, and so do the pods.
func startKubelet(t *testing.T, driver string) {
	t.Helper()
	_, _ = try("systemctl", "stop", unit)
	write(t, "/etc/cni/net.d/10-pods.conflist", podNetwork)
	write(t, "/etc/containerd/config.toml", fmt.Sprintf(containerdConfig, driver == "systemd"))
	write(t, "/etc/kubernetes/kubelet.yaml", fmt.Sprintf(kubeletConfig, driver))
	run(t, "mkdir", "-p", podFolder)
	run(t, "systemctl", "restart", "containerd.service")
	t.Cleanup(func() { _, _ = try("systemctl", "stop", "containerd.service") })
	podProgram(pauseImage, "pause", "pause").load(t)
	podProgram(leakImage, "leaky", "leak", "/data", "/shm").load(t)
	run(t, "ctr", "-n", "k8s.io", "images", "import", "/payload/spillway_exporter.tar")
	transient(t, "kubelet", "-p", "Delegate=yes", "-p", "KillMode=process", "/payload/kubelet", "--config=/etc/kubernetes/kubelet.yaml", "--hostname-override=vmtest")
	within(t, 2*time.Minute, func() error {
		_, err := kubeletSays("/healthz")
		return err
	})
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := try("bash", "-c", "journalctl -u kubelet --no-pager -o cat | grep -v -e 'get ip address' -e Housekeeping -e 'mirror pod' | tail -n 60")
			t.Log(out)
			out, _ = try("bash", "-c", "tail -n 30 /var/log/pods/*/*/*.log")
			t.Log(out)
		}
		sh(t, "rm -f "+podFolder+"/*")
		within(t, time.Minute, func() error {
			if left := sh(t, "ctr -n k8s.io tasks list -q"); left != "" {
				return fmt.Errorf("containers are left: %s", left)
			}
			return nil
		})
	})
}

// away puts a folder out of the way until the test has ended.
func away(t *testing.T, dir string) {
	t.Helper()
	sh(t, "[ ! -e "+dir+" ] || mv "+dir+" "+dir+".away")
	t.Cleanup(func() { sh(t, "[ ! -e "+dir+".away ] || { rm -rf "+dir+"; mv "+dir+".away "+dir+"; }") })
}

// kubeletSays asks the kubelet.
func kubeletSays(path string) (string, error) {
	resp, err := client.Get("http://127.0.0.1:10255" + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("kubelet %s: %s: %s", path, resp.Status, body)
	}
	return string(body), err
}

// livePod is what the kubelet says of a pod.
type livePod struct {
	Metadata struct{ Name, Namespace, UID string }
	Status   struct {
		Phase, PodIP      string
		ContainerStatuses []liveContainer
	}
}

type liveContainer struct {
	Name, ContainerID string
	Ready             bool
	RestartCount      int
}

// container returns the container of a name, as far as there is one.
func (p *livePod) container(name string) liveContainer {
	for _, c := range p.Status.ContainerStatuses {
		if c.Name == name {
			return c
		}
	}
	return liveContainer{}
}

// findPod returns the pod with a name.
func findPod(name string) (*livePod, error) {
	text, err := kubeletSays("/pods")
	if err != nil {
		return nil, err
	}
	var list struct{ Items []livePod }
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, err
	}
	for i := range list.Items {
		if list.Items[i].Metadata.Name == name {
			return &list.Items[i], nil
		}
	}
	return nil, fmt.Errorf("the kubelet has no pod %s: %s", name, text)
}

// readyPod waits until all containers of a pod are ready by their probes, and the check is content.
func readyPod(t *testing.T, name string, check func(*livePod) error) *livePod {
	t.Helper()
	var pod *livePod
	within(t, 4*time.Minute, func() (err error) {
		if pod, err = findPod(name); err != nil {
			return err
		}
		for _, c := range pod.Status.ContainerStatuses {
			if !c.Ready {
				return fmt.Errorf("container %s is not ready: %+v", c.Name, pod.Status)
			}
		}
		if pod.Status.PodIP == "" || len(pod.Status.ContainerStatuses) == 0 {
			return fmt.Errorf("pod %s has not started: %+v", name, pod.Status)
		}
		if check != nil {
			return check(pod)
		}
		return nil
	})
	return pod
}

// startPod gives a pod to the kubelet, in place of one of its name.
func startPod(t *testing.T, pod map[string]any) {
	t.Helper()
	meta := pod["metadata"].(map[string]any)
	// The kubelet takes a file that is complete: one that begins with a dot is none.
	hidden := filepath.Join(podFolder, ".pod")
	write(t, hidden, string(marshal(t, pod)))
	if err := os.Rename(hidden, filepath.Join(podFolder, meta["name"].(string)+".json")); err != nil {
		t.Fatal(err)
	}
}

// ask lets the requests of a test go to a pod.
func ask(t *testing.T, pod *livePod) {
	t.Helper()
	before := address
	address = "http://" + pod.Status.PodIP + ":10042"
	t.Cleanup(func() { address = before })
	ready(t)
}

// memoryMax reads the limit of a container in its own cgroup.
func memoryMax(t *testing.T, c liveContainer) float64 {
	t.Helper()
	_, id, ok := strings.Cut(c.ContainerID, "://")
	if !ok {
		t.Fatalf("container %s has the id %q", c.Name, c.ContainerID)
	}
	return number(t, filepath.Join(sh(t, "find /sys/fs/cgroup -type d -name '*"+id+"*' | head -n 1"), "memory.max"))
}
