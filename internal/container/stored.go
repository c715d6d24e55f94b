package container

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// addStored adds what an entry of containers/storage says. CRI-O names its containers
// k8s_container_pod_namespace_uid_attempt.
func (c *Container) addStored(s *storageContainer) error {
	var m storageMetadata
	if s.Metadata != "" {
		if err := json.Unmarshal([]byte(s.Metadata), &m); err != nil {
			return fmt.Errorf("metadata of container %.12s: %w", s.ID, err)
		}
	}
	name := m.Name
	if len(s.Names) > 0 {
		name = cmp.Or(s.Names[0], name)
	}
	found := Container{Ref: Ref{Engine: Podman}, Name: name, Image: m.ImageName, Sandbox: isID(c.PodUID) && name == infraName(c.PodUID)}
	if m.PodName != "" || m.MetadataName != "" {
		found.Engine, found.Name, found.Namespace = CRIO, m.MetadataName, m.Namespace
		if parts := strings.Split(name, "_"); len(parts) == 6 && parts[0] == "k8s" {
			found.Name, found.Pod, found.Namespace, found.PodUID = parts[1], parts[2], parts[3], parts[4]
		}
		found.Sandbox = m.Pod
	}
	c.add(found)
	return nil
}

// infraName is how Podman names the container that holds the namespaces of a pod, where --infra-name says no
// other (podman, pkg/specgen/generate/pod_create.go).
func infraName(pod string) string { return pod[:12] + "-infra" }

// logsEvery is how often the kubelet's folders are listed at most.
const logsEvery = time.Second

// logs is what the names of the kubelet's links and folders say.
type logs struct {
	at   time.Time
	byID map[string]Container // of /var/log/containers
	pods map[string]Container // of /var/log/pods, by uid
	err  error
}

// readLogs takes the names from /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log and
// /var/log/pods/NAMESPACE_POD_UID (kubelet, pkg/kubelet/kuberuntime/legacy.go and helpers.go). No file
// is opened.
func readLogs(r *Resolver, now time.Time, c *Container) error {
	l := &r.logs
	if l.at.IsZero() || now.Sub(l.at) >= logsEvery || now.Before(l.at) {
		*l = logs{at: now, byID: make(map[string]Container), pods: make(map[string]Container)}
		names, err := r.root.names("/var/log/containers")
		for _, name := range names {
			if id, found, ok := parseLogLink(name); ok {
				l.byID[id] = found
			}
		}
		names, podsErr := r.root.names("/var/log/pods")
		for _, name := range names {
			if uid, found, ok := parseLogFolder(name); ok {
				l.pods[uid] = found
			}
		}
		l.err = cmp.Or(podsErr, err)
	}
	if found, ok := l.byID[c.ID]; ok {
		c.add(found)
	}
	if found, ok := l.pods[c.PodUID]; ok {
		c.add(found)
	}
	return l.err
}

func parseLogLink(name string) (id string, c Container, ok bool) {
	name, ok = strings.CutSuffix(name, ".log")
	parts := strings.Split(name, "_")
	if !ok || len(parts) != 3 {
		return "", Container{}, false
	}
	i := strings.LastIndexByte(parts[2], '-')
	if i <= 0 || !isID(parts[2][i+1:]) {
		return "", Container{}, false
	}
	return parts[2][i+1:], Container{Pod: parts[0], Namespace: parts[1], Name: parts[2][:i]}, true
}

func parseLogFolder(name string) (uid string, c Container, ok bool) {
	parts := strings.Split(name, "_")
	if len(parts) != 3 {
		return "", Container{}, false
	}
	return parts[2], Container{Namespace: parts[0], Pod: parts[1]}, true
}
