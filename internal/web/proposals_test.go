package web

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// proposes has a proposal wait for the target app.
func proposes(f *fixture) {
	f.state.Activity.Proposals = []Proposal{{
		ID: "p1", Target: "app", Playbook: "relieve_memory", Level: "critical", Alert: "SpillwayMemoryCritical", Trigger: "standalone", Since: f.now, Until: f.now.Add(24 * time.Hour),
		Reading: "memory 903MiB of 1GiB", Evidence: []string{"captured: server.js grew"},
		Steps: []ProposedStep{{Do: "clean_temp", Files: 3, Bytes: 300, Text: "clean_temp (3 files, 300B)"}},
	}}
}

// TestCallerIsVerified: a name in a header that no one has checked is not the caller's.
func TestCallerIsVerified(t *testing.T) {
	for verified, want := range map[string]string{"": "the API (this host)", "anna": "user anna (this host)"} {
		var got []Decision
		f := newFixture(t, func(o *Options) {
			o.Access = func() Access { return Access{TrustLoopback: true} }
			o.Authenticated = func(*http.Request) bool { return verified != "" }
			o.User = func(*http.Request) string { return verified }
		})
		f.decide = func(d Decision) (string, error) {
			got = append(got, d)
			return "r1", nil
		}
		w := f.do("POST", "/api/v1/proposals/p1/approve", map[string]string{"Content-Type": "application/json", "Authorization": "Basic bWFsbG9yeTp4"}, "{}")
		if w.Code != 200 || len(got) != 1 || got[0].By != want {
			t.Errorf("%d %s, %+v, want %s", w.Code, w.Body, got, want)
		}
	}
}

// TestDecideAPI: who has proved who he is decides, with a name or as who he is, and each refusal has its code.
func TestDecideAPI(t *testing.T) {
	var got []Decision
	err := error(nil)
	f := newFixture(t, nil)
	f.decide = func(d Decision) (string, error) {
		got = append(got, d)
		return map[bool]string{false: "r1"}[d.Deny], err
	}
	f.token = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(f.token, []byte("sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	proof := map[string]string{"Content-Type": "application/json", "Authorization": "Bearer sesame"}
	for _, tt := range []struct {
		name, path, body string
		header           map[string]string
		err              error
		code             int
		says             string
		want             *Decision
	}{
		{"approve", "p1/approve", "{}", proof, nil, 200, `"run_id":"r1"`, &Decision{"p1", false, "the API (this host)"}},
		{"with a name", "p1/approve", `{"by": "anna"}`, proof, nil, 200, "success", &Decision{"p1", false, "anna, says the API (this host)"}},
		{"deny", "p1/deny", "{}", proof, nil, 200, "success", &Decision{"p1", true, "the API (this host)"}},
		{"gone", "p1/approve", "{}", proof, fmt.Errorf("%w: no proposal waits", ErrGone), 404, "no proposal waits", &Decision{"p1", false, "the API (this host)"}},
		{"void", "p1/approve", "{}", proof, fmt.Errorf("%w: another process", ErrVoid), 409, "another process", &Decision{"p1", false, "the API (this host)"}},
		{"later", "p1/approve", "{}", proof, errors.New("retry later"), 503, "retry later", &Decision{"p1", false, "the API (this host)"}},
		{"no proof", "p1/approve", "{}", map[string]string{"Content-Type": "application/json"}, nil, 401, "", nil},
		{"a long name", "p1/approve", `{"by": "` + strings.Repeat("x", maxBy+1) + `"}`, proof, nil, 400, "at most 100", nil},
		{"control characters", "p1/approve", `{"by": "a\nb"}`, proof, nil, 400, "characters that no one sees", nil},
		{"another direction of writing", "p1/approve", `{"by": "anna\u202e"}`, proof, nil, 400, "characters that no one sees", nil},
		{"unknown key", "p1/deny", `{"id": "p2"}`, proof, nil, 400, "or {}", nil},
	} {
		got, err = nil, tt.err
		w := f.do("POST", "/api/v1/proposals/"+tt.path, tt.header, tt.body)
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) || (tt.want == nil) != (len(got) == 0) || tt.want != nil && got[0] != *tt.want {
			t.Errorf("%s: %d %s, %+v", tt.name, w.Code, w.Body, got)
		}
	}
	proposes(f)
	if w := f.do("GET", "/api/v1/proposals", nil, ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"id":"p1"`) || !strings.Contains(w.Body.String(), `"files":3`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := f.do("GET", "/api/v1/proposals?target=other", nil, ""); !strings.Contains(w.Body.String(), `"proposals":[]`) {
		t.Errorf("%s", w.Body)
	}
}

// TestDecideByForm: the buttons are there only for who has proved to the listener who he is, and a form counts only from
// the page itself: never by the token or the host alone, never from another site.
func TestDecideByForm(t *testing.T) {
	own := map[string]string{"Sec-Fetch-Site": "same-origin"}
	for _, tt := range []struct {
		name   string
		listen bool
		header map[string]string
		code   int
	}{
		{"own page", true, own, http.StatusSeeOther},
		{"own page by its origin", true, map[string]string{"Origin": "http://127.0.0.1"}, http.StatusSeeOther},
		{"another site", true, map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusForbidden},
		{"another site of the same domain", true, map[string]string{"Sec-Fetch-Site": "same-site"}, http.StatusForbidden},
		{"another origin", true, map[string]string{"Origin": "http://evil.example"}, http.StatusForbidden},
		{"no origin", true, map[string]string{"Origin": "null"}, http.StatusForbidden},
		{"nothing said", true, nil, http.StatusForbidden},
		{"no one asked who it is", false, own, http.StatusForbidden},
	} {
		decided := 0
		f := newFixture(t, func(o *Options) { o.Authenticated = func(*http.Request) bool { return tt.listen } })
		f.decide = func(d Decision) (string, error) { decided++; return "", nil }
		header := map[string]string{"Content-Type": formType, "Host": "127.0.0.1"}
		maps.Copy(header, tt.header)
		w := f.do("POST", "/api/v1/proposals/p1/approve", header, "")
		if w.Code != tt.code || (decided == 1) != (tt.code == http.StatusSeeOther) {
			t.Errorf("%s: %d %s, decided %d times", tt.name, w.Code, w.Body, decided)
		}
		proposes(f)
		page := f.do("GET", "/", nil, "")
		button, policy := strings.Contains(page.Body.String(), ">Approve</button>"), page.Header().Get("Content-Security-Policy")
		if button != tt.listen || !strings.Contains(policy, "form-action 'self'") || strings.Contains(page.Body.String(), "spillway_exporter approve p1") == tt.listen {
			t.Errorf("%s: button %v, %s", tt.name, button, policy)
		}
		for _, want := range []string{"Waiting for approval", "clean_temp (3 files, 300B)", "server.js grew", "memory 903MiB of 1GiB"} {
			if !strings.Contains(page.Body.String(), want) {
				t.Errorf("%s: the page does not say %q", tt.name, want)
			}
		}
	}
}
