//go:build vm

package guest

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	exporterPod = "spillway-exporter-vmtest" // a static pod has the name of its node behind its own
	leakPod     = "leaky-vmtest"
	leakTarget  = "shop/leaky-vmtest/web"
	sidecarPod  = "orchestrator-vmtest"
)

// leakingPod is a pod that is ended by its limit, and leaves files in a volume of its own. Without a uid
// the kubelet makes one up, which has no hyphens.
func leakingPod(uid string) map[string]any {
	meta := map[string]any{"name": "leaky", "namespace": "shop"}
	if uid != "" {
		meta["uid"] = uid
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": meta,
		"spec": map[string]any{
			"terminationGracePeriodSeconds": 5,
			"containers": []any{map[string]any{
				"name": "web", "image": leakImage, "imagePullPolicy": "Never",
				"resources":       map[string]any{"limits": map[string]any{"memory": "128Mi"}},
				"securityContext": map[string]any{"runAsUser": 10001, "runAsGroup": 10001},
				"volumeMounts":    []any{map[string]any{"name": "data", "mountPath": "/data"}, map[string]any{"name": "shm", "mountPath": "/shm"}},
			}},
			"volumes": []any{
				map[string]any{"name": "data", "emptyDir": map[string]any{}},
				map[string]any{"name": "shm", "emptyDir": map[string]any{"medium": "Memory"}},
			},
		},
	}
}

// wantPodLimit waits for the limit of a container, which is that of its cgroup.
func wantPodLimit(t *testing.T, target string, c liveContainer, want float64) {
	t.Helper()
	limit := memoryMax(t, c)
	if limit != want {
		t.Errorf("memory.max of %s is %v, want %v", c.Name, limit, want)
	}
	expect(t, fmt.Sprintf("spillway_memory_limit_bytes{target=%q}", target), limit)
}

// wantLeak waits for what is known of the leaking pod.
func wantLeak(t *testing.T, pod *livePod) {
	t.Helper()
	wantPodLimit(t, leakTarget, pod.container("web"), 128<<20)
	of := `{target="` + leakTarget + `"}`
	expect(t, "spillway_processes"+of, 1)
	expect(t, `spillway_memory_limit_info{basis="cgroup",source="cgroup_v2",target="`+leakTarget+`"}`, 1)
	atLeast(t, "spillway_memory_used_bytes"+of, 48<<20)
	atLeast(t, "spillway_memory_used_ratio"+of, 0.3)
	expect(t, "spillway_memory_level"+of, 0)
	within(t, time.Minute, func() error {
		return hasSeries("spillway_target_info", `container="web"`, `namespace="shop"`, `pod="`+leakPod+`"`, `source="discover"`, `target="`+leakTarget+`"`)
	})
}

// hasSeries looks for a series with labels among those of a metric.
func hasSeries(metric string, labels ...string) error {
	text, err := get("/metrics")
	if err != nil {
		return err
	}
	var all []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, metric+"{") {
			continue
		}
		all = append(all, line)
		if !slices.ContainsFunc(labels, func(label string) bool { return !strings.Contains(line, label) }) {
			return nil
		}
	}
	return fmt.Errorf("no %s with %v, but:\n%s", metric, labels, strings.Join(all, ""))
}

// wantNamed fails when a target was named for what it is not.
func wantNamed(t *testing.T) {
	t.Helper()
	text, err := get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "spillway_processes{") && (strings.Contains(line, "unnamed") || strings.Contains(line, "..")) {
			t.Errorf("a target that nothing names: %s", line)
		}
	}
}

