package dispatch

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/strictyaml"
)

// TestDocumented: every word that a sender, a metric or the journal can show is explained.
func TestDocumented(t *testing.T) {
	f := func(file string, words ...string) {
		t.Helper()
		raw, err := os.ReadFile("../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if !strings.Contains(string(raw), "`"+w+"`") {
				t.Errorf("docs/%s does not explain `%s`", file, w)
			}
		}
	}
	f("webhook.md", dispositions...)
	f("webhook.md", SkipNotOurs, SkipInstance, SkipNoPlaybook, SkipDuplicate, SkipCooldown, SkipWaiting, SkipQueueFull, SkipDraining, SkipJournal, SkipLevel, SkipFalling, SkipStuck, SkipMode, SkipPaused, SkipWindow, SkipBudget, SkipProposed, SkipDenied, SkipForecast)
	f("webhook.md", OutcomeRelieved, OutcomeIneffective, OutcomeWaiting, OutcomeNothing, OutcomeFalling, OutcomeSkipped, OutcomeNeedsHuman, OutcomeProposed, OutcomeVoided, journal.OutcomeInterrupted)
	f("autonomy.md", proposalOutcomes...)
	f("webhook.md", DefaultNames()...)
	for _, t := range []alert.Trigger{
		alert.TriggerWebhook, alert.TriggerStandalone, alert.TriggerPull, alert.TriggerManual, alert.TriggerSchedule, alert.TriggerExit, alert.TriggerWatch, alert.TriggerForecast,
	} {
		f("webhook.md", string(t))
	}
	for _, o := range []action.Outcome{action.Done, action.Partial, action.Failed, action.DryRun, action.Unknown} {
		f("webhook.md", string(o))
		f("actions.md", string(o))
	}
	f("actions.md", action.Names()...)
	raw, err := os.ReadFile("../../docs/actions.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{"timeout"}
	for _, spec := range action.Table {
		if spec.Settings != nil {
			keys = append(keys, strictyaml.FieldNames(reflect.TypeOf(spec.Settings()).Elem())...)
		}
	}
	for _, key := range keys {
		if !strings.Contains(string(raw), "`"+key+"`") {
			t.Errorf("docs/actions.md does not explain the key %s", key)
		}
	}
}
