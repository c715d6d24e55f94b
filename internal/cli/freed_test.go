package cli

import (
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// heading returns the columns of a table and the cells of its last line.
func heading(t *testing.T, out string) (columns string, cells string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) < 2 {
		t.Fatalf("no table: %q", out)
	}
	return lines[0], lines[len(lines)-1]
}

// TestFreedOfADryRun: a table of dry runs says what they would free, and one of both says so in its cells.
func TestFreedOfADryRun(t *testing.T) {
	results := func(outcomes ...action.Outcome) string {
		var b strings.Builder
		var list []action.PolicyResult
		for _, o := range outcomes {
			list = append(list, action.PolicyResult{Target: "app", Policy: "p", FreedBytes: 2 << 20, Outcome: o})
		}
		printPolicies(&b, list)
		return b.String()
	}
	records := func(modes ...string) string {
		var out strings.Builder
		var list []journal.Record
		for _, m := range modes {
			list = append([]journal.Record{{Target: "app", Mode: m, FreedBytes: 2 << 20, Outcome: "done"}}, list...)
		}
		if err := printRecords(&env{Options: Options{Stdout: &out}}, "table", list); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	f := func(name, out, column, cell string) {
		t.Helper()
		columns, cells := heading(t, out)
		if !strings.Contains(columns, "  "+column+" ") || strings.Contains(columns, "WOULD FREE") != (column == "WOULD FREE") || !strings.Contains(cells, "  "+cell+" ") {
			t.Errorf("%s:\n%s", name, out)
		}
	}
	f("clean-ups", results(action.Done, action.Done), "FREED", "2MiB")
	f("dry runs", results(action.DryRun, action.DryRun), "WOULD FREE", "2MiB")
	f("one could not be read", results(action.Failed, action.DryRun), "WOULD FREE", "2MiB")
	f("both", results(action.Done, action.DryRun), "FREED", "would free 2MiB")
	f("records", records(config.Enforce, config.Enforce), "FREED", "2MiB")
	f("of dry runs", records(config.DryRun, config.DryRun), "WOULD FREE", "2MiB")
	f("of both", records(config.Enforce, config.DryRun), "FREED", "would free 2MiB")
}

// TestProgressOfADryRun: the line of progress says what would be freed, and of another process only how much.
func TestProgressOfADryRun(t *testing.T) {
	f := func(freed, want string) {
		t.Helper()
		var errs strings.Builder
		c := newCleanupOutput(&env{Options: Options{Stderr: &errs}}, false)
		c.terminal, c.freed = true, freed
		c.progress(action.PolicyResult{Target: "app", Policy: "t", Files: 3, FreedBytes: 2 << 20})
		if errs.String() != want {
			t.Errorf("%q, want %q", errs.String(), want)
		}
	}
	f("", "\rapp/t: 3 files, 2MiB")
	f(progressFreed(true), "\rapp/t: 3 files, 2MiB to free")
	f(progressFreed(false), "\rapp/t: 3 files, 2MiB freed")
}
