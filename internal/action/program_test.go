package action

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ownDir returns a folder that only root and the user of the tests can change, with all that are above it: the
// temporary folder is none.
func ownDir(t testing.TB) string {
	t.Helper()
	base, err := os.UserHomeDir()
	if os.Getuid() == 0 {
		base, err = "/var/lib", nil // others reach it
	}
	if err != nil {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp(base, ".spillway-test-")
	if err != nil {
		t.Skipf("no folder of its own: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// script writes a program and returns its path.
func script(t testing.TB, path, text string) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

func change(t testing.TB, path string, mode uint32, uid int) {
	t.Helper()
	if uid >= 0 {
		if err := os.Lchown(path, uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestProgramsThatOthersCanChange: what is refused, by whatever part of its path, and with which remedy.
func TestProgramsThatOthersCanChange(t *testing.T) {
	const other = 54321 // has no name
	root := os.Getuid() == 0
	f := func(name string, want string, build func(dir string) []string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			dir := ownDir(t)
			argv := build(dir)
			err := checkOwners(argv, dir+"/first:"+dir+"/bin:/usr/bin:/bin")
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), dir, "DIR"), want)) {
				t.Errorf("%q: %v, want %q", argv, err, want)
			}
		})
	}
	const sh = "#!/bin/sh\n"
	f("own", "", func(dir string) []string { return []string{script(t, dir+"/a/run", sh)} })
	f("a real program", "", func(string) []string { return []string{"/usr/bin/env", "true"} })
	f("group", `"DIR/a/run", the program, can be written by its group (mode 0775): chmod g-w DIR/a/run`, func(dir string) []string {
		path := script(t, dir+"/a/run", sh)
		change(t, path, 0o775, -1)
		return []string{path}
	})
	f("group of a folder above", `"DIR/a", a folder on the way to the program, can be written by its group (mode 0775): chmod g-w DIR/a, or move`, func(dir string) []string {
		path := script(t, dir+"/a/b/run", sh)
		change(t, dir+"/a", 0o775, -1)
		return []string{path}
	})
	f("all", `"DIR/a", a folder on the way to the program, can be written by everyone on this host (mode 0777): chmod go-w DIR/a`, func(dir string) []string {
		path := script(t, dir+"/a/run", sh)
		change(t, dir+"/a", 0o777, -1)
		return []string{path}
	})
	f("sticky", `"DIR/a", a folder on the way to the program, can be written by everyone on this host (mode 1777): move the program`, func(dir string) []string {
		path := script(t, dir+"/a/run", sh)
		change(t, dir+"/a", 0o1777, -1)
		return []string{path}
	})
	f("through a link", `"DIR/open", a folder on the way`, func(dir string) []string {
		script(t, dir+"/open/run", sh)
		change(t, dir+"/open", 0o777, -1)
		if err := os.Symlink("../open/run", filepath.Join(filepath.Dir(script(t, dir+"/a/x", sh)), "run")); err != nil {
			t.Fatal(err)
		}
		return []string{dir + "/a/run"}
	})
	f("through a link in an open folder", `"DIR/open", a folder on the way`, func(dir string) []string {
		path := script(t, dir+"/a/run", sh)
		script(t, dir+"/open/x", sh)
		if err := os.Symlink(path, dir+"/open/run"); err != nil {
			t.Fatal(err)
		}
		change(t, dir+"/open", 0o777, -1)
		return []string{dir + "/open/run"}
	})
	f("an interpreter", `the interpreter of "DIR/a/run": "DIR/open", a folder on the way`, func(dir string) []string {
		script(t, dir+"/open/sh", "")
		change(t, dir+"/open", 0o777, -1)
		return []string{script(t, dir+"/a/run", "#! "+dir+"/open/sh -e\n")}
	})
	f("an interpreter by env", `the interpreter of "DIR/a/run": "DIR/bin/lang", the program, can be written by its group`, func(dir string) []string {
		change(t, script(t, dir+"/bin/lang", sh), 0o775, -1)
		return []string{script(t, dir+"/a/run", "#!/usr/bin/env -S A=b lang -x\n")}
	})
	f("a script that is an argument", `"DIR/a/clean.sh", the program, can be written by its group`, func(dir string) []string {
		path := script(t, dir+"/a/clean.sh", "")
		change(t, path, 0o664, -1)
		return []string{"/bin/sh", "-eu", path, "/tmp"}
	})
	f("no script", "", func(string) []string { return []string{"/bin/sh", "-euc", "exit 0", "/tmp"} })
	f("data", "", func(string) []string { return []string{"/usr/bin/test", "-d", "/tmp"} })
	f("a link of procfs", "is a link of a procfs", func(string) []string { return []string{"/proc/self/exe"} })
	if !root {
		return
	}
	f("of another user", `"DIR/a/run", the program, belongs to uid 54321, who can put another program there: chown root DIR/a/run`, func(dir string) []string {
		path := script(t, dir+"/a/run", sh)
		change(t, path, 0o755, other)
		return []string{path}
	})
	f("a folder of another user", `"DIR/a", a folder on the way to the program, belongs to uid 54321, who can put another program there: chown root DIR/a, or move`, func(dir string) []string {
		path := script(t, dir+"/a/b/run", sh)
		change(t, dir+"/a", 0o755, other)
		return []string{path}
	})
}

// TestAnotherUserExchangesTheProgram: what another user has put in the place of a program since the configuration was
// read is not run.
func TestAnotherUserExchangesTheProgram(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("acts as another user: run it as root")
	}
	dir := ownDir(t)
	ran := filepath.Join(dir, "ran")
	path := script(t, dir+"/svc/run", "#!/bin/sh\nexit 0\n")
	if res, err := NewCommand(quiet).Run(t.Context(), commandRequest(path)); err != nil || res.Outcome != Done {
		t.Fatalf("while only root can change it: %+v, %v", res, err)
	}
	change(t, dir+"/svc", 0o755, 54321) // as an update of the service's package may do
	attack := exec.Command("/bin/sh", "-c", "mv "+path+" "+path+".old && printf '#!/bin/sh\\nid -u >"+ran+"\\n' >"+path+" && chmod 755 "+path)
	attack.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	if out, err := attack.CombinedOutput(); err != nil {
		t.Fatalf("the other user: %v: %s", err, out)
	}
	for _, dry := range []bool{true, false} {
		req := commandRequest(path)
		req.DryRun = dry
		res, err := NewCommand(quiet).Run(t.Context(), req)
		if res.Outcome != Failed || err == nil || !strings.Contains(err.Error(), "belongs to uid 54321") {
			t.Errorf("dry run %v: %+v, %v, want it refused", dry, res, err)
		}
	}
	if uid, err := os.ReadFile(ran); err == nil {
		t.Errorf("the program of the other user ran as uid %s", uid)
	}
}
