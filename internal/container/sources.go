package container

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"
)

// source is one place where containers are named.
type source struct {
	name  string // for the one warning about it
	knows func(Ref) bool
	read  func(r *Resolver, now time.Time, c *Container) error // adds to c; fs.ErrNotExist when it has nothing
}

// sources are asked in this order. A path that says no engine may be any engine's.
var sources = []source{
	{"/var/log/pods and /var/log/containers", func(ref Ref) bool {
		// From inside a pod the path of a neighbor does not say that it is in one.
		return ref.PodUID != "" && !isID(ref.PodUID) || ref.Engine != Docker && ref.Engine != Podman
	}, readLogs},
	{"containerd", func(ref Ref) bool { return ref.ID != "" && (ref.Engine == Containerd || ref.Engine == "") }, readContainerd},
	{"docker", func(ref Ref) bool { return ref.ID != "" && (ref.Engine == Docker || ref.Engine == "") }, readDocker},
	{"containers/storage", func(ref Ref) bool {
		return ref.ID != "" && (ref.Engine == Podman || ref.Engine == CRIO || ref.Engine == "")
	}, readStorage},
	{"containers/storage, pods", func(ref Ref) bool { return isID(ref.PodUID) }, readPodmanPod},
}

// firstOf reads alternatives until one is there.
func firstOf(names []string, read func(name string) error) error {
	for _, name := range names {
		if err := read(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fs.ErrNotExist
}

// ociConfig is the part of an OCI bundle's config.json that is read.
type ociConfig struct {
	Hostname    string            `json:"hostname"`
	Annotations map[string]string `json:"annotations"`
}

// containerdStates are the state folders of containerd and of that of k3s, by namespace: Kubernetes and
// nerdctl.
var containerdStates = []string{
	"/run/containerd/io.containerd.runtime.v2.task/k8s.io/", "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/",
	"/run/containerd/io.containerd.runtime.v2.task/default/",
}

// readContainerd reads the annotations that containerd's CRI plugin gives a container (containerd,
// pkg/cri/annotations/annotations.go), or nerdctl (pkg/labels/labels.go).
func readContainerd(r *Resolver, _ time.Time, c *Container) error {
	return firstOf(containerdStates, func(dir string) error {
		var config ociConfig
		if err := r.root.json(dir+c.ID+"/config.json", &config); err != nil {
			return err
		}
		a := config.Annotations
		found := Container{
			Ref: Ref{Engine: Containerd, PodUID: a["io.kubernetes.cri.sandbox-uid"]}, Name: a["io.kubernetes.cri.container-name"],
			Image: a["io.kubernetes.cri.image-name"], Pod: a["io.kubernetes.cri.sandbox-name"], Namespace: a["io.kubernetes.cri.sandbox-namespace"],
		}
		if a["io.kubernetes.cri.container-type"] == "sandbox" {
			found.Sandbox = true // its image is not reported
		}
		if found.Name == "" {
			found.Name = a["nerdctl/name"]
		}
		c.add(found)
		return nil
	})
}

// dockerConfig is the part of a config.v2.json that is read (moby, container/container.go).
type dockerConfig struct {
	Name   string
	Config struct {
		Image  string
		Labels map[string]string
	}
}

// readDocker reads the state that Docker keeps of a container: of the system, or of the user that it
// runs for.
func readDocker(r *Resolver, _ time.Time, c *Container) error {
	const below = "docker/containers/"
	var config dockerConfig
	err := r.root.json("/var/lib/"+below+c.ID+"/config.v2.json", &config)
	if errors.Is(err, fs.ErrNotExist) && c.UID != 0 {
		err = r.root.userJSON(c.UID, ".local/share/"+below+c.ID+"/config.v2.json", &config)
	}
	if err != nil {
		return err
	}
	labels := config.Config.Labels // of dockershim and cri-dockerd
	found := Container{
		Ref: Ref{Engine: Docker, PodUID: labels["io.kubernetes.pod.uid"]}, Name: labels["io.kubernetes.container.name"],
		Image: config.Config.Image, Pod: labels["io.kubernetes.pod.name"], Namespace: labels["io.kubernetes.pod.namespace"],
	}
	switch {
	case labels["io.kubernetes.docker.type"] == "podsandbox":
		found.Sandbox = true
	case found.Name == "":
		found.Name = strings.TrimPrefix(config.Name, "/")
	}
	c.add(found)
	return nil
}

// storageLists are the lists of containers that containers/storage keeps, by driver; those with --rm are
// in the volatile one.
var storageLists = []string{
	"overlay-containers/containers.json", "overlay-containers/volatile-containers.json",
	"vfs-containers/containers.json", "vfs-containers/volatile-containers.json",
	"btrfs-containers/containers.json", "btrfs-containers/volatile-containers.json",
	"zfs-containers/containers.json", "zfs-containers/volatile-containers.json",
}

// storageContainer is an entry of such a list.
type storageContainer struct {
	ID       string   `json:"id"`
	Names    []string `json:"names"`
	Metadata string   `json:"metadata"` // storageMetadata as text
}

// storageMetadata is what Podman (libpod/storage.go) and CRI-O (internal/storage/runtime.go) write there.
type storageMetadata struct {
	ImageName    string `json:"image-name"`
	Name         string `json:"name"`
	MetadataName string `json:"metadata-name"` // CRI-O: the name in the pod
	PodName      string `json:"pod-name"`      // CRI-O
	Namespace    string `json:"namespace"`     // CRI-O, of a sandbox
	Pod          bool   `json:"pod"`           // CRI-O: it is the sandbox
}

// readStorage reads the store that Podman and CRI-O share: of the system, or of the user that the
// container runs for.
func readStorage(r *Resolver, _ time.Time, c *Container) error {
	return r.stored(c.UID, func(s *storageContainer) bool { return s.ID == c.ID }, func(s *storageContainer, _ decoder) error { return c.addStored(s) })
}

// readPodmanPod takes the name of a pod from the container that holds its namespaces: its host name, which
// is the pod's where --hostname gave no other.
func readPodmanPod(r *Resolver, _ time.Time, c *Container) error {
	infra := infraName(c.PodUID)
	is := func(s *storageContainer) bool { return len(s.Names) > 0 && s.Names[0] == infra }
	return r.stored(c.UID, is, func(_ *storageContainer, read decoder) error {
		var config ociConfig
		if err := read("config.json", &config); err != nil {
			return err
		}
		c.add(Container{Pod: config.Hostname, Ref: Ref{Engine: Podman}})
		return nil
	})
}

// decoder reads a file as JSON.
type decoder func(name string, into any) error

// stored looks in the stores of the system, and then in that of a user, for a container. take gets it,
// and what reads the files of its own folder.
func (r *Resolver) stored(uid uint32, is func(*storageContainer) bool, take func(*storageContainer, decoder) error) error {
	in := func(root string, read decoder) error {
		return firstOf(storageLists, func(name string) error {
			var list []storageContainer
			if err := read(root+name, &list); err != nil {
				return err
			}
			for i := range list {
				if is(&list[i]) && isID(list[i].ID) {
					own := root + path.Dir(name) + "/" + list[i].ID + "/userdata/"
					return take(&list[i], func(name string, into any) error { return read(own+name, into) })
				}
			}
			return fs.ErrNotExist
		})
	}
	err := firstOf([]string{"/var/lib/containers/storage/", "/run/containers/storage/"}, func(root string) error { return in(root, r.root.json) })
	if uid == 0 || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return in(".local/share/containers/storage/", func(name string, into any) error { return r.root.userJSON(uid, name, into) })
}
