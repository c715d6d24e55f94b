//go:build vm

package guest

import "testing"

func TestBootStarts(t *testing.T) {
	what(t, "it starts with the host")
	if got := property(t, unit, "UnitFileState"); got != "enabled" {
		t.Errorf("the unit is %s", got)
	}
	ready(t)
	expect(t, "spillway_journal_writable", 1)
	if got := property(t, unit, "NRestarts"); got != "0" {
		t.Errorf("it was restarted %s times:\n%s", got, logs(t))
	}
}
