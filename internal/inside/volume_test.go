package inside

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
)

func TestOpenVolume(t *testing.T) {
	const uid = "5ad8d0a7-7c4c-4a2b-9d3a-6f2f1f0e9b11"
	root := t.TempDir()
	volumes := filepath.Join(root, "var/lib/kubelet/pods", uid, "volumes")
	for _, dir := range []string{
		"kubernetes.io~empty-dir/data", "kubernetes.io~csi/pvc-1/mount", "kubernetes.io~secret/token", "kubernetes.io~empty-dir/twice",
		"kubernetes.io~nfs/twice", "../elsewhere",
	} {
		if err := os.MkdirAll(filepath.Join(volumes, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"kubernetes.io~empty-dir/data/cache.bin", "kubernetes.io~csi/pvc-1/vol_data.json", "kubernetes.io~csi/pvc-1/mount/file"} {
		if err := os.WriteFile(filepath.Join(volumes, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(volumes, "kubernetes.io~empty-dir/data"), filepath.Join(volumes, "kubernetes.io~empty-dir/link")); err != nil {
		t.Fatal(err)
	}
	pod, running := uid, true
	r := New(Options{Target: "t", RootFS: root, PodUID: func() (string, bool) { return pod, running }})
	for name, want := range map[string]string{"data": "cache.bin", "pvc-1": "file"} {
		o, err := r.Opener(&policy.Common{Volume: name})()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := names(t, o); got != want || o.Of != "pod "+uid || o.Name != "volume "+name+" of t" || !strings.HasPrefix(o.Place, volumes) {
			t.Errorf("%s: %+v holds %q, want %q", name, o, got, want)
		}
		unix.Close(o.FD)
	}
	for name, want := range map[string]string{
		"token": "is a secret", "twice": "two volumes", "link": "symbolic link", "none": "does not exist", "../../elsewhere": "not the name", "..": "not the name", "": "not the name",
	} {
		if o, err := r.openVolume(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %q", name, o, err, want)
		}
	}
	pod = ""
	if _, err := r.openVolume("data"); err == nil || errors.Is(err, dirscan.ErrAway) || !strings.Contains(err.Error(), "write a target for each pod") {
		t.Errorf("%v", err)
	}
	running = false
	if _, err := r.openVolume("data"); !errors.Is(err, dirscan.ErrAway) {
		t.Errorf("%v", err)
	}
}
