//go:build vm

package guest

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const state = "/var/lib/spillway"

func TestJournalDiskFull(t *testing.T) {
	what(t, "a full disk for the journal: 503, `spillway_journal_writable 0`, nothing is done; on again with space")
	run(t, "systemctl", "stop", unit)
	run(t, "mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", state)
	t.Cleanup(func() {
		_, _ = try("systemctl", "stop", unit)
		run(t, "umount", state)
	})
	makeShop(t)
	serve(t, enforced(t, shop), block(t, "CAP_DAC_OVERRIDE"))
	expect(t, "spillway_journal_writable", 1)
	_, _ = try("dd", "if=/dev/zero", "of="+state+"/filler", "bs=4k", "status=none") // until it is full

	// Pages of the file that are free take some records more.
	within(t, 2*time.Minute, func() error {
		_, err := post("/api/v1/run", `{"target": "shop", "playbook": "clean_temp", "dry_run": true}`, token)
		if err == nil || !strings.Contains(err.Error(), "503") {
			return errors.Join(errors.New("not refused with 503 yet"), err)
		}
		return nil
	})
	expect(t, "spillway_journal_writable", 0)
	if answer, err := post("/api/v1/run", `{"target": "shop", "playbook": "clean_temp"}`, token); err == nil {
		t.Errorf("a run was accepted that cannot be recorded: %s", answer)
	}
	wantRemoved(t, record{}, false)
	if got := property(t, unit, "ActiveState") + property(t, unit, "NRestarts"); got != "active0" {
		t.Errorf("the unit is %s", got)
	}
	expect(t, `spillway_temp_files{dir="tts",target="shop"}`, 3)

	run(t, "rm", state+"/filler")
	wantRemoved(t, play(t, "shop", "clean_temp"), true)
	expect(t, "spillway_journal_writable", 1)
}
