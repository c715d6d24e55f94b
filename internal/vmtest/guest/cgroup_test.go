//go:build vm

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// target is a configuration with one target, the processes of a unit.
func target(name string) string {
	return fmt.Sprintf("targets: [{name: %s, processes: {match: {systemd_unit: %s.service}, children: true}}]\n", name, name)
}

// cgroupFile returns the path of a file in the cgroup of a unit.
func cgroupFile(t *testing.T, unit, file string) string {
	t.Helper()
	return filepath.Join("/sys/fs/cgroup", property(t, unit, "ControlGroup"), file)
}

func number(t *testing.T, path string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(read(t, path), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// holder is a program that holds so many MiB.
func holder(mib int) []string {
	return []string{"python3", "-c", fmt.Sprintf("import time; x = bytearray(b'x') * (%d << 20); time.sleep(1e6)", mib)}
}

func TestCgroupLimit(t *testing.T) {
	what(t, "`MemoryMax=`: the limit is memory.max, the usage that of the cgroup")
	transient(t, "limited", append([]string{"-p", "User=app", "-p", "MemoryMax=200M"}, holder(50)...)...)
	serve(t, target("limited"))
	limit := number(t, cgroupFile(t, "limited.service", "memory.max"))
	if limit != 200<<20 {
		t.Errorf("memory.max is %v", limit)
	}
	expect(t, `spillway_memory_limit_bytes{target="limited"}`, limit)
	atLeast(t, `spillway_memory_used_bytes{target="limited"}`, 50<<20)
	expect(t, `spillway_memory_limit_info{basis="cgroup",source="cgroup_v2",target="limited"}`, 1)
}

func TestCgroupSlice(t *testing.T) {
	what(t, "a limit on the slice is the limit of the service in it")
	write(t, "/etc/systemd/system/vmshop.slice", "[Slice]\nMemoryMax=150M\n")
	run(t, "systemctl", "daemon-reload")
	transient(t, "insliced", append([]string{"-p", "User=app", "-p", "Slice=vmshop.slice"}, holder(20)...)...)
	serve(t, target("insliced"))
	expect(t, `spillway_memory_limit_bytes{target="insliced"}`, number(t, "/sys/fs/cgroup/vmshop.slice/memory.max"))
}

func TestCgroupHigh(t *testing.T) {
	what(t, "`MemoryHigh=`: the times it was met are counted")
	serve(t, target("high"))
	transient(t, "high", "-p", "User=app", "-p", "MemoryHigh=40M", "python3", "-c", "import time\ntime.sleep(20)\nx = bytearray(b'x') * (45 << 20)\ntime.sleep(1e6)")
	expect(t, `spillway_processes{target="high"}`, 1)
	atLeast(t, `spillway_cgroup_memory_events_total{event="high",target="high"}`, 1)
}

func TestCgroupOOM(t *testing.T) {
	what(t, "a kill by the kernel under `MemoryMax=` is counted, for the target and the host")
	serve(t, target("hungry"))
	transient(t, "hungry", "-p", "User=app", "-p", "MemoryMax=64M", "-p", "MemorySwapMax=0", "-p", "Restart=always", "-p", "RestartSec=1", "-p", "StartLimitIntervalSec=0",
		"python3", "-c", "import time\ntime.sleep(10)\nx = bytearray(b'x') * (200 << 20)\ntime.sleep(1e6)")
	atLeast(t, `spillway_cgroup_oom_kills_total{target="hungry"}`, 1)
	atLeast(t, `spillway_host_oom_kills_total`, 1)
}

func TestCgroupPressure(t *testing.T) {
	what(t, "PSI of the host and of a service")
	if _, err := os.Stat("/proc/pressure/memory"); err != nil {
		t.Fatal(err)
	}
	transient(t, "pressed", append([]string{"-p", "User=app"}, holder(5)...)...)
	serve(t, target("pressed"))
	for _, resource := range []string{"cpu", "io", "memory"} {
		atLeast(t, fmt.Sprintf("spillway_host_pressure_waiting_seconds_total{resource=%q}", resource), 0)
		atLeast(t, fmt.Sprintf("spillway_cgroup_pressure_waiting_seconds_total{resource=%q,target=\"pressed\"}", resource), 0)
	}
}

func TestCgroupReclaim(t *testing.T) {
	what(t, "`reclaim_cgroup` under its drop-in: memory.current falls; swap in use is seen, and gone after `swapoff`")
	sh(t, "[ -e /swap ] || { dd if=/dev/zero of=/swap bs=1M count=256 status=none; chmod 600 /swap; mkswap -q /swap; }; swapon /swap")
	t.Cleanup(func() { _, _ = try("swapoff", "/swap") })
	transient(t, "roomy", append([]string{"-p", "User=app"}, holder(120)...)...)
	current := cgroupFile(t, "roomy.service", "memory.current")
	within(t, time.Minute, func() error {
		if held := number(t, current); held < 120<<20 {
			return fmt.Errorf("memory.current is %v", held)
		}
		return nil
	})
	var conf []string
	for _, word := range []string{"ProtectControlGroups", "CAP_DAC_OVERRIDE"} {
		conf = append(conf, block(t, word))
	}
	config := strings.Replace(target("roomy"), "}]\n", ", playbooks: {reclaim: [{do: reclaim_cgroup, amount: 64MiB}]}}]\n", 1)
	serve(t, enforced(t, config), conf...)
	expect(t, `spillway_processes{target="roomy"}`, 1)
	before := number(t, current)
	step := play(t, "roomy", "reclaim")
	if step.Outcome != "done" {
		t.Errorf("want done: %+v", step)
	}
	if after := number(t, current); before-after < 60<<20 {
		t.Errorf("memory.current was %v and is %v", before, after)
	}
	atLeast(t, `spillway_memory_swap_bytes{target="roomy"}`, 32<<20)
	run(t, "swapoff", "/swap")
	expect(t, `spillway_memory_swap_bytes{target="roomy"}`, 0)
}
