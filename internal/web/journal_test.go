package web

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
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

// TestOutputIsForAuthenticatedCallers: what a step printed is shown to those who have proved who they are, and to
// others only where the configuration says so. To be on this host proves nothing.
func TestOutputIsForAuthenticatedCallers(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kept := []journal.Record{{ID: "2", Action: "command", Output: "secret-output", Intent: "http POST http://a/secret-intent", Error: `Post "http://a/secret-error": refused`, Detail: "http://a/secret-detail answered 200"}, {ID: "1", Action: "clean_temp"}}
	listener := false
	f := newFixture(t, func(o *Options) {
		o.Journal = func(journal.Filter) ([]journal.Record, string, error) { return kept, "", nil }
		o.Authenticated = func(*http.Request) bool { return listener }
	})
	check := func(what, authorization string, shown bool) {
		t.Helper()
		header := map[string]string{}
		if authorization != "" {
			header["Authorization"] = authorization
		}
		w := f.do("GET", "/api/v1/journal", header, "")
		body := w.Body.String()
		if w.Code != 200 || strings.Contains(body, "secret-output") != shown || strings.Contains(body, `"withheld":"the output of 1 records: send`) == shown || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s %v, want the output: %v", what, w.Code, body, w.Header(), shown)
		}
		for _, secret := range []string{"secret-intent", "secret-error", "secret-detail"} { // as earlier versions have recorded it
			if strings.Contains(body, secret) != shown {
				t.Errorf("%s: %s shown: %v, want %v", what, secret, !shown, shown)
			}
		}
		if page := f.do("GET", "/", header, "").Body.String(); strings.Contains(page, "secret-") {
			t.Errorf("%s: the page shows a secret: %s", what, page[strings.Index(page, "secret-"):][:40])
		}
	}
	check("nothing configured, on this host", "", false)
	check("a token that no file holds", "Bearer sesame", false)
	f.token = token
	check("no token", "", false)
	check("a wrong token", "Bearer open", false)
	check("another scheme", "Basic sesame", false)
	check("the token", "Bearer sesame", true)
	f.proof = true
	check("the token in enforce", "Bearer sesame", true)
	listener, f.token = true, ""
	check("authenticated by the listener", "", true)
	listener, f.public = false, true
	check("public", "", true)
	if kept[0].Output != "secret-output" {
		t.Error("the journal's own record was changed")
	}
	f.public, kept = false, kept[1:]
	if w := f.do("GET", "/api/v1/journal", nil, ""); strings.Contains(w.Body.String(), "withheld") {
		t.Errorf("nothing is withheld: %s", w.Body)
	}
}
