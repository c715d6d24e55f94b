package web

import (
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/ledger"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

// TestWeekAndAdvice: what the journal advises stands in the health report and on the page of its target, the summary of
// the week on the page; without either nothing is shown.
func TestWeekAndAdvice(t *testing.T) {
	const advice = "evict_cache of relieve_memory relieved 0 of 14 runs: move it behind collect_garbage"
	var advises []string
	f := newFixture(t, func(o *Options) {
		o.Advice = func(target string) []string {
			if target != "app" {
				t.Errorf("asked about %s", target)
			}
			return advises
		}
	})
	f.sample(f.now, .5, series.LevelNormal)
	page := func(path string) string {
		t.Helper()
		return f.do("GET", path, nil, "").Body.String()
	}
	if body := page("/"); strings.Contains(body, "The week to") || strings.Contains(body, advice) {
		t.Error("something is said where nothing is known")
	}
	advises = []string{advice}
	f.state.Week = ledger.Week{At: time.Date(2026, 1, 12, 3, 0, 0, 0, time.UTC), Lines: []ledger.Line{{Target: "app", Text: "relieve_memory ran 14 times"}, {Target: "other", Text: "clean_temp ran <once>"}}, More: 3}
	body := page("/")
	for _, want := range []string{"The week to 2026-01-12", "<b>app</b> relieve_memory ran 14 times", "clean_temp ran &lt;once&gt;", "3 more"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if body := page("/target/app"); !strings.Contains(body, advice) || !strings.Contains(body, "relieve_memory ran 14 times") || strings.Contains(body, "clean_temp ran") || strings.Contains(body, "3 more") {
		t.Error("the page of a target shows another one's week, or not its own")
	}
	if body := page("/health/memory?target=app"); !strings.Contains(body, `{"priority":"low","action":"`+advice) {
		t.Error(body)
	}
}
