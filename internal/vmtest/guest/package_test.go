//go:build vm

package guest

import (
	"os/user"
	"strings"
	"testing"
)

func TestPackageInstalls(t *testing.T) {
	what(t, "`dpkg -i`: the user, the unit, nothing started")
	out := run(t, "dpkg", "-i", deb)
	if !strings.Contains(out, "systemctl enable --now") {
		t.Errorf("installing does not say how to start: %s", out)
	}
	if _, err := user.Lookup("spillway"); err != nil {
		t.Error(err)
	}
	if got := property(t, unit, "ActiveState"); got != "inactive" {
		t.Errorf("after installing the unit is %s", got)
	}
	if got := sh(t, "stat -c %U:%G:%a /var/lib/spillway"); got != "spillway:spillway:750" {
		t.Errorf("/var/lib/spillway is %s", got)
	}
}

func TestPackageStartsAsInstalled(t *testing.T) {
	what(t, "`systemctl enable --now` with the installed configuration")
	run(t, "systemctl", "enable", "--now", unit)
	ready(t)
	expect(t, "spillway_config_last_reload_successful", 1)
	expect(t, "spillway_journal_writable", 1)
	if got := property(t, unit, "User"); got != "spillway" {
		t.Errorf("it runs as %s", got)
	}
}
