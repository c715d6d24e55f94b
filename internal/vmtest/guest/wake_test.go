//go:build vm

package guest

import (
	"fmt"
	"strings"
	"testing"
)

// squeezed starts a unit that grows past its MemoryHigh= again and again, from when it has run for some
// seconds.
func squeezed(t *testing.T, name string) {
	t.Helper()
	transient(t, name, "-p", "User=app", "-p", "MemoryHigh=40M", "python3", "-c",
		"import time\ntime.sleep(15)\nwhile True:\n  x = bytearray(b'x') * (60 << 20)\n  time.sleep(2)\n  del x\n  time.sleep(2)")
}

// slow is a configuration that samples so seldom that a wake is seen as such.
func slow(t *testing.T, name string, conf ...string) {
	t.Helper()
	configure(t, target(name), conf...)
	text := strings.Replace(read(t, configFile), "sample_interval: 1s", "sample_interval: 30s", 1)
	write(t, configFile, text+"\n")
	run(t, "systemctl", "restart", unit)
	ready(t)
	expect(t, fmt.Sprintf(`spillway_processes{target=%q}`, name), 1)
}

func TestWakeAsShipped(t *testing.T) {
	what(t, "as shipped, the kernel's `memory.events` wake a target; it says once that its `memory.pressure` cannot be registered")
	squeezed(t, "squeezed")
	slow(t, "squeezed")
	atLeast(t, `spillway_wake_watches{reason="memory_events"}`, 1)
	atLeast(t, `spillway_sampler_wakes_total{reason="memory_events"}`, 1)
	// Of the host's /proc/pressure/memory it depends on the kernel.
	said := 0
	for line := range strings.Lines(sh(t, "journalctl -u "+unit+" _PID="+fmt.Sprint(mainPID(t))+" --no-pager -o cat")) {
		if strings.Contains(line, `what="memory pressure"`) && strings.Contains(line, "squeezed.service/memory.pressure") {
			said++
		}
	}
	if said != 1 {
		t.Errorf("said %d times, want once\n%s", said, logs(t))
	}
}

func TestWakeByPressure(t *testing.T) {
	what(t, "as root with writable cgroups, a trigger in `memory.pressure` wakes a target")
	squeezed(t, "pushed")
	slow(t, "pushed", "[Service]\nUser=root\nGroup=root\nProtectControlGroups=no\nReadWritePaths=/sys/fs/cgroup\n"+
		"AmbientCapabilities=CAP_DAC_OVERRIDE CAP_SYS_RESOURCE\nCapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE CAP_LEASE CAP_DAC_OVERRIDE CAP_SYS_RESOURCE\n")
	atLeast(t, `spillway_wake_watches{reason="pressure"}`, 1)
	atLeast(t, `spillway_sampler_wakes_total{reason="pressure"}`, 1)
}

func TestWakeLockMemory(t *testing.T) {
	what(t, "`lock_memory: true` needs `LimitMEMLOCK=infinity`, as its paragraph of `enforce.conf` has it")
	configure(t, "lock_memory: true\n"+shop)
	if _, err := try("systemctl", "restart", unit); err == nil {
		t.Fatal("it started without the right")
	}
	if got := property(t, unit, "ExecMainStatus"); got != "2" || !strings.Contains(logs(t), "write LimitMEMLOCK=infinity") {
		t.Errorf("exit status %s, want 2\n%s", got, logs(t))
	}
	var conf string
	for _, b := range blocks(t) {
		if strings.Contains(b, "LimitMEMLOCK=infinity") {
			conf = b
		}
	}
	serve(t, "lock_memory: true\n"+shop, conf)
	if got := sh(t, fmt.Sprintf("awk '/VmLck/ {print ($2 > 0)}' /proc/%d/status", mainPID(t))); got != "1" {
		t.Errorf("nothing is locked: %s", got)
	}
}
