//go:build vm

package guest

import (
	"os/user"
	"strings"
	"testing"
)

// These run as the user of the service, outside of its sandbox and without its capabilities.

func TestUserRestarts(t *testing.T) {
	what(t, "as the service's user: `systemctl restart` of the unit in the polkit rule, and of no other")
	if u, err := user.Current(); err != nil || u.Username != "spillway" {
		t.Fatalf("this is %v, %v", u, err)
	}
	run(t, "systemctl", "--no-ask-password", "restart", "orchestrator.service")
	for _, args := range [][]string{{"restart", "other.service"}, {"stop", "orchestrator.service"}, {"restart", unit}} {
		if out, err := try("systemctl", append([]string{"--no-ask-password"}, args...)...); err == nil {
			t.Errorf("systemctl %v was allowed: %s", args, out)
		}
	}
}

func TestUserChecks(t *testing.T) {
	what(t, "as the service's user without capabilities: `check` names the folder it may not read")
	config := t.TempDir() + "/shop.yml"
	write(t, config, strings.ReplaceAll(shop, "/srv/shop/tts", "/var/cache/ldconfig"))
	out, err := try("spillway_exporter", "check", "--config.file="+config)
	if !strings.Contains(out, "/var/cache/ldconfig") || !strings.Contains(out, "permission denied") {
		t.Errorf("%v: %s", err, out)
	}
}
