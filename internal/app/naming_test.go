package app

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// scrapeAs asks for the metrics under a name that the caller chooses.
func scrapeAs(t *testing.T, base, host, token string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("scrape as %s: %s, %v", host, resp.Status, err)
	}
}

// alertOf is a notification with one alert of an instance.
func alertOf(instance string) string {
	return fmt.Sprintf(`{"version":"4","groupKey":"g","status":"firing","receiver":"r","alerts":[{"status":"firing","labels":{"alertname":"A","instance":%q,"target":"app","playbook":"clean_temp"},"annotations":{},"startsAt":"2026-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"00112233445566ff"}]}`, instance)
}

// TestForgedScrapeTeachesNothing: only who has proved who he is teaches a name, and a name that was
// learned is not pushed out.
func TestForgedScrapeTeachesNothing(t *testing.T) {
	dir := realDir(t)
	oldFile(t, dir+"/t/due.tmp")
	writeTest(t, dir+"/token", "sesame\n")
	a := startApp(t, accessConfig(dir, "mode: enforce\nwebhook: {token_file: "+dir+"/token}\n"))
	f := func(instance string, want int, says string) {
		t.Helper()
		if code, body := call(t, a.url("/api/v1/webhook"), "sesame", alertOf(instance)); code != want || !strings.Contains(body, says) {
			t.Errorf("an alert of %s: %d %s, want %d and %q", instance, code, body, want, says)
		}
	}
	scrapeAs(t, a.url(""), "web-2:10042", "")
	scrapeAs(t, a.url(""), "web-2:10042", "open")
	f("web-2:10042", http.StatusServiceUnavailable, "instance:")
	scrapeAs(t, a.url(""), "web-1:10042", "sesame")
	for i := range 40 {
		scrapeAs(t, a.url(""), fmt.Sprintf("web-%d:10042", i+2), "")
	}
	f("web-2:10042", http.StatusOK, "not_ours")
	f("web-1:10042", http.StatusOK, "accepted")
}
