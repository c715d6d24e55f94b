//go:build vm

package guest

import (
	"strings"
	"testing"
	"time"
)

// wantSeen waits for what every watched process has.
func wantSeen(t *testing.T, name string) {
	t.Helper()
	expect(t, `spillway_processes{target="`+name+`"}`, 1)
	atLeast(t, `spillway_memory_resident_bytes{target="`+name+`"}`, 10<<20)
	atLeast(t, `spillway_memory_used_ratio{target="`+name+`"}`, 0.001)
}

func TestTargetDynamicUser(t *testing.T) {
	what(t, "a service with `DynamicUser=` as a target")
	transient(t, "dynamic", append([]string{"-p", "DynamicUser=yes"}, holder(20)...)...)
	serve(t, target("dynamic"))
	wantSeen(t, "dynamic")
}

func TestTargetPrivateTmp(t *testing.T) {
	what(t, "a service with `PrivateTmp=` as a target")
	transient(t, "private", append([]string{"-p", "User=app", "-p", "PrivateTmp=yes", "-p", "PrivateDevices=yes"}, holder(20)...)...)
	serve(t, target("private"))
	wantSeen(t, "private")
}

func TestTargetUserUnit(t *testing.T) {
	what(t, "a unit of a user's own manager as a target")
	run(t, "loginctl", "enable-linger", "app")
	t.Cleanup(func() { _, _ = try("loginctl", "disable-linger", "app") })
	manager := `runuser -u app -- env XDG_RUNTIME_DIR=/run/user/$(id -u app) `
	within(t, time.Minute, func() error {
		_, err := try("bash", "-c", manager+"systemctl --user is-system-running | grep -q -e running -e degraded")
		return err
	})
	sh(t, manager+`systemd-run --user --quiet --collect --unit=mine python3 -c "import time; x = bytearray(b'x') * (20 << 20); time.sleep(1e6)"`)
	t.Cleanup(func() { _, _ = try("bash", "-c", manager+"systemctl --user stop mine.service") })
	// Any user may call a unit of his own so.
	serve(t, target("mine"))
	expect(t, `spillway_processes{target="mine"}`, 0)
	serve(t, strings.Replace(target("mine"), "systemd_unit: mine.service", "systemd_unit: mine.service, user: app", 1))
	wantSeen(t, "mine")
}
