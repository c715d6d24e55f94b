package cli

import (
	"strings"
	"testing"
)

func TestExportPolkit(t *testing.T) {
	r := runLine(t, "export", "--polkit=app.service", "--polkit=web@1", "--polkit-user=watcher")
	for _, want := range []string{
		`var units = ["app.service", "web@1.service"];`, `subject.user === "watcher"`, `action.lookup("verb") === "restart"`,
		`action.id === "org.freedesktop.systemd1.manage-units"`, `action.lookup("unit")`,
	} {
		if r.code != ExitOK || !strings.Contains(r.out, want) {
			t.Errorf("%+v lacks %q", r, want)
		}
	}
	f := func(says string, args ...string) {
		t.Helper()
		if r := runLine(t, append([]string{"export"}, args...)...); r.code != ExitConfig || !strings.Contains(r.errs, says) || r.out != "" {
			t.Errorf("%q: %+v, want exit code %d and %q", args, r, ExitConfig, says)
		}
	}
	f("is not the name of a service of systemd", `--polkit=a"]; return polkit.Result.YES; //`)
	f("is not the name of a service of systemd", "--polkit=app.timer")
	f("is not the name of a service of systemd", "--polkit=*")
	f("is not the name of a user", "--polkit=app", `--polkit-user=a"b`)
	f("leave out", "--polkit=app", "folder")
}
