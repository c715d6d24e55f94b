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
)

// mostPlugins bounds the kinds of volumes of one pod that are looked at.
const mostPlugins = 64

// notOurs are the kinds of volumes that the kubelet writes itself, from the API: they hold no files of
// the service (kubelet, pkg/volume).
var notOurs = []string{"kubernetes.io~configmap", "kubernetes.io~downward-api", "kubernetes.io~projected", "kubernetes.io~secret", "kubernetes.io~git-repo"}

// csi is the kind whose volumes are mounted at a folder of their own beside what the kubelet notes.
const csi = "kubernetes.io~csi"

// CheckVolume refuses what is no name of a volume.
func CheckVolume(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%q is not the name of a volume: write it as the pod's volumes have it, such as data", name)
	}
	return nil
}

// OpenVolume opens a volume of the target's pod: /var/lib/kubelet/pods/UID/volumes/KIND/NAME. An emptyDir
// has the name that the pod gives it, a persistent volume that of the PersistentVolume. The error wraps
// fs.ErrNotExist where the pod has no such volume.
func (r *Resolver) OpenVolume(name string) (*Folder, error) {
	if err := CheckVolume(name); err != nil {
		return nil, err
	}
	uid := ""
	if r.opts.PodUID != nil {
		uid = r.opts.PodUID()
	}
	if uid == "" {
		return nil, fmt.Errorf("volume %q: the pod of the target is not known: %w", name, ErrNoProcess)
	}
	root, err := unix.Open(r.opts.RootFS, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: r.opts.RootFS, Err: err}
	}
	defer unix.Close(root)
	volumes := filepath.Join(r.opts.Kubelet, "pods", uid, "volumes")
	kinds, err := list(root, volumes)
	if err != nil {
		return nil, err
	}
	var found string
	for _, kind := range kinds {
		dir := filepath.Join(volumes, kind, name)
		fd, err := descend(root, dir)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return nil, err
		}
		unix.Close(fd)
		switch {
		case slices.Contains(notOurs, kind):
			return nil, fmt.Errorf("volume %q is a %s, which holds no files of the service", name, strings.TrimPrefix(kind, "kubernetes.io~"))
		case found != "":
			return nil, fmt.Errorf("the pod has two volumes %q: write the folder by its path", name)
		case kind == csi:
			dir = filepath.Join(dir, "mount")
		}
		found = dir
	}
	if found == "" {
		return nil, &fs.PathError{Op: "open", Path: filepath.Join(volumes, "*", name), Err: fs.ErrNotExist}
	}
	fd, err := descend(root, found)
	if err != nil {
		return nil, err
	}
	return &Folder{FD: fd, Of: "pod " + uid}, nil
}

// list returns the names of the folders in a folder.
func list(root int, dir string) ([]string, error) {
	fd, err := descend(root, dir)
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
