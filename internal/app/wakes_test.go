package app

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// TestGrowHelper is the process that TestWokenByAThreshold watches: it grows when its standard input
// ends, and stays.
func TestGrowHelper(t *testing.T) {
	if os.Getenv("SPILLWAY_TEST_GROW") == "" {
		t.Skip("runs in a process of its own")
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	b, err := unix.Mmap(-1, 0, 800<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	<-t.Context().Done()
}

// startGrower starts the helper in a cgroup of version 1 of its own; grow makes it grow.
func startGrower(t *testing.T) (grow func()) {
	t.Helper()
	dir := filepath.Join("/sys/fs/cgroup/memory", fmt.Sprintf("spillway-app-test-%d", os.Getpid()))
	if _, err := os.Stat(filepath.Join(filepath.Dir(dir), "cgroup.event_control")); err != nil {
		t.Skipf("no cgroup version 1 that counts memory: %v", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("a cgroup cannot be made: %v", err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestGrowHelper$")
	cmd.Env = append(os.Environ(), "SPILLWAY_TEST_GROW=1")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.WriteFile(filepath.Join(dir, "memory.force_empty"), []byte("0"), 0o644)
		if err := unix.Rmdir(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	return func() { _ = in.Close() }
}

// TestWokenByAThreshold: with an interval of five minutes, a target is sampled as soon as its cgroup
// passes a level.
func TestWokenByAThreshold(t *testing.T) {
	grow := startGrower(t)
	a := startApp(t, "sample_interval: 5m\nstandalone: false\ntargets: [{name: own, memory: {limit: 1GiB, basis: cgroup}, processes: {match: {cmdline: TestGrowHelper}}}]\n")
	if _, text := fetch(t, a.url("/metrics")); !strings.Contains(text, "spillway_wake_watches{reason=\"threshold\"} 1\n") {
		t.Fatalf("after the first sweep nothing is registered:\n%s", text)
	}
	grow()
	deadline := time.After(10 * time.Second)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if used, _, ok := a.parts.store.Value(metric.MemoryUsed, "own"); ok && used > 600<<20 {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal("no sample was taken although the cgroup passed 70 % of the limit")
		}
	}
}
