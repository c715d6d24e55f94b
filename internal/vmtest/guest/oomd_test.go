//go:build vm

package guest

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// A service that needs more than its MemoryHigh is slowed down by the kernel until systemd-oomd ends it:
// that kill is none of the kernel's.
func TestOomd(t *testing.T) {
	what(t, "systemd-oomd alongside: a service that it kills is seen to exit and to be back, no kill of the kernel is counted, the exporter stays")
	write(t, "/etc/systemd/oomd.conf.d/vmtest.conf", "[OOM]\nDefaultMemoryPressureDurationSec=2s\n")
	run(t, "systemctl", "restart", "systemd-oomd.service")
	t.Cleanup(func() { _, _ = try("systemctl", "stop", "systemd-oomd.socket", "systemd-oomd.service") })
	serve(t, target("squeezed"))
	host, err := metric("spillway_host_oom_kills_total")
	if err != nil {
		t.Fatal(err)
	}
	transient(t, "squeezed", "-p", "User=app", "-p", "MemoryHigh=40M", "-p", "MemorySwapMax=0", "-p", "ManagedOOMMemoryPressure=kill", "-p", "ManagedOOMMemoryPressureLimit=5%",
		"-p", "Restart=always", "-p", "RestartSec=1", "-p", "StartLimitIntervalSec=0", "bash", "-c",
		// The second start is well.
		"[ -e /tmp/squeezed ] && exec sleep 1000000; until [ -e /tmp/now ]; do sleep 1; done; touch /tmp/squeezed; exec python3 -c \"x = bytearray(b'x') * (400 << 20)\"")
	expect(t, `spillway_processes{target="squeezed"}`, 2)
	write(t, "/tmp/now", "")
	t.Cleanup(func() { os.Remove("/tmp/now"); os.Remove("/tmp/squeezed") })
	within(t, 3*time.Minute, func() error {
		_, err := try("bash", "-c", "journalctl -u systemd-oomd.service --no-pager -o cat | grep -q 'Killed .*squeezed.service'")
		if err != nil {
			err = fmt.Errorf("systemd-oomd has killed nothing: %w", err)
		}
		return err
	})
	atLeast(t, `spillway_process_exits_total{target="squeezed"}`, 1)
	expect(t, `spillway_processes{target="squeezed"}`, 1)
	expect(t, `spillway_memory_level{target="squeezed"}`, 0)
	expect(t, `spillway_cgroup_oom_kills_total{target="squeezed"}`, 0)
	expect(t, "spillway_host_oom_kills_total", host)
	if got := property(t, unit, "NRestarts"); got != "0" {
		t.Errorf("the exporter was restarted %s times", got)
	}
}
