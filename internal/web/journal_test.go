package web

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// TestJournalFilters reads what the query asks the journal for.
func TestJournalFilters(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var asked journal.Filter
	f := newFixture(t, func(o *Options) {
		o.Now = func() time.Time { return now }
		o.Journal = func(f journal.Filter) ([]journal.Record, string, error) {
			asked = f
			return []journal.Record{{ID: "2"}}, "2", nil
		}
	})
	check := func(query string, want journal.Filter) {
		t.Helper()
		asked = journal.Filter{}
		w := f.do("GET", "/api/v1/journal?"+query, nil, "")
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"next":"2"`) {
			t.Fatalf("%s: %d %s", query, w.Code, w.Body)
		}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	check("", journal.Filter{})
	check("target=a&playbook=b&outcome=open&run_id=c&after=d&limit=7", journal.Filter{Target: "a", Playbook: "b", Outcome: "open", RunID: "c", After: "d", Limit: 7})
	check("since=24h&until=90m", journal.Filter{Since: now.Add(-24 * time.Hour), Until: now.Add(-90 * time.Minute)})
	check("since=2026-01-02T15:04:05Z", journal.Filter{Since: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)})
	for query, says := range map[string]string{
		"limit=0": `limit \"0\": write a number from 1 to 1000`, "limit=1001": "write a number", "since=yesterday": `since \"yesterday\": write a time`,
		"until=" + url.QueryEscape("25:00"): `until \"25:00\": write a time`,
	} {
		if w := f.do("GET", "/api/v1/journal?"+query, nil, ""); w.Code != 400 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s, want 400 with %s", query, w.Code, w.Body, says)
		}
	}
}
