package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// TestJournal: what cleanup did is in the journal, in both forms, and where there is nothing the
// command says so and where to look, next to the output.
func TestJournal(t *testing.T) {
	dir := realDir(t)
	oldFile(t, dir+"/t/due.tmp")
	file := configFlag(t, tempTarget(dir))
	if r := runLine(t, "journal", file); r.code != ExitFailure || !strings.Contains(r.errs, "there is no journal yet") {
		t.Errorf("before anything ran: %+v", r)
	}
	if r := runLine(t, "cleanup", "--enforce", file); r.code != ExitOK {
		t.Fatalf("%+v", r)
	}
	r := runLine(t, "journal", file)
	if rows := strings.Split(r.out, "\n"); r.code != ExitOK || len(rows) != 3 || !strings.HasPrefix(rows[0], "TIME ") || !strings.Contains(rows[1], " clean_temp ") || !strings.Contains(rows[1], " enforce ") {
		t.Errorf("%+v", r)
	}
	r = runLine(t, "journal", file, "--output=json", "--target=app", "--limit=5")
	var record journal.Record
	if err := json.Unmarshal([]byte(r.out), &record); err != nil || record.Files != 1 || record.Playbook != "cleanup" || record.Outcome != "done" {
		t.Errorf("%+v, %v", r, err)
	}
	r = runLine(t, "journal", file, "--output=json", "--target=b")
	if r.code != ExitOK || r.out != "" || r.errs != "no record of target b in the last 24h: --since=30d looks further back\n" {
		t.Errorf("%+v", r)
	}
}
