//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func cutFile(pages int64) func(*testing.T, string) {
	return func(t *testing.T, file string) {
		t.Helper()
		if err := os.Truncate(file, pages*int64(os.Getpagesize())); err != nil {
			t.Fatal(err)
		}
	}
}

// randomBytes writes noise over a third of the pages, as dd with conv=notrunc does.
func randomBytes(seed uint64) func(*testing.T, string) {
	return func(t *testing.T, file string) {
		t.Helper()
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(seed, 0))
		page := make([]byte, 4096)
		for n := int64(0); n < info.Size()/4096; n++ {
			if n > 1 && r.IntN(3) > 0 {
				continue
			}
			for i := range page {
				page[i] = byte(r.Uint32())
			}
			if _, err := f.WriteAt(page, n*4096); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// restoreOlder writes a copy of the file over it after the exporter has written more.
func restoreOlder(t *testing.T, file string) {
	t.Helper()
	older, err := os.ReadFile(filepath.Join(filepath.Dir(file), "..", "older.db"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(older); err != nil {
		t.Fatal(err)
	}
}

func removeFile(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func moveFileAway(t *testing.T, file string) {
	t.Helper()
	if err := os.Rename(file, filepath.Join(filepath.Dir(filepath.Dir(file)), "damaged.db")); err != nil {
		t.Fatal(err)
	}
}

func moveFolder(t *testing.T, file string) {
	t.Helper()
	if err := os.Rename(filepath.Dir(file), filepath.Dir(file)+".old"); err != nil {
		t.Fatal(err)
	}
}

func moveFolderBack(t *testing.T, file string) {
	t.Helper()
	if err := os.Rename(filepath.Dir(file)+".old", filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
}

// mounted mounts something for the time of the test, where that is allowed.
func mounted(t *testing.T, at string, args ...string) {
	t.Helper()
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", append(args, at)...).CombinedOutput(); err != nil {
		t.Skipf("mount is not allowed here: %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", at).Run() })
}

func smallDisk(t *testing.T, dir string) {
	t.Helper()
	mounted(t, filepath.Join(dir, "journal"), "-t", "tmpfs", "-o", "size=2m", "small")
}

// fillDisk leaves no byte in the folder of the journal.
func fillDisk(t *testing.T, file string) {
	t.Helper()
	fillFolder(t, filepath.Dir(file))
}

func fillFolder(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func emptyDisk(t *testing.T, file string) {
	t.Helper()
	removeFile(t, filepath.Join(filepath.Dir(file), "filler"))
}

// loopDisk is a disk whose blocks are in a file of a small file system: once that is full, the disk
// fails each write to a block that it has not held before.
func loopDisk(t *testing.T, dir string) {
	t.Helper()
	under := filepath.Join(dir, "under")
	mounted(t, under, "-t", "tmpfs", "-o", "size=3m", "under")
	image := filepath.Join(under, "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 32<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-O", "^has_journal", "-E", "lazy_itable_init=1", "-N", "64", image).CombinedOutput(); err != nil {
		t.Skipf("no ext4 here: %s", out)
	}
	mounted(t, filepath.Join(dir, "journal"), "-o", "loop,errors=remount-ro", image)
}

func failNewBlocks(t *testing.T, file string) {
	t.Helper()
	syscall.Sync()
	fillFolder(t, filepath.Join(filepath.Dir(filepath.Dir(file)), "under"))
}

func freeBlocks(t *testing.T, file string) {
	t.Helper()
	removeFile(t, filepath.Join(filepath.Dir(filepath.Dir(file)), "under", "filler"))
}

// turnReadOnly has ext4 meet an error, upon which it becomes read-only under the open files.
func turnReadOnly(t *testing.T, file string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[1] == filepath.Dir(file) {
			if err := os.WriteFile(filepath.Join("/sys/fs/ext4", filepath.Base(f[0]), "trigger_fs_error"), []byte("test"), 0); err != nil {
				t.Skipf("no error to be made here: %v", err)
			}
			return
		}
	}
	t.Fatal("the disk of the journal is not mounted")
}

// shutDownDisk has ext4 fail all that comes, as when its device is gone.
func shutDownDisk(t *testing.T, file string) {
	t.Helper()
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	const (
		shutdown = 0x8004587d // EXT4_IOC_SHUTDOWN
		noFlush  = 2
	)
	if err := unix.IoctlSetPointerInt(int(dir.Fd()), shutdown, noFlush); err != nil {
		t.Skipf("no shutdown of a file system here: %v", err)
	}
}

// daemons are those of fuseDisk, by the folder of the journal.
var daemons sync.Map

func fuseDisk(t *testing.T, dir string) {
	t.Helper()
	behind, at := filepath.Join(dir, "behind"), filepath.Join(dir, "journal")
	if err := os.MkdirAll(behind, 0o700); err != nil {
		t.Fatal(err)
	}
	daemons.Store(at, hangingMount(t, behind, at))
}

// cachingFuseDisk is one on which a look at the file does not ask the daemon, as with NFS.
func cachingFuseDisk(t *testing.T, dir string) {
	t.Helper()
	behind, at := filepath.Join(dir, "behind"), filepath.Join(dir, "journal")
	if err := os.MkdirAll(behind, 0o700); err != nil {
		t.Fatal(err)
	}
	daemons.Store(at, hangingMountWith(t, "attr_timeout=60,entry_timeout=60,negative_timeout=0", behind, at))
}

// pageOut has the kernel take the file out of the memory of the exporter, as it does when memory is short.
func (e *exporter) pageOut(t *testing.T, file string) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", e.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := unix.PidfdOpen(e.cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pid)
	found := false
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		if !strings.HasSuffix(strings.TrimSpace(line), file) {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			t.Fatal(err)
		}
		found = true
		part := [2]uint64{from, to - from}
		if _, _, errno := unix.Syscall6(unix.SYS_PROCESS_MADVISE, uintptr(pid), uintptr(unsafe.Pointer(&part)), 1, unix.MADV_PAGEOUT, 0, 0); errno != 0 {
			t.Skipf("memory of another process cannot be paged out here: %v", errno)
		}
	}
	if !found {
		t.Fatalf("%s is not mapped:\n%s", file, maps)
	}
}

// wakeDaemon lets a daemon that stands still go on, without which no one that waits for it can end.
func wakeDaemon(file string) {
	if daemon, ok := daemons.Load(filepath.Dir(file)); ok {
		daemon.(*process).cmd.Process.Signal(syscall.SIGCONT)
	}
}

func signalDaemon(s syscall.Signal) func(*testing.T, string) {
	return func(t *testing.T, file string) {
		t.Helper()
		daemon, _ := daemons.Load(filepath.Dir(file))
		if s == syscall.SIGSTOP {
			daemon.(*process).standStill(t)
			return
		}
		if err := daemon.(*process).cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
}
