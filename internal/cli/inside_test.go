package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// privateTmp starts a process with a /tmp of its own, in which a script runs, and returns what selects it.
func privateTmp(t *testing.T, script string) (pid int, match string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mount namespaces cannot be made")
	}
	cmd := exec.Command("unshare", "-m", "sh", "-c", "mount -t tmpfs -o mode=1777 tmpfs /tmp && cd /tmp && "+script+" && echo ready && exec sleep 60")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if n, err := out.Read(make([]byte, 6)); n == 0 {
		t.Skipf("mounts cannot be made: %v", err)
	}
	pidfile := filepath.Join(realDir(t), "pid")
	writeTest(t, pidfile, strconv.Itoa(cmd.Process.Pid))
	return cmd.Process.Pid, "{match: {pidfile: " + pidfile + "}}"
}

// TestTargetRoot: check says where the folder is at present, and cleanup works there and nowhere else.
func TestTargetRoot(t *testing.T) {
	pid, match := privateTmp(t, "mkdir -p spool && touch -d '2 hours ago' spool/a.tmp spool/b.tmp c.tmp && touch young.tmp")
	config := configFlag(t, `
targets:
  - name: app
    processes: `+match+`
    temp_dirs:
      - {name: tmp, dir: /tmp, target_root: true, include: ['*.tmp'], age_by: mtime, max_age: 1h}
`)
	inside := fmt.Sprintf("/proc/%d/root/tmp", pid)
	r := runLine(t, "check", config, "--web.listen-address=127.0.0.1:0")
	if want := "temp tmp: would remove 3 of 4 files in /tmp, 0B; at present " + inside; r.code != ExitOK || !strings.Contains(r.out, want) {
		t.Errorf("check: %+v, want %q", r, want)
	}
	r = runLine(t, "cleanup", "--dry-run", "--files", config)
	if r.code != ExitOK || strings.Count(r.out, "expired\t/tmp/") != 3 || !strings.Contains(r.out, "expired\t/tmp/spool/a.tmp\n") {
		t.Errorf("cleanup --dry-run: %+v", r)
	}
	r = runLine(t, "cleanup", "--enforce", "--json", config)
	if want := `"dir":"/tmp","place":"` + inside + `","files":3`; r.code != ExitOK || !strings.Contains(strings.ReplaceAll(r.out, " ", ""), want) {
		t.Errorf("cleanup: %+v, want %q", r, want)
	}
	left, err := filepath.Glob(inside + "/*.tmp")
	if err != nil || len(left) != 1 {
		t.Errorf("left %q, %v", left, err)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Kill()
	_, _ = p.Wait()
	r = runLine(t, "cleanup", "--enforce", config)
	if want := "done, no process of the target runs, so its folder is not there at present"; r.code != ExitOK || !strings.Contains(r.out, want) {
		t.Errorf("without the process: %+v, want %q", r, want)
	}
}

// TestVolume cleans a volume of a pod below a kubelet's folder.
func TestVolume(t *testing.T) {
	const (
		uid = "5ad8d0a7-7c4c-4a2b-9d3a-6f2f1f0e9b11"
		id  = "26971d13a55d4cb0d1a3c2f6a60f0a3fd3b8a1c5e2c94f0b7d6a8e9f01234567"
	)
	host := realDir(t)
	at := filepath.Join(host, "proc", strconv.Itoa(os.Getpid()))
	for _, name := range []string{"stat", "statm", "status", "cmdline", "comm"} {
		text, err := os.ReadFile("/proc/self/" + name)
		if err != nil {
			t.Fatal(err)
		}
		writeTest(t, filepath.Join(at, name), string(text))
	}
	for _, name := range []string{"stat", "uptime", "meminfo"} {
		text, err := os.ReadFile("/proc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		writeTest(t, filepath.Join(host, "proc", name), string(text))
	}
	cgroup := func(path string) { writeTest(t, filepath.Join(at, "cgroup"), "0::"+path+"\n") }
	cgroup("/kubepods/burstable/pod" + uid + "/" + id)
	volume := filepath.Join(host, "root/var/lib/kubelet/pods", uid, "volumes/kubernetes.io~empty-dir/data")
	oldFile(t, volume+"/old.bin")
	writeTest(t, volume+"/young.bin", "x")
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{configFlag(t, `
targets:
  - name: app
    processes: {match: {comm: '`+strings.TrimSpace(string(comm))+`'}}
    caches:
      - {name: data, volume: data, include: ['*.bin'], age_by: mtime, max_age: 1h}
`), "--path.procfs=" + host + "/proc", "--path.rootfs=" + host + "/root"}
	r := runLine(t, append([]string{"check", "--web.listen-address=127.0.0.1:0"}, flags...)...)
	if want := "cache data: would remove 1 of 2 files in volume data, 1B; at present " + volume; r.code != ExitOK || !strings.Contains(r.out, want) {
		t.Errorf("check: %+v, want %q", r, want)
	}
	r = runLine(t, append([]string{"cleanup", "--enforce"}, flags...)...)
	if left, err := os.ReadDir(volume); r.code != ExitOK || err != nil || len(left) != 1 {
		t.Errorf("cleanup: %+v, %d files left, %v", r, len(left), err)
	}
	cgroup("/user.slice/user-1000.slice/kubepods-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice/cri-containerd-" + id + ".scope")
	r = runLine(t, append([]string{"cleanup", "--enforce"}, flags...)...)
	if want := "are not in a pod"; r.code != ExitFailure || !strings.Contains(r.errs, want) {
		t.Errorf("a pod that a user has named: %+v, want %q", r, want)
	}
}
