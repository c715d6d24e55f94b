package wake

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// newCgroup makes a cgroup of version 1 that counts memory, with this thread in it until the test
// ends.
func newCgroup(t *testing.T) string {
	t.Helper()
	const root = "/sys/fs/cgroup/memory"
	if _, err := os.Stat(filepath.Join(root, "cgroup.event_control")); err != nil {
		t.Skipf("no cgroup version 1 that counts memory: %v", err)
	}
	dir := filepath.Join(root, fmt.Sprintf("spillway-test-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("a cgroup cannot be made: %v", err)
	}
	move := func(to string) {
		if err := os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		move(root)
		if err := os.WriteFile(filepath.Join(dir, "memory.force_empty"), []byte("0"), 0o644); err != nil {
			t.Error(err)
		}
		if err := unix.Rmdir(dir); err != nil {
			t.Error(err)
		}
	})
	move(dir)
	return dir
}

// grow maps memory and touches every page.
func grow(t *testing.T, sizeBytes int) (free func()) {
	t.Helper()
	b, err := unix.Mmap(-1, 0, sizeBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	return func() { _ = unix.Munmap(b) }
}

// TestThreshold: the kernel calls when the usage of a cgroup of version 1 passes a threshold, up and
// down.
func TestThreshold(t *testing.T) {
	dir := newCgroup(t)
	l := listen(t, Options{})
	l.Set([]Subject{{Target: "leak", CgroupDir: dir, Thresholds: []int64{64 << 20, 96 << 20}}})
	if l.log.Len() > 0 {
		t.Fatalf("%s", &l.log)
	}
	one := grow(t, 80<<20)
	l.want(t, "leak", ReasonThreshold)
	two := grow(t, 40<<20)
	l.want(t, "leak", ReasonThreshold)
	one()
	two()
	l.want(t, "leak", ReasonThreshold)

	// With other thresholds it is registered anew, and the old ones are gone.
	l.Set([]Subject{{Target: "leak", CgroupDir: dir, Thresholds: []int64{1 << 40}}})
	defer grow(t, 80<<20)()
	select {
	case got := <-l.wakes:
		if got.target != "leak" || len(l.wakes) > 0 { // one may have been under way
			t.Errorf("%+v by a threshold that was taken back", got)
		}
	default:
	}
}

// TestPressureOfTheHost: a trigger can be set where the kernel lets this process.
func TestPressureOfTheHost(t *testing.T) {
	const file = "/proc/pressure/memory"
	if f, err := os.OpenFile(file, os.O_RDWR, 0); err != nil {
		t.Skipf("no pressure stall information for this user: %v", err)
	} else if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	l := listen(t, Options{})
	l.Set([]Subject{{Target: "host", Pressure: file}})
	if len(l.watches) != 1 || len(l.watches[0].sources) != 1 || l.watches[0].sources[0].reason != ReasonPressure {
		t.Errorf("%+v\n%s", l.watches, &l.log)
	}
}
