package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// start runs a script, in namespaces that by makes, and returns what tells the members of a target that is
// this process and its children.
func start(t *testing.T, by []string, script string) func() []proc.Member {
	t.Helper()
	args := append(append([]string{}, by...), "sh", "-c", script+"\necho ready; exec sleep 60")
	cmd := exec.Command(args[0], args[1:]...)
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line := make([]byte, 6)
	if n, err := out.Read(line); n == 0 {
		_ = cmd.Wait()
		if len(by) > 0 {
			t.Skipf("namespaces cannot be made here: %v: %s", err, problem.String())
		}
		t.Fatalf("%v: %s", err, problem.String())
	}
	pidfile := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(pidfile, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	tracker, err := proc.New(proc.Options{Targets: []proc.Target{{Name: "t", Config: proc.Config{Match: proc.Match{Pidfile: pidfile}, Children: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tracker.Close() })
	return func() []proc.Member {
		if err := tracker.Refresh(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
		return tracker.Members("t")
	}
}

// ownMounts gives a process mounts of its own, as PrivateTmp= and a container runtime do.
var ownMounts = []string{"unshare", "-m"}

func names(t *testing.T, f *Folder) string {
	t.Helper()
	fd, err := unix.Dup(f.FD)
	if err != nil {
		t.Fatal(err)
	}
	dir := os.NewFile(uintptr(fd), "folder")
	defer dir.Close()
	list, err := dir.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}

func TestOpen(t *testing.T) {
	members := start(t, ownMounts, `mount -t tmpfs -o mode=1777 tmpfs /tmp && mkdir -p /tmp/app/cache /tmp/open && chmod 777 /tmp/open &&
		mkdir /tmp/open/cache && touch /tmp/app/cache/inside /tmp/file && ln -s /etc /tmp/link && ln -s app /tmp/app-link`)
	r := New(Options{Members: members})
	f, err := r.Open("/tmp/app/cache", false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := names(t, f); got != "inside" {
		t.Errorf("it holds %q, want what the process sees", got)
	}
	if f.Of == "" {
		t.Error("the folder does not say whose it is")
	}
	for dir, want := range map[string]string{
		"/tmp/link": "symbolic link", "/tmp/link/ssh": "symbolic link", "/tmp/app-link/cache": "symbolic link",
		"/tmp/none": "no such file", "/tmp/file": "not a directory", "/tmp/open/cache": "everybody can write to /tmp/open",
		"/": "all that the service has", "tmp": "not absolute", "/tmp/../etc": "not clean", "/tmp/app/../../etc": "not clean",
	} {
		if f, err := r.Open(dir, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, want %q", dir, f, err, want)
		}
	}
	if _, err := r.Open("/tmp/none", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := r.Open("/tmp/app/cache", true); err == nil || !strings.Contains(err.Error(), "is in no container") {
		t.Errorf("%v, want that its root is this host's", err)
	}
}

func TestOpenInContainer(t *testing.T) {
	root := t.TempDir()
	members := start(t, ownMounts, fmt.Sprintf(`mount -t tmpfs tmpfs %[1]s && mkdir -p %[1]s/old %[1]s/proc %[1]s/srv/data && touch %[1]s/srv/data/file &&
		for d in bin sbin lib lib64 usr; do [ -e /$d ] && mkdir %[1]s/$d && mount --bind /$d %[1]s/$d; done; cd %[1]s && pivot_root . old && umount -l /old`, root))
	f, err := New(Options{Members: members}).Open("/srv/data", true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := names(t, f); got != "file" {
		t.Errorf("it holds %q", got)
	}
}

// TestOpenOfAnother is the attack that a user namespace makes possible: whoever makes one may show a
// folder of somebody else under the name that a policy has.
func TestOpenOfAnother(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a folder of another user cannot be made")
	}
	dir := t.TempDir()
	for ; dir != "/tmp"; dir = filepath.Dir(dir) { // so that the other user reaches it
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir = t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/roots", 0o755), os.Mkdir(dir+"/mine", 0o755), os.Chown(dir+"/mine", 4242, 4242)); err != nil {
		t.Fatal(err)
	}
	attack := []string{"setpriv", "--reuid=4242", "--regid=4242", "--clear-groups", "unshare", "-U", "-r", "-m"}
	members := start(t, attack, fmt.Sprintf(`mount -t tmpfs tmpfs /srv && mkdir /srv/cache /srv/own && mount --bind %[1]s/roots /srv/cache && mount --bind %[1]s/mine /srv/own`, dir))
	r := New(Options{Members: members})
	if f, err := r.Open("/srv/cache", false); err == nil || !strings.Contains(err.Error(), "belongs to user 0, whom its user namespace does not have") {
		t.Errorf("a folder of root that was mounted there: %v, %v", f, err)
	}
	f, err := r.Open("/srv/own", false)
	if err != nil {
		t.Fatalf("its own folder: %v", err)
	}
	f.Close()
}

func TestOldest(t *testing.T) {
	at := func(pid, second int, child bool) proc.Member {
		return proc.Member{PID: pid, Start: time.Unix(int64(second), 0), Child: child}
	}
	if m, ok := oldest([]proc.Member{at(5, 9, false), at(7, 3, false), at(6, 1, true), at(9, 3, false)}); !ok || m.PID != 7 {
		t.Errorf("%+v, want 7", m)
	}
	if _, ok := oldest([]proc.Member{at(6, 1, true)}); ok {
		t.Error("a child is no process of the target by itself")
	}
	r := New(Options{Members: func() []proc.Member { return nil }})
	if _, err := r.Open("/srv/data", false); !errors.Is(err, ErrNoProcess) {
		t.Errorf("%v", err)
	}
}

// TestOpenReplaced: another process, another folder, and one that has ended is none.
func TestOpenReplaced(t *testing.T) {
	first := start(t, nil, ":")
	a := New(Options{Members: first})
	dir := t.TempDir()
	for d := dir; d != "/"; d = filepath.Dir(d) {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm()&2 != 0 && info.Mode()&os.ModeSticky == 0 {
			t.Skip("the temporary folder can be written by everybody")
		}
	}
	one, err := a.Open(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := New(Options{Members: start(t, nil, ":")}).Open(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	if one.Of == two.Of {
		t.Errorf("both are of %q", one.Of)
	}
	gone := proc.Member{PID: first()[0].PID, Start: time.Unix(1, 0)}
	if f, err := New(Options{Members: func() []proc.Member { return []proc.Member{gone} }}).Open(dir, false); err == nil {
		t.Errorf("%v, want an error: it is not that process", f)
	}
}

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
	pod := uid
	r := New(Options{RootFS: root, PodUID: func() string { return pod }})
	for name, want := range map[string]string{"data": "cache.bin", "pvc-1": "file"} {
		f, err := r.OpenVolume(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := names(t, f); got != want || f.Of != "pod "+uid {
			t.Errorf("%s holds %q of %q, want %q", name, got, f.Of, want)
		}
		f.Close()
	}
	for name, want := range map[string]string{
		"token": "is a secret", "twice": "two volumes", "link": "symbolic link", "none": "does not exist", "../../elsewhere": "not the name", "..": "not the name", "": "not the name",
	} {
		if f, err := r.OpenVolume(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %q", name, f, err, want)
		}
	}
	pod = ""
	if _, err := r.OpenVolume("data"); !errors.Is(err, ErrNoProcess) {
		t.Errorf("%v", err)
	}
}

// TestNoDescriptorIsLeft: whether a folder is opened or refused, nothing stays open.
func TestNoDescriptorIsLeft(t *testing.T) {
	members := start(t, ownMounts, `mount -t tmpfs -o mode=1777 tmpfs /tmp && mkdir -p /tmp/a/b && ln -s a /tmp/link`)()
	r := New(Options{Members: func() []proc.Member { return members }})
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := count()
	for range 20 {
		for _, dir := range []string{"/tmp/a/b", "/tmp/link/b", "/tmp/a/none/c", "/tmp"} {
			if f, err := r.Open(dir, false); err == nil {
				f.Close()
			}
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
