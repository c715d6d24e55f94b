package inside

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// ownMounts gives a process mounts of its own, as PrivateTmp= and a container runtime do; a user needs a
// user namespace for it, as a rootless engine does.
func ownMounts() []string {
	if os.Getuid() == 0 {
		return []string{"unshare", "-m"}
	}
	return []string{"unshare", "-U", "-r", "-m"}
}

// target is a process that a test has started, with its children.
type target struct {
	cmd     *exec.Cmd
	members func() []proc.Member
}

// start runs a script, in namespaces that by makes.
func start(t testing.TB, by []string, script string) *target {
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
	s := &target{cmd: cmd}
	t.Cleanup(s.end)
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
	s.members = func() []proc.Member {
		if err := tracker.Refresh(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
		return tracker.Members("t")
	}
	return s
}

// end kills the process and waits until it is gone.
func (s *target) end() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() }

// sh runs a script where the process is.
func (s *target) sh(t *testing.T, script string) {
	t.Helper()
	args := []string{"-t", strconv.Itoa(s.cmd.Process.Pid), "-m"}
	if os.Getuid() != 0 {
		args = append(args, "-U", "--preserve-credentials")
	}
	if out, err := exec.Command("nsenter", append(args, "sh", "-ec", script)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func (s *target) resolver(more ...func(*Options)) *Resolver {
	o := Options{Target: "t", Members: s.members}
	for _, f := range more {
		f(&o)
	}
	return New(o)
}

func names(t *testing.T, o dirscan.Opened) string {
	t.Helper()
	fd, err := unix.Dup(o.FD)
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

// wantRefused opens a folder and wants an error with a text.
func wantRefused(t *testing.T, r *Resolver, dir, want string) {
	t.Helper()
	if o, err := r.open(dir, false); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %+v, %v, want %q", dir, o, err, want)
	}
}

// reachable makes a folder that every user can reach.
func reachable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for up := dir; up != "/tmp" && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestAsUser runs the tests again as a user who has nothing but user namespaces.
func TestAsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this is the run as a user")
	}
	dir := reachable(t)
	self, err := os.ReadFile(os.Args[0])
	if err := errors.Join(err, os.WriteFile(dir+"/inside.test", self, 0o755), os.Mkdir(dir+"/tmp", 0o755), os.Chown(dir+"/tmp", 4242, 4242)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "setpriv", "--reuid=4242", "--regid=4242", "--clear-groups", dir+"/inside.test", "-test.run=^Test", "-test.v")
	cmd.Env, cmd.Dir = append(os.Environ(), "TMPDIR="+dir+"/tmp", "HOME="+dir+"/tmp"), dir+"/tmp"
	out, err := cmd.CombinedOutput()
	passed := strings.Count(string(out), "--- PASS")
	t.Logf("%d tests passed as a user", passed)
	if err != nil || passed == 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
