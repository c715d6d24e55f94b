//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// treeEnv makes the test binary a tree of processes that do nothing.
const treeEnv = "SPILLWAY_E2E_TREE"

// readyFD is where each of them writes whether its children have been started.
const readyFD = 3

const (
	started byte = 1
	failed  byte = 2
)

// dummy is a process that only has a name, arguments, a user and children.
type dummy struct {
	Comm     string   // of the link that is started
	Argv     []string // the first included
	UID      uint32
	Children []dummy
}

// count returns how many processes the tree has.
func (d *dummy) count() int {
	n := 1
	for i := range d.Children {
		n += d.Children[i].count()
	}
	return n
}

// beTree starts the children that the text describes, says so, and waits for the end of standard input.
func beTree(text string) int {
	ready := os.NewFile(readyFD, "ready")
	if err := startChildren(text, ready); err != nil {
		fmt.Fprintln(os.Stderr, err)
		_, _ = ready.Write([]byte{failed})
		return 1
	}
	if _, err := ready.Write([]byte{started}); err != nil {
		return 1
	}
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the test ends
	return 0
}

func startChildren(text string, ready *os.File) error {
	var d dummy
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return err
	}
	for i := range d.Children {
		c := &d.Children[i]
		below, err := json.Marshal(c)
		if err != nil {
			return err
		}
		cmd := &exec.Cmd{
			Path: filepath.Join(os.Getenv("SPILLWAY_E2E_LINKS"), c.Comm), Args: c.Argv, Stdin: os.Stdin, Stderr: os.Stderr,
			Env:        append(os.Environ(), treeEnv+"="+string(below)),
			ExtraFiles: []*os.File{ready},
		}
		if int(c.UID) != os.Getuid() {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.UID, Gid: c.UID}}
		}
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("start %q: %w", c.Argv, err)
		}
	}
	return nil
}

// link puts a link to the program for each name of the tree into dir.
func (d *dummy) link(t *testing.T, dir, program string) {
	t.Helper()
	for i := range d.Children {
		c := &d.Children[i]
		if err := os.Symlink(program, filepath.Join(dir, c.Comm)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		c.link(t, dir, program)
	}
}

// copySelf copies the test binary into dir, where every user can start it.
func copySelf(t *testing.T, dir string) string {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, raw, 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

// grow starts the tree in a pid namespace of its own, where nothing else runs, and returns the procfs of
// that. It ends with the test.
func (d *dummy) grow(t *testing.T) (procfs string) {
	t.Helper()
	dir := t.TempDir()
	for _, open := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(open, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self := copySelf(t, dir)
	d.link(t, dir, self)
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	cmd := exec.Command("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", self)
	cmd.Env = append(os.Environ(), treeEnv+"="+string(text), "SPILLWAY_E2E_LINKS="+dir)
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, []*os.File{to}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	to.Close()
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	ready := bufio.NewReader(from)
	for i := range d.count() {
		if says, err := ready.ReadByte(); err != nil || says != started {
			t.Fatalf("%d of %d processes were started: %v", i, d.count(), err)
		}
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	children, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	if err != nil {
		t.Fatal(err)
	}
	var root int
	if _, err := fmt.Sscan(string(children), &root); err != nil {
		t.Fatalf("the children of unshare are %q: %v", children, err)
	}
	return fmt.Sprintf("/proc/%d/root/proc", root)
}