// wantProbed waits until every kind of probe that the pod has was successful.
func wantProbed(t *testing.T, pod string, kinds ...string) {
	t.Helper()
	within(t, 2*time.Minute, func() error {
		text, err := kubeletSays("/metrics/probes")
		if err != nil {
			return err
		}
		for _, kind := range kinds {
			seen := false
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "prober_probe_total{") || !strings.Contains(line, `pod="`+pod+`"`) || !strings.Contains(line, `probe_type="`+kind+`"`) {
					continue
				}
				seen = seen || strings.Contains(line, `result="successful"`)
			}
			if !seen {
				return fmt.Errorf("no %s of %s was successful:\n%s", kind, pod, text)
			}
		}
		return nil
	})
}

func TestKubelet(t *testing.T) {
	what(t, "Kubernetes 1.34: a kubelet with containerd and the systemd driver runs the shipped pods")
	startKubelet(t, "systemd")
	startPod(t, leakingPod(""))
	leak := readyPod(t, leakPod, nil)
	t.Run("FromTheHost", func(t *testing.T) { testFromTheHost(t, leak) })
	_, _ = try("systemctl", "stop", unit)
	away(t, "/var/lib/spillway") // the folder of the journal is another user's
	t.Run("Shipped", func(t *testing.T) { testShippedPod(t, leak) })
	t.Run("Kills", testKills)
	t.Run("Enforce", func(t *testing.T) { testEnforceInVolume(t, leak) })
	t.Run("Sidecar", testSidecar)
}

func testFromTheHost(t *testing.T, leak *livePod) {
	what(t, "Kubernetes: the service of the host knows a container as `namespace/pod/container`, with its limit")
	serve(t, "discover: {by: container, top: 20}\n")
	wantLeak(t, leak)
	wantNamed(t)
}

func testShippedPod(t *testing.T, leak *livePod) {
	what(t, "Kubernetes: the DaemonSet as shipped: ready and live by its probes; names and limits are the same from inside")
	startPod(t, staticPod(t, read(t, "/payload/daemonset.yaml"), "DaemonSet", shippedConfig(t, "configmap.yaml")))
	exporter := readyPod(t, exporterPod, nil)
	ask(t, exporter)
	wantLeak(t, leak)
	wantNamed(t)
	wantPodLimit(t, "spillway/"+exporterPod+"/spillway-exporter", exporter.container("spillway-exporter"), 128<<20)
	wantProbed(t, exporterPod, "Startup", "Readiness", "Liveness")
}

// killLeak has the kernel end the leaking container for the given time, and waits until it is started
// again and the kill is counted.
func killLeak(t *testing.T, kills int) *livePod {
	t.Helper()
	run(t, "pkill", "-USR1", "-x", "leaky")
	leak := readyPod(t, leakPod, func(p *livePod) error {
		// How it ended is not asked: containerd does not always see that it was the kernel.
		if c := p.container("web"); c.RestartCount != kills {
			return fmt.Errorf("not killed and started again: %+v", c)
		}
		return nil
	})
	wantKills(t, leakTarget, kills)
	return leak
}

// wantKills waits until so many kills of a target are counted. The kubelet has the kernel end a container
// as a whole, which then counts the process twice now and then: as the victim, and as one of the container.
func wantKills(t *testing.T, target string, kills int) {
	t.Helper()
	within(t, time.Minute, func() error {
		got, err := metric(`spillway_cgroup_oom_kills_total{target="` + target + `"}`)
		if err == nil && (got < float64(kills) || got > float64(2*kills)) {
			err = fmt.Errorf("%v kills, want %d, or as many again", got, kills)
		}
		return err
	})
}

// testKills has the kernel end the leaking container, twice.
func testKills(t *testing.T) {
	what(t, "Kubernetes: OOM kills of a container are counted over its restarts, under one name")
	exporter := readyPod(t, exporterPod, nil)
	ask(t, exporter)
	for kills := 1; kills <= 2; kills++ {
		wantLeak(t, killLeak(t, kills))
	}
	if err := hasSeries("spillway_processes", "web_2"); err == nil {
		t.Error("after a restart the container has another name")
	}
	if c := readyPod(t, exporterPod, nil).container("spillway-exporter"); c.RestartCount != 0 {
		t.Errorf("the exporter was restarted: %+v", c)
	}
}

