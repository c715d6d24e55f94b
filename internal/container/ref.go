package container

import (
	"cmp"
	"strconv"
	"strings"
)

// The engines, as they mark the cgroups of their containers.
const (
	Docker     = "docker"
	Podman     = "podman"
	Containerd = "containerd"
	CRIO       = "cri-o"
)

// engines are the prefixes of the scopes that the engines make: docker-ID.scope and so on. A conmon,
// which watches over a container, is in a scope of its own and is not that container.
var engines = map[string]string{
	"docker": Docker, "libpod": Podman, "libpod-payload": Podman, "cri-containerd": Containerd, "nerdctl": Containerd, "crio": CRIO,
}

// idLength is the length of the ids that all of these engines give.
const idLength = 64

// podmanParent is the cgroup that holds those of Podman with the cgroupfs driver.
const podmanParent = "libpod_parent"

// Ref is what a cgroup path says of the container.
type Ref struct {
	Engine string // "" when the path does not say it
	ID     string // 64 hexadecimal digits; "" when the path is that of a whole pod
	PodUID string // of a Kubernetes pod, with hyphens; of a pod of Podman its id; "" when it is in none

	// UID is the user below whose slice the container runs, 0 for one of the system.
	UID uint32
}

// Parse finds the innermost container, or else the pod, in a cgroup path. ok is false when there is
// neither.
func Parse(path string) (ref Ref, ok bool) {
	for end := len(path); end > 0; {
		i := strings.LastIndexByte(path[:end], '/')
		part, above := strings.TrimPrefix(path[i+1:end], "_"), path[:max(i, 0)]
		if ref.ID == "" {
			ref.parseID(part, above[strings.LastIndexByte(above, '/')+1:])
		}
		if ref.PodUID == "" {
			ref.PodUID = cmp.Or(podUID(part), podmanPod(part, above))
		}
		if name, ok := strings.CutPrefix(part, "user-"); ok {
			if uid, err := strconv.ParseUint(strings.TrimSuffix(name, ".slice"), 10, 32); err == nil {
				ref.UID = uint32(uid)
			}
		}
		end = i
	}
	if ref.Engine == "" && ref.PodUID == "" && ref.ID == "" {
		return Ref{}, false
	}
	return ref, true
}

// parseID takes one folder of a path as that of a container, if it is one. With systemd it is a scope
// named by engine and id; with the cgroupfs driver the id alone or, in a pod, engine and id; and where
// kubelet and runtime disagree about the driver, "slice:engine:id".
func (r *Ref) parseID(part, above string) {
	name := strings.TrimSuffix(part, ".scope")
	if isID(name) {
		switch above {
		case podmanParent: // a pod of Podman
		case Docker:
			r.Engine, r.ID = Docker, name
		default:
			r.ID = name
		}
		return
	}
	if fields := strings.Split(name, ":"); len(fields) == 3 && isID(fields[2]) {
		if engine := engines[fields[1]]; engine != "" {
			r.Engine, r.ID, r.PodUID = engine, fields[2], podUID(fields[0])
		}
		return
	}
	if i := strings.LastIndexByte(name, '-'); i > 0 && isID(name[i+1:]) {
		if engine := engines[name[:i]]; engine != "" {
			r.Engine, r.ID = engine, name[i+1:]
		}
	}
}

// podUID returns the uid of the pod whose folder this is, "" when it is none: podUID with the cgroupfs
// driver, kubepods-burstable-podUID.slice with systemd, which has underscores for hyphens (kubelet,
// pkg/kubelet/cm/cgroup_manager_linux.go). The uid of a static pod is a hash without hyphens.
func podUID(part string) string {
	name := strings.TrimSuffix(part, ".slice")
	i := strings.LastIndex(name, "pod")
	if i < 0 || i > 0 && name[i-1] != '-' {
		return ""
	}
	uid := strings.ReplaceAll(name[i+len("pod"):], "_", "-")
	if len(uid) != 36 && len(uid) != 32 {
		return ""
	}
	for i := range len(uid) {
		if !isHex(uid[i]) && (uid[i] != '-' || len(uid) == 32) {
			return ""
		}
	}
	return uid
}

// podmanPod returns the id of the pod of Podman whose folder this is, "" when it is none: with systemd
// machine-libpod_pod_ID.slice, of a user user-libpod_pod_ID.slice, else libpod_parent/ID (podman,
// libpod/runtime_pod_linux.go).
func podmanPod(part, above string) string {
	if isID(part) && (above == podmanParent || strings.HasSuffix(above, "/"+podmanParent)) {
		return part
	}
	_, id, _ := strings.Cut(strings.TrimSuffix(part, ".slice"), "-libpod_pod_")
	if !isID(id) {
		return ""
	}
	return id
}

func isID(s string) bool {
	if len(s) != idLength {
		return false
	}
	for i := range len(s) {
		if !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }
