package safefs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/refuse"
)

// helperEnv makes the test binary do something else: another process for the tests.
const helperEnv = "SPILLWAY_SAFEFS_HELPER"

func TestMain(m *testing.M) {
	if what := os.Getenv(helperEnv); what != "" {
		if err := help(what, os.Args[1]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(refuse.Main(m))
}

// help does one thing with a path, says so, and goes on until its input ends.
func help(what, path string) error {
	fd := -1
	open := func(flags int) (err error) {
		fd, err = unix.Open(path, flags, 0)
		return err
	}
	var err error
	switch what {
	case "read":
		err = open(unix.O_RDONLY)
	case "write":
		err = open(unix.O_WRONLY)
	case "map":
		err = mapOnly(path)
	case "lock":
		if err = open(unix.O_RDONLY); err == nil {
			err = unix.Flock(fd, unix.LOCK_SH)
		}
	case "open folder":
		err = open(unix.O_RDONLY | unix.O_DIRECTORY)
	case "lock folder":
		if err = open(unix.O_RDONLY | unix.O_DIRECTORY); err == nil {
			err = unix.Flock(fd, unix.LOCK_SH)
		}
	case "lease":
		if err = open(unix.O_RDONLY); err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
		}
	case "work in":
		err = os.Chdir(path)
	case "remove tree":
		return removeUntil(path)
	case "open": // says how it went only afterwards
		content, err := os.ReadFile(path)
		fmt.Printf("%q %v\n", content, err)
		return nil
	case "remove strictly":
		fmt.Println("ready")
		r := NewRemover(Options{Dir: path, MinAge: time.Minute, AgeNs: byMtime, Strict: true, Now: time.Now()})
		_, err := dirscan.Scan(context.Background(), dirscan.Options{Dir: path, Visit: func(e *dirscan.Entry) error {
			r.Remove(e)
			return nil
		}})
		return err
	case "rotate", "rotate compressed":
		fmt.Println("ready")
		_, _, err := rotateAll(context.Background(), path, RotateOptions{Compress: what == "rotate compressed"}, nil, nil)
		return err
	default:
		err = fmt.Errorf("unknown helper %q", what)
	}
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func mapOnly(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	return err
}

// start starts a helper. Its output can be read line by line; it ends with the test.
func start(t *testing.T, what, path string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0], path)
	cmd.Env = append(os.Environ(), helperEnv+"="+what)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, bufio.NewReader(out)
}

// holdElsewhere lets another process do something with a file for the rest of the test.
func holdElsewhere(what string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		_, out := start(t, what, path)
		if line, err := out.ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("helper %s: %q, %v", what, line, err)
		}
	}
}

// onThread runs f on a thread of its own, which ends afterwards: what it gave up or mounted goes
// with it. f may not end the test.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		f()
	}()
	<-done
}

// withMounts runs f where mounts are seen by no one else; it skips the test without the right.
func withMounts(t *testing.T, f func()) {
	t.Helper()
	var err error
	onThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return
		}
		if err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err == nil {
			f()
		}
	})
	if err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
}

// asNobody runs f as a user without rights; it skips the test for who is not root.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
	onThread(func() {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, 65534, 65534, 65534); errno != 0 {
			t.Errorf("setresgid: %v", errno)
			return
		}
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			t.Errorf("setresuid: %v", errno)
			return
		}
		f()
	})
}