// emptyDir is the folder of a volume on the node.
func emptyDir(pod *livePod, volume string) string {
	return podVolumes + "/" + pod.Metadata.UID + "/volumes/kubernetes.io~empty-dir/" + volume
}

// volumeConfig is a configuration that cleans the two volumes of the leaking pod when it is asked to.
// Each is named by a key of the policy: dir, or volume.
func volumeConfig(data, shm string) string {
	return "standalone: true\nmode: enforce\nwebhook: {token_file: /etc/spillway/token}\n" +
		"targets:\n" +
		"  - name: web\n" +
		"    processes: {match: {namespace: shop, pod: " + leakPod + ", container: web}}\n" +
		"    temp_dirs:\n" +
		"      - {name: data, " + data + ", include: ['*.wav'], age_by: mtime, max_age: 1h}\n" +
		"      - {name: shm, " + shm + ", include: ['*.wav'], age_by: mtime, max_age: 1h}\n"
}

// testEnforceInVolume cleans the volumes of the leaking pod. The pod of the exporter is started before
// the one whose volumes it cleans.
func testEnforceInVolume(t *testing.T, leak *livePod) {
	what(t, "Kubernetes: `enforce` in a pod's emptyDir, on disk by `dir` and in memory by `volume`, through the documented mount; an open file stays")
	data, shm := emptyDir(leak, "data"), emptyDir(leak, "shm")
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := try("bash", "-c", "grep kubelet/pods /proc/$(pgrep -o -x spillway_export)/mountinfo; ls -la "+data+" "+shm)
			t.Log(out)
		}
	})
	before := readyPod(t, exporterPod, nil)
	sh(t, "rm "+podFolder+"/leaky.json")
	within(t, 3*time.Minute, func() error {
		if exists(shm) {
			return fmt.Errorf("%s is still there", shm)
		}
		return nil
	})
	startPod(t, staticPod(t, mounted(t, read(t, "/payload/daemonset.yaml"), podVolumes), "DaemonSet", volumeConfig("owner: ['10001'], dir: "+data, "volume: shm")))
	ask(t, readyPod(t, exporterPod, func(p *livePod) error {
		if p.Metadata.UID == before.Metadata.UID {
			return fmt.Errorf("pod %s is not replaced", exporterPod)
		}
		return nil
	}))
	startPod(t, leakingPod(""))
	wantPodLimit(t, "web", readyPod(t, leakPod, nil).container("web"), 128<<20)
	within(t, time.Minute, func() error {
		if made := sh(t, "ls "+data+" "+shm); strings.Count(made, ".wav") != 8 {
			return fmt.Errorf("the pod has not made its files: %s", made)
		}
		return nil
	})
	step := play(t, "web", "clean_temp")
	for _, dir := range []string{data, shm} {
		if left := sh(t, "ls "+dir); left != "open.wav" {
			t.Errorf("left %q in %s, want open.wav: %+v", left, dir, step)
		}
	}
	if step.Skipped["in_use"] != 2 {
		t.Errorf("want in_use 2: %+v", step)
	}
}

// sidecarScript is a service that leaves files behind where the example looks for them.
const sidecarScript = `const fs = require('fs');
const old = new Date(Date.now() - 72 * 3600 * 1000);
for (const name of ['cache/a.json', 'tts/a.wav', 'tts/b.mp3']) {
  const path = '/srv/orchestrator/' + name;
  fs.mkdirSync(require('path').dirname(path), {recursive: true});
  fs.writeFileSync(path, 'x');
  fs.utimesSync(path, old, old);
}
setInterval(() => {}, 1000);
`

