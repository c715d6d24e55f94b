package app

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/cgroup"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/wake"
)

func TestSubjectsOf(t *testing.T) {
	dir := realDir(t)
	slice, service := filepath.Join(dir, "shop.slice"), filepath.Join(dir, "shop.slice", "app.service")
	limit := func(cgroup, max string) { writeTest(t, filepath.Join(cgroup, "memory.max"), max+"\n") }
	v2 := cgroup.Group{Dirs: []string{service, slice, dir}, Unified: true}
	v1 := cgroup.Group{Dirs: []string{"/v1/app", "/v1"}}
	bytes := []int64{70, 85, 95}
	tests := []struct {
		name           string
		service, slice string
		groups         []cgroup.Group
		want           []wake.Subject
	}{
		{"its own limit", "1000", "2000", []cgroup.Group{v2}, []wake.Subject{{Target: "a", CgroupDir: service}}},
		{"a limit above", "max", "2000", []cgroup.Group{v2}, []wake.Subject{{Target: "a", CgroupDir: service}, {Target: "a", CgroupDir: slice}}},
		{"no limit", "max", "max", []cgroup.Group{v2}, []wake.Subject{{Target: "a", CgroupDir: service}}},
		{"version 1", "max", "max", []cgroup.Group{v1}, []wake.Subject{{Target: "a", CgroupDir: "/v1/app", Thresholds: bytes}}},
		{"the top of a hierarchy", "max", "max", []cgroup.Group{{Dirs: []string{dir}, Unified: true}}, nil},
		{"no cgroup", "max", "max", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limit(service, tt.service)
			limit(slice, tt.slice)
			got := subjectsOf("a", tt.groups, bytes)
			if !slices.EqualFunc(got, tt.want, func(a, b wake.Subject) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
				t.Errorf("%+v\nwant %+v", got, tt.want)
			}
		})
	}
}

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
