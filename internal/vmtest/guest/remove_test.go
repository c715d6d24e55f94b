//go:build vm

package guest

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// newer makes a package of a higher version from the one under test.
func newer(t *testing.T) string {
	t.Helper()
	sh(t, `rm -rf /tmp/newer; dpkg-deb -R `+deb+` /tmp/newer
		sed -i 's/^Version: .*/&+newer/' /tmp/newer/DEBIAN/control
		dpkg-deb -Znone -b /tmp/newer /tmp/newer.deb`)
	return "/tmp/newer.deb"
}

func TestRemoveUpgrade(t *testing.T) {
	what(t, "`dpkg -i` of a newer package: restarted; not with a configuration it refuses")
	serve(t, shop)
	pid := mainPID(t)
	run(t, "dpkg", "-i", "--force-confold", newer(t))
	replaced(t, pid, 30*time.Second)
	expect(t, "spillway_journal_writable", 1)
	if got := read(t, configFile); !strings.Contains(got, "name: shop") {
		t.Errorf("the configuration was replaced: %s", got)
	}
	pid = mainPID(t)
	write(t, configFile, "mode: enfroce\n")
	out := run(t, "dpkg", "-i", "--force-confold", newer(t))
	if !strings.Contains(out, "the old one runs on") {
		t.Errorf("dpkg does not say that the old one runs on: %s", out)
	}
	if got := property(t, unit, "MainPID"); got != strconv.Itoa(pid) {
		t.Errorf("process %d became %s", pid, got)
	}
}

func TestRemovePurge(t *testing.T) {
	what(t, "`dpkg -r` keeps journal and configuration, `dpkg -P` takes both")
	serve(t, shop)
	run(t, "dpkg", "-r", "spillway-exporter")
	if got := property(t, unit, "ActiveState"); got != "inactive" {
		t.Errorf("the service is %s", got)
	}
	for path, want := range map[string]bool{"/usr/bin/spillway_exporter": false, "/var/lib/spillway/journal.db": true, configFile: true} {
		if exists(path) != want {
			t.Errorf("after dpkg -r: %s is there: %v, want %v", path, !want, want)
		}
	}
	run(t, "dpkg", "-P", "spillway-exporter")
	for _, path := range []string{"/var/lib/spillway", "/etc/spillway/spillway.yml", "/etc/default/spillway_exporter"} {
		if exists(path) {
			t.Errorf("after dpkg -P %s is there", path)
		}
	}
	if got := run(t, "id", "-un", "spillway"); got != "spillway" {
		t.Error("the user is gone, and files may belong to it")
	}
}