func testSidecar(t *testing.T) {
	what(t, "Kubernetes: the sidecar example is ready and live, and sees processes, heap and volumes of its neighbor; with `/sys` its limit; `enforce`")
	nodeProgram(t, "docker.io/library/orchestrator:dev", sidecarScript).load(t)
	shipped := read(t, "/payload/sidecar.yaml")
	config := shippedConfig(t, "sidecar.yaml")
	startPod(t, staticPod(t, shipped, "Deployment", config))
	pod := readyPod(t, sidecarPod, nil)
	ask(t, pod)
	wantSidecar(t)
	wantProbed(t, sidecarPod, "Readiness", "Liveness")

	for old, now := range map[string]string{
		"mode: dry_run":         "mode: enforce\nwebhook: {token_file: /etc/spillway/token}",
		"max_age: 1h":           "max_age: 1h, age_by: mtime",
		"memory: {limit: 1GiB}": "# ",
	} {
		if !strings.Contains(config, old) {
			t.Fatalf("the example has no %q", old)
		}
		config = strings.Replace(config, old, now, 1)
	}
	enforcing := withSys(t, staticPod(t, shipped, "Deployment", config))
	sh(t, "chown -R 10001:10001 "+podConfigs+"/orchestrator; chmod 600 "+podConfigs+"/orchestrator/token")
	startPod(t, enforcing)
	before := pod
	pod = readyPod(t, sidecarPod, func(p *livePod) error {
		if p.Metadata.UID == before.Metadata.UID {
			return fmt.Errorf("pod %s is not replaced", sidecarPod)
		}
		return nil
	})
	ask(t, pod)
	wantSidecar(t)
	wantPodLimit(t, "orchestrator", pod.container("orchestrator"), 1<<30)
	expect(t, `spillway_temp_expired_files{dir="tts",target="orchestrator"}`, 2)
	step := play(t, "orchestrator", "clean_temp")
	if left, err := os.ReadDir(emptyDir(pod, "tts")); err != nil || len(left) != 0 || step.Outcome != "done" {
		t.Errorf("%v, %d files are left: %+v", err, len(left), step)
	}
}

func wantSidecar(t *testing.T) {
	t.Helper()
	expect(t, `spillway_processes{target="orchestrator"}`, 1)
	expect(t, `spillway_memory_limit_bytes{target="orchestrator"}`, 1<<30)
	atLeast(t, `spillway_heap_used_bytes{runtime="node",target="orchestrator"}`, 1<<20)
	atLeast(t, `spillway_heap_limit_bytes{runtime="node",target="orchestrator"}`, 1<<20)
	// Folders are looked at again after half a minute, or later where a look takes long.
	within(t, 3*time.Minute, func() error {
		cached, err := metric(`spillway_cache_entries{cache="media",target="orchestrator"}`)
		files, err2 := metric(`spillway_temp_files{dir="tts",target="orchestrator"}`)
		if err := cmp.Or(err, err2); err != nil {
			return err
		}
		if cached != 1 || files != 2 {
			return fmt.Errorf("%v cache entries and %v temporary files, want 1 and 2", cached, files)
		}
		return nil
	})
}

func TestKubeletCgroupfs(t *testing.T) {
	what(t, "Kubernetes with the cgroupfs driver: name, limit and kills of a pod")
	const uid = "4f1c2d3e-5a6b-4c7d-8e9f-a0b1c2d3e4f5" // as the API server makes them
	startKubelet(t, "cgroupfs")
	away(t, "/var/lib/spillway")
	startPod(t, leakingPod(uid))
	startPod(t, staticPod(t, read(t, "/payload/daemonset.yaml"), "DaemonSet", shippedConfig(t, "configmap.yaml")))
	ask(t, readyPod(t, exporterPod, nil))
	leak := readyPod(t, leakPod, nil)
	if leak.Metadata.UID != uid {
		t.Errorf("the pod's uid is %s, want %s", leak.Metadata.UID, uid)
	}
	wantLeak(t, leak)
	wantNamed(t)
	killLeak(t, 1)
}
