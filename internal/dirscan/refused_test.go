//go:build linux && !portable

package dirscan

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/refuse"
)

func TestMain(m *testing.M) { os.Exit(refuse.Main(m)) }

// TestWithoutCalls runs the tests of the walker again as on older kernels and under the filters of
// containers: all but the two that take the longest. newfstatat, in place of statx, costs an allocation each.
func TestWithoutCalls(t *testing.T) {
	const slow, counting = "TestScanDeep|TestScanMemory", "|TestScanAllocatesNothingPerEntry"
	refuse.Again(t, "openat2:ENOSYS", "^Test", "-test.skip="+slow)
	refuse.Again(t, "openat2:EPERM", "^Test", "-test.skip="+slow)
	refuse.Again(t, "openat2:ENOSYS,statx:ENOSYS", "^Test", "-test.skip="+slow+counting)
	refuse.Again(t, "statx:EPERM", "^Test", "-test.skip="+slow+counting)
}

// TestRefused: each answer of the kernel is recognised, and says what to do.
func TestRefused(t *testing.T) {
	calls := os.Getenv(refuse.Variable)
	err := Openat2()
	if got, want := err != nil, strings.Contains(calls, "openat2"); got != want {
		t.Errorf("without %q: %v", calls, err)
	}
	if err != nil && !strings.Contains(err.Error(), "RestrictSUIDSGID") {
		t.Errorf("%v does not say what to do", err)
	}
	if got, want := statxRefused(), strings.Contains(calls, "statx"); got != want {
		t.Errorf("without %q: statx refused is %v", calls, got)
	}
}

// The mount id that fdinfo says is the one that statx says, also of a bind mount of the same device.
func TestMountIDs(t *testing.T) {
	dir := tempDir(t)
	must(t, os.MkdirAll(dir+"/a/b", 0o755))
	mount(t, dir+"/a", dir+"/a/b", "", unix.MS_BIND, "")
	var ids []uint64
	for _, path := range []string{dir, dir + "/a", dir + "/a/b"} {
		fd, err := OpenRoot(path)
		must(t, err)
		defer unix.Close(fd)
		id, err := mountOf(fd)
		must(t, err)
		info, err := mountInfo(fd)
		must(t, err)
		if id != info {
			t.Errorf("%s: mount %d, by fdinfo %d", path, id, info)
		}
		ids = append(ids, id)
	}
	if ids[0] != ids[1] || ids[1] == ids[2] {
		t.Errorf("mounts %v, want the first two alike", ids)
	}
	if _, err := mountOf(-1); err == nil {
		t.Error("a closed descriptor has a mount")
	}
}

func TestMountNames(t *testing.T) {
	got := mountNames([]byte("22 1 254:0 / / rw - ext4 /dev/vda rw\n23 22 254:0 /x /srv/a\\040b\\134c rw - ext4 /dev/vda rw\nshort\n"))
	if !got["/"] || !got[`a b\c`] || len(got) != 2 {
		t.Errorf("names %v", got)
	}
}
