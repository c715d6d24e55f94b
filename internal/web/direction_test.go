package web

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

// TestHostileNames: whatever a target is called, each page shows it as text, in one direction, and links to it.
func TestHostileNames(t *testing.T) {
	long := strings.Repeat("long-", 60)
	names := []string{"a\u202egnihton fo pmet_naelc", "\u2067x\u2069\u200f", `"><img src=x onerror=alert(1)>`, "{{.State}}", "שלום", "a\xffb", long, "../../etc", "a?target=b#c", " "}
	f := newFixture(t, nil)
	f.batch.Reset(f.now)
	for _, n := range names {
		f.batch.Set(procs, 1, n)
		f.batch.Set(ratio, .9, n)
		f.state.Activity.Proposals = append(f.state.Activity.Proposals, Proposal{ID: "p" + n, Target: n, Playbook: "clean_temp", Alert: n, Reading: n, Since: f.now, Until: f.now.Add(time.Hour)})
		f.records = append(f.records, journal.Record{ID: n, RunID: n, Time: f.now, Target: n, Playbook: n, Action: n, Intent: n, Error: n, Outcome: "failed", Mode: "enforce"})
	}
	f.store.Commit(&f.batch)
	paths := []string{"/", "/journal", "/api/v1/"}
	for _, n := range names {
		if n != "a\xffb" && n != "../../etc" { // not UTF-8; and a path that clients make another one of
			paths = append(paths, "/target/"+url.PathEscape(n))
		}
	}
	for _, path := range paths {
		w := f.do("GET", path, nil, "")
		page := w.Body.String()
		if w.Code != 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
		if strings.ContainsAny(page, strings.Join(bidi, "")) {
			t.Errorf("%s has a character that turns the direction of the text", path)
		}
		if strings.Contains(page, "<img src=x") {
			t.Errorf("%s has an element that is a name", path)
		}
	}
	page := f.do("GET", "/", nil, "").Body.String()
	for _, want := range []string{"a\ufffdgnihton fo pmet_naelc", "שלום", long, "{{.State}}", "/target/" + url.PathEscape(names[0])} {
		if !strings.Contains(page, want) {
			t.Errorf("the first page does not show %.40q", want)
		}
	}
}
