package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
)

// defaultPolkitUser is the user of the shipped unit.
const defaultPolkitUser = "spillway"

// userForm is a name as useradd takes it.
var userForm = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

// polkitRule takes the user and the list of units, each as a literal of JavaScript.
const polkitRule = `// Lets %[1]s restart these units, and do nothing else to them or to others. Printed by
// spillway_exporter export --polkit for /etc/polkit-1/rules.d/50-spillway.rules; see docs/restart.md.
// Needs polkit 0.106 or later, which reads rules in this form.
polkit.addRule(function (action, subject) {
    var units = %[2]s;
    if (action.id === "org.freedesktop.systemd1.manage-units" && subject.user === %[1]s &&
        action.lookup("verb") === "restart" && units.indexOf(action.lookup("unit")) >= 0) {
        return polkit.Result.YES;
    }
});
`

// exportPolkit prints the rule for some units.
func exportPolkit(w io.Writer, dir, user string, units []string) error {
	if dir != "" {
		return withCode(ExitConfig, fmt.Errorf("--polkit prints to standard output: leave out %s, and redirect it into a file", dir))
	}
	if !userForm.MatchString(user) {
		return withCode(ExitConfig, fmt.Errorf("--polkit-user: %q is not the name of a user: write it as getent passwd shows it", user))
	}
	var wrong []error
	for i := range units {
		s := action.RestartSettings{Unit: units[i]}
		s.Validate(func(key, format string, args ...any) {
			if key == "unit" {
				wrong = append(wrong, fmt.Errorf("--polkit: "+format, args...))
			}
		})
		s.Complete("", false)
		units[i] = s.Unit
	}
	if err := errors.Join(wrong...); err != nil {
		return withCode(ExitConfig, err)
	}
	list, err := json.Marshal(units)
	name, nameErr := json.Marshal(user)
	if err := cmp.Or(err, nameErr); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, polkitRule, name, strings.ReplaceAll(string(list), ",", ", "))
	return err
}
