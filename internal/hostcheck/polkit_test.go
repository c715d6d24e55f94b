package hostcheck

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSystemctl(t *testing.T) {
	f := func(argv, verb, units string) {
		t.Helper()
		v, u := systemctl(strings.Fields(argv))
		if v != verb || strings.Join(u, " ") != units {
			t.Errorf("%q: %q %q, want %q %q", argv, v, u, verb, units)
		}
	}
	f("/usr/bin/systemctl restart orchestrator.service", "restart", "orchestrator.service")
	f("/usr/bin/systemctl --no-block restart a b.timer", "restart", "a.service b.timer")
	f("/usr/bin/systemctl try-restart app@1.2", "try-restart", "app@1.2.service")
	f("/usr/bin/systemctl --user restart a", "", "")
	f("/usr/bin/systemctl status a", "", "")
	f("/usr/bin/systemctl", "", "")
	f("/usr/bin/service a restart", "", "")
}

func TestAllows(t *testing.T) {
	shipped, err := os.ReadFile("../../deploy/polkit/50-spillway.rules")
	if err != nil {
		t.Fatal(err)
	}
	rule := withoutComments(string(shipped))
	f := func(name, rule, user, verb, unit string, want bool) {
		t.Helper()
		if got := allows(rule, user, verb, unit); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("the shipped rule", rule, "spillway", "restart", "orchestrator.service", true)
	f("another unit", rule, "spillway", "restart", "other.service", false)
	f("another verb", rule, "spillway", "stop", "orchestrator.service", false)
	f("another user", rule, "nobody", "restart", "orchestrator.service", false)
	f("in a comment only", withoutComments(strings.Replace(string(shipped), `["orchestrator.service"]`, `[/* "x.service" */] // "x.service"`, 1)), "spillway", "restart", "x.service", false)
	f("a group for all units", `polkit.addRule(function(a, s) { if (a.id == "org.freedesktop.systemd1.manage-units" && s.isInGroup("ops")) return polkit.Result.YES; });`, "spillway", "restart", "x.service", true)
	f("a refusal", strings.ReplaceAll(rule, "YES", "NO"), "spillway", "restart", "orchestrator.service", false)
	f("another action", `polkit.addRule(function(a, s) { if (a.id == "org.freedesktop.login1.reboot") return polkit.Result.YES; });`, "spillway", "restart", "x.service", false)
}

func TestReadRules(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.rules": "one // two", "b.txt": "three"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readRules([]string{filepath.Join(dir, "none"), dir})
	if err != nil || !slices.Equal(got, []string{"one "}) {
		t.Errorf("%q, %v", got, err)
	}
}
