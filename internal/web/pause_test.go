package web

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// TestPauseAPI: only those who may change something pause, what they send arrives, and a pause that could not be written
// is answered with a warning.
func TestPauseAPI(t *testing.T) {
	var got []PauseRequest
	err := error(nil)
	f := newFixture(t, nil)
	f.pause = func(r PauseRequest) error {
		got = append(got, r)
		return err
	}
	f.token = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(f.token, []byte("sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.state.Activity.Pauses = []Pause{{Target: "app", Since: f.now.UTC().Truncate(time.Second)}}
	proof := map[string]string{"Content-Type": "application/json", "Authorization": "Bearer sesame"}
	for _, tt := range []struct {
		name, method, path, body string
		header                   map[string]string
		err                      error
		code                     int
		says                     string
		want                     *PauseRequest
	}{
		{name: "everything", method: "POST", path: "pause", body: "{}", header: proof, code: 200, says: `"pauses":[{"target":"app"`, want: &PauseRequest{By: "the API (this host)"}},
		{name: "one", method: "POST", path: "pause", body: `{"target": "app", "for": "2h", "reason": "r"}`, header: proof, code: 200, want: &PauseRequest{Target: "app", For: units.Duration(2 * time.Hour), Reason: "r", By: "the API (this host)"}},
		{name: "resume", method: "POST", path: "resume", body: `{"target": "app"}`, header: proof, code: 200, want: &PauseRequest{Target: "app", Resume: true, By: "the API (this host)"}},
		{name: "not in the journal", method: "POST", path: "pause", body: "{}", header: proof, err: errors.New("it is in effect, but not after a restart"), code: 200, says: `"warning":"it is in effect`, want: &PauseRequest{By: "the API (this host)"}},
		{name: "unknown target", method: "POST", path: "pause", body: `{"target": "x"}`, header: proof, err: errors.Join(ErrRefused, errors.New("write one of app")), code: 400, says: "write one of app", want: &PauseRequest{Target: "x", By: "the API (this host)"}},
		{name: "no proof", method: "POST", path: "pause", body: "{}", header: map[string]string{"Content-Type": "application/json"}, code: 401},
		{name: "no proof to resume", method: "POST", path: "resume", body: "{}", header: map[string]string{"Content-Type": "application/json"}, code: 401},
		{name: "another site", method: "POST", path: "resume", body: "{}", header: map[string]string{"Content-Type": "application/json", "Authorization": "Bearer sesame", "Origin": "http://evil.example"}, code: 403},
		{name: "GET", method: "GET", path: "pause", header: proof, code: 405},
		{name: "a form", method: "POST", path: "pause", header: map[string]string{"Authorization": "Bearer sesame"}, code: 415},
		{name: "unknown key", method: "POST", path: "pause", body: `{"targets": ["app"]}`, header: proof, code: 400, says: "or {} for all targets"},
		{name: "no length", method: "POST", path: "pause", body: `{"for": "soon"}`, header: proof, code: 400},
		{name: "resume for a time", method: "POST", path: "resume", body: `{"for": "1h"}`, header: proof, code: 400, says: "or {} to end all pauses"},
	} {
		got, err = nil, tt.err
		w := f.do(tt.method, "/api/v1/"+tt.path, tt.header, tt.body)
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
		var want []PauseRequest
		if tt.want != nil {
			want = []PauseRequest{*tt.want}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestPausePage: the page says what is paused and why, and which budgets are used up, for all targets and for one.
func TestPausePage(t *testing.T) {
	f := newFixture(t, nil)
	f.sample(f.now, .5, 0)
	for path, want := range map[string]bool{"/": false, "/target/app": false} {
		if got := strings.Contains(f.do("GET", path, nil, "").Body.String(), "Paused"); got != want {
			t.Errorf("%s says so while nothing is paused", path)
		}
	}
	busy(f)
	for path, words := range map[string][]string{
		"/":           {"all targets until someone resumes: “a release”", "<span>app until <time ", " left</span>", "0 of 3 runs left in 1d", "4 of 5 runs left in 1h", "a person is needed"},
		"/target/app": {"all targets until", "0 of 3 runs left in 1d"},
	} {
		w := f.do("GET", path, nil, "")
		for _, word := range words {
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), word) {
				t.Errorf("%s: %d, no %q", path, w.Code, word)
			}
		}
		if path != "/" && strings.Contains(w.Body.String(), "4 of 5 runs") {
			t.Errorf("%s shows the budget of another target", path)
		}
	}
}
