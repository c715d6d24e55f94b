//go:build linux && !portable

package dirscan

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestScanOpened: a root of another mount namespace is walked as one of this is. What is mounted in it is
// passed over, files too, although this process has no such mounts in its list.
func TestScanOpened(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mount namespaces cannot be made")
	}
	dir, elsewhere := tempDir(t), tempDir(t)
	write(t, dir+"/a", 1)
	write(t, dir+"/b", 1)
	write(t, dir+"/sub/c", 1)
	write(t, dir+"/bound/d", 1)
	write(t, elsewhere+"/other", 1)
	cmd := exec.Command("unshare", "-m", "sh", "-c", fmt.Sprintf("mount --bind %[2]s/other %[1]s/b && mount --bind %[2]s %[1]s/bound && echo ready && exec sleep 60", dir, elsewhere))
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if n, err := out.Read(make([]byte, 6)); n == 0 {
		t.Skipf("mounts cannot be made: %v", err)
	}
	open := func() (Opened, error) {
		fd, err := unix.Open(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "root", dir), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return Opened{FD: fd}, err
	}
	for _, workers := range []int{1, 3} {
		got, res := paths(t, Options{Dir: "/of/another", Recursive: true, Open: open, Workers: workers})
		if slices.Sort(got); !slices.Equal(got, []string{"a", "sub/c"}) || res.Skipped[SkipMount] != 2 {
			t.Errorf("visited %q, skipped %v, want a, sub/c and two mounts", got, res.Skipped)
		}
	}
	if _, err := Scan(t.Context(), Options{Dir: dir, Open: func() (Opened, error) { return Opened{}, ErrAway }}); !errors.Is(err, ErrAway) {
		t.Errorf("%v", err)
	}
}
