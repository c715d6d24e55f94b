package inside

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
)

// mostPlugins bounds the kinds of volumes of one pod that are looked at.
const mostPlugins = 64

// notOurs are the kinds of volumes that the kubelet writes itself, from the API: they hold no files of
// the service (kubelet, pkg/volume).
var notOurs = []string{"kubernetes.io~configmap", "kubernetes.io~downward-api", "kubernetes.io~projected", "kubernetes.io~secret", "kubernetes.io~git-repo"}

// csi is the kind whose volumes are mounted at a folder of their own next to what the kubelet notes.
const csi = "kubernetes.io~csi"

// openVolume opens a volume of the target's pod: /var/lib/kubelet/pods/UID/volumes/KIND/NAME. An emptyDir
// has the name that the pod gives it, a persistent volume that of the PersistentVolume.
func (r *Resolver) openVolume(name string) (o dirscan.Opened, err error) {
	if err := policy.CheckVolume(name); err != nil {
		return o, err
	}
	uid, running := "", false
	if r.opts.PodUID != nil {
		uid, running = r.opts.PodUID()
	}
	switch {
	case uid == "" && running:
		return o, fmt.Errorf("volume %q: the processes of %s are not in a pod, or are in several: write a target for each pod", name, r.opts.Target)
	case uid == "":
		return o, fmt.Errorf("volume %q: %w", name, ErrNoProcess)
	}
	root, err := unix.Open(r.opts.RootFS, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return o, &fs.PathError{Op: "open", Path: r.opts.RootFS, Err: err}
	}
	defer unix.Close(root)
	guard := r.guard()
	dir, err := r.findVolume(root, filepath.Join(r.opts.Kubelet, "pods", uid, "volumes"), name, guard)
	if err != nil {
		return o, err
	}
	fd, err := descend(root, dir, guard)
	if err != nil {
		return o, err
	}
	return dirscan.Opened{FD: fd, Name: "volume " + name + " of " + r.opts.Target, Of: "pod " + uid, Place: filepath.Join(r.opts.RootFS, dir)}, nil
}

// findVolume returns the folder of a volume.
func (r *Resolver) findVolume(root int, volumes, name string, guard *safefs.Guard) (found string, err error) {
	kinds, err := list(root, volumes, guard)
	if err != nil {
		return "", err
	}
	for _, kind := range kinds {
		dir := filepath.Join(volumes, kind, name)
		fd, err := descend(root, dir, guard)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return "", err
		}
		unix.Close(fd)
		switch {
		case slices.Contains(notOurs, kind):
			return "", fmt.Errorf("volume %q is a %s, which holds no files of the service", name, strings.TrimPrefix(kind, "kubernetes.io~"))
		case found != "":
			return "", fmt.Errorf("the pod has two volumes %q: write the folder by its path", name)
		case kind == csi:
			dir = filepath.Join(dir, "mount")
		}
		found = dir
	}
	if found == "" {
		return "", &fs.PathError{Op: "open", Path: filepath.Join(volumes, "*", name), Err: fs.ErrNotExist}
	}
	return found, nil
}

// list returns the names of the folders in a folder.
func list(root int, dir string, guard *safefs.Guard) ([]string, error) {
	fd, err := descend(root, dir, guard)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), dir)
	defer f.Close()
	entries, err := f.ReadDir(mostPlugins)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out, nil
}
