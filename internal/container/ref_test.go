package container

import (
	"strings"
	"testing"
)

const (
	idA = "26971d13a55d4cb0d1a3c2f6a60f0a3fd3b8a1c5e2c94f0b7d6a8e9f01234567"
	idB = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	uid = "5ad8d0a7-7c4c-4a2b-9d3a-6f2f1f0e9b11"
	low = "5ad8d0a7_7c4c_4a2b_9d3a_6f2f1f0e9b11"
)

// TestParse: the forms are those of runc's systemd and cgroupfs drivers as Docker, Podman, containerd,
// CRI-O and the kubelet use them (kubelet, pkg/kubelet/cm/cgroup_manager_linux.go; podman,
// libpod/container_internal_linux.go; cri-o, internal/config/cgmgr).
func TestParse(t *testing.T) {
	tests := []struct {
		path string
		want Ref
	}{
		{"/system.slice/docker-A.scope", Ref{Engine: Docker, ID: idA}},
		{"/docker/A", Ref{Engine: Docker, ID: idA}},
		{"/docker/A/sub/deeper", Ref{Engine: Docker, ID: idA}},
		{"/machine.slice/libpod-A.scope", Ref{Engine: Podman, ID: idA}},
		{"/machine.slice/libpod-A.scope/container", Ref{Engine: Podman, ID: idA}},
		{"/machine.slice/machine-libpod_pod_B.slice/libpod-A.scope/container", Ref{Engine: Podman, ID: idA, PodUID: idB}},
		{"/machine.slice/machine-libpod_pod_B.slice", Ref{PodUID: idB}},
		{"/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_B.slice/libpod-A.scope/container", Ref{Engine: Podman, ID: idA, PodUID: idB, UID: 1000}},
		{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-A.scope/container", Ref{Engine: Podman, ID: idA, UID: 1000}},
		{"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-A.scope", Ref{Engine: Docker, ID: idA, UID: 1000}},
		{"/system.slice/web.service/libpod-payload-A", Ref{Engine: Podman, ID: idA}},
		{"/libpod_parent/libpod-A", Ref{Engine: Podman, ID: idA}},
		{"/libpod_parent/B/libpod-A", Ref{Engine: Podman, ID: idA, PodUID: idB}},
		{"/libpod_parent/B", Ref{PodUID: idB}},
		{"/machine.slice/libpod-conmon-A.scope", Ref{}},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podLOW.slice/cri-containerd-A.scope", Ref{Engine: Containerd, ID: idA, PodUID: uid}},
		{"/kubepods.slice/kubepods-podLOW.slice/cri-containerd-A.scope", Ref{Engine: Containerd, ID: idA, PodUID: uid}},
		{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podLOW.slice/crio-A.scope", Ref{Engine: CRIO, ID: idA, PodUID: uid}},
		{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podLOW.slice/crio-conmon-A.scope", Ref{PodUID: uid}},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podLOW.slice/docker-A.scope", Ref{Engine: Docker, ID: idA, PodUID: uid}},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podLOW.slice", Ref{PodUID: uid}},
		{"/kubepods/burstable/podUID/A", Ref{ID: idA, PodUID: uid}},
		{"/kubepods/podUID/A", Ref{ID: idA, PodUID: uid}},
		{"/kubepods/burstable/pod0123456789abcdef0123456789abcdef/A", Ref{ID: idA, PodUID: "0123456789abcdef0123456789abcdef"}}, // a static pod
		{"/kubepods/burstable/podUID/crio-A", Ref{Engine: CRIO, ID: idA, PodUID: uid}},
		{"/system.slice/containerd.service/kubepods-burstable-podLOW.slice:cri-containerd:A", Ref{Engine: Containerd, ID: idA, PodUID: uid}},
		{"/docker/B/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podLOW.slice/cri-containerd-A.scope", Ref{Engine: Containerd, ID: idA, PodUID: uid}}, // kind
		{"/../cri-containerd-A.scope", Ref{Engine: Containerd, ID: idA}},
		{"/default/A", Ref{ID: idA}},
		{"/", Ref{}},
		{"", Ref{}},
		{"/system.slice/docker.service", Ref{}},
		{"/system.slice/docker-26971d13a55d.scope", Ref{}},
		{"/system.slice/tripod-5ad8.slice", Ref{}},
		{"/user.slice/user-1000.slice/session-3.scope", Ref{}},
		{"/system.slice/backup-A.scope", Ref{}},
	}
	expand := strings.NewReplacer("UID", uid, "LOW", low, "A", idA, "B", idB)
	for _, tt := range tests {
		got, ok := Parse(expand.Replace(tt.path))
		if got != tt.want || ok != (tt.want != Ref{}) {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", tt.path, got, ok, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("/kubepods/burstable/pod" + uid + "/" + idA)
	f.Add("/user.slice/user-1000.slice/libpod-" + idA + ".scope")
	f.Fuzz(func(t *testing.T, path string) {
		ref, ok := Parse(path)
		if ref.ID != "" && (!isID(ref.ID) || !strings.Contains(path, ref.ID)) || ok && ref.ID == "" && ref.PodUID == "" {
			t.Errorf("Parse(%q) = %+v", path, ref)
		}
	})
}

func TestOwner(t *testing.T) {
	for pod, want := range map[string]string{
		"orchestrator-7d4b9c6f5-x2x9z": "orchestrator",
		"web-5c689d88bb-qcvhd":         "web",
		"my-web-app-58dd9c-2vjqk":      "my-web-app",
		"node-exporter-x2x9z":          "node-exporter", // a DaemonSet's
		"kube-proxy-2b7dk":             "kube-proxy",
		"backup-29061234-x2x9z":        "backup", // a CronJob's
		"render-3-x2x9z":               "render-3",
		"db-0":                         "db-0", // a StatefulSet's
		"db-12":                        "db-12",
		"etcd-node-a":                  "etcd-node-a",
		"redis-cache":                  "redis-cache",
		"my-kv-store-x2x9z":            "my-kv-store",
		"web-tools-x2x9z":              "web-tools",
		"x2x9z":                        "x2x9z",
		"":                             "",
		// The name that a ReplicaSet with a long name gives: 58 characters, and five more.
		strings.Repeat("a", 48) + "-7d4b9c6f5" + "x2x9z": strings.Repeat("a", 48),
		strings.Repeat("a", 57) + "-" + "x2x9z":          strings.Repeat("a", 57),
		strings.Repeat("a", 58) + "x2x9z":                strings.Repeat("a", 58),
	} {
		if got := Owner(pod); got != want {
			t.Errorf("Owner(%q) = %q, want %q", pod, got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"web", "web", true},
		{"web", "webs", false},
		{"web*", "web", true},
		{"*", "", true},
		{"", "", true},
		{"?", "", false},
		{"*nginx:*", "docker.io/library/nginx:1.25", true},
		{"docker.io/*:1.2?", "docker.io/library/nginx:1.25", true},
		{"*a*b*c", "xaxbxbxc", true},
		{"*a*b*c", "xaxcxb", false},
		{"a?c*", "abcd", true},
		{"web", "", false},
	} {
		if got := Match(tt.pattern, tt.name); got != tt.want {
			t.Errorf("Match(%q, %q) = %v", tt.pattern, tt.name, got)
		}
	}
	if CheckGlob("web-[0-9]") == nil || CheckGlob("web-*") != nil {
		t.Error("CheckGlob takes what Match does not know, or refuses what it knows")
	}
}
