package pull

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var began = time.Date(2026, 11, 23, 10, 31, 29, 0, time.UTC)

// manager is a fake Alertmanager.
type manager struct {
	*httptest.Server
	mu      sync.Mutex
	firing  map[string]time.Time // fingerprint -> startsAt
	status  int
	body    string // instead of the alerts
	queries []string
	headers []http.Header
}

func newManager(t *testing.T, firing ...string) *manager {
	t.Helper()
	m := &manager{firing: make(map[string]time.Time), status: http.StatusOK}
	for _, f := range firing {
		m.firing[f] = began
	}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queries = append(m.queries, r.URL.Path+"?"+r.URL.RawQuery)
	m.headers = append(m.headers, r.Header)
	w.WriteHeader(m.status)
	if m.body != "" {
		w.Write([]byte(m.body))
		return
	}
	out := []map[string]any{}
	for f, at := range m.firing {
		out = append(out, map[string]any{
			"fingerprint": f, "startsAt": at, "endsAt": at.Add(time.Hour), "status": map[string]any{"state": "active"}, "annotations": map[string]string{},
			"labels": map[string]string{"alertname": "A" + f, "instance": "host1:10042", "target": "svc", "playbook": "clean_temp"},
		})
	}
	json.NewEncoder(w).Encode(out)
}

func (m *manager) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// world is a Puller with a clock that the test moves.
type world struct {
	*Puller
	now  time.Time
	got  []alert.Batch
	fail error
}

func newWorld(t *testing.T, c Config, managers ...*manager) *world {
	t.Helper()
	for _, m := range managers {
		c.Pull = append(c.Pull, m.URL)
	}
	if mistakes := validate(&c, "host1:10042"); len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	w := &world{now: began.Add(time.Hour)}
	var err error
	w.Puller, err = New(Options{
		Config: c, Instance: "host1:10042", Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now }, Jitter: func() float64 { return 0 },
		Submit: func(_ context.Context, b alert.Batch) ([]alert.Disposition, error) {
			w.got = append(w.got, b)
			return nil, w.fail
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range w.servers {
			s.client.close()
		}
	})
	return w
}

// polled polls after a time and returns what was reported.
func (w *world) polled(t *testing.T, after time.Duration) string {
	t.Helper()
	w.now = w.now.Add(after)
	w.poll(t.Context())
	var out []string
	for _, b := range w.got {
		if b.Trigger != alert.TriggerPull {
			t.Errorf("trigger %s", b.Trigger)
		}
		for _, a := range b.Alerts {
			out = append(out, a.Fingerprint+" "+string(a.Status))
		}
	}
	w.got = nil
	return strings.Join(out, ", ")
}

func (w *world) expect(t *testing.T, after time.Duration, want string) {
	t.Helper()
	if got := w.polled(t, after); got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
}

const tick = 15 * time.Second

func TestTwoMembersAreOne(t *testing.T) {
	one, two := newManager(t, "a", "b"), newManager(t, "a", "b")
	two.set(func() { two.firing["a"] = began.Add(time.Second) }) // it learned of it later
	w := newWorld(t, Config{}, one, two)
	w.expect(t, 0, "a firing, b firing")
	if at := w.active["a"].alert.StartsAt; !at.Equal(began) {
		t.Errorf("it began at %s, want the earlier of both", at)
	}
	w.expect(t, tick, "")
	// One of them is down: what the other says holds, and the alert stays the same one.
	one.set(func() { one.status = http.StatusServiceUnavailable })
	w.expect(t, tick, "")
	w.expect(t, repeatAfter, "a firing, b firing")
	if at := w.active["a"].alert.StartsAt; !at.Equal(began) {
		t.Errorf("it began at %s after a member was lost", at)
	}
	two.set(func() { delete(two.firing, "b") })
	w.expect(t, tick, "b resolved")
	w.expect(t, tick, "")
	// Both are down: no one knows, so nothing is resolved.
	two.set(func() { two.status = http.StatusBadGateway })
	w.expect(t, tick, "")
	two.set(func() { two.status = http.StatusOK })
	w.expect(t, 10*time.Minute, "a firing")
}

func TestQueryAndDecision(t *testing.T) {
	m := newManager(t)
	w := newWorld(t, Config{}, m)
	w.expect(t, 0, "")
	want := `/api/v2/alerts?active=true&filter=instance%3D%22host1%3A10042%22&filter=playbook%3D~%22.%2B%22&inhibited=false&silenced=false&unprocessed=false`
	if m.queries[0] != want {
		t.Errorf("asked\n%s, want\n%s", m.queries[0], want)
	}
}

func TestRefusedIsToldAgain(t *testing.T) {
	m := newManager(t, "a")
	w := newWorld(t, Config{}, m)
	w.fail = errors.New("the queue is full")
	w.expect(t, 0, "a firing")
	w.expect(t, tick, "a firing")
	w.fail = nil
	w.expect(t, tick, "a firing")
	w.expect(t, tick, "")
	m.set(func() { clear(m.firing) })
	w.fail = errors.New("the queue is full")
	w.expect(t, tick, "a resolved")
	w.fail = nil
	w.expect(t, tick, "a resolved")
	w.expect(t, tick, "")
}

func TestBackOff(t *testing.T) {
	m := newManager(t, "a")
	m.set(func() { m.status = http.StatusInternalServerError })
	w := newWorld(t, Config{}, m)
	for range 400 { // 100 minutes of polls
		w.polled(t, tick)
	}
	// 15 s, 30 s, 60 s, 2 min, 4 min, and then every 5 minutes.
	if n := len(m.queries); n < 20 || n > 26 {
		t.Errorf("a server that fails was asked %d times in 100 minutes", n)
	}
	if up := testutil.ToFloat64(w.opts.Metrics.up.WithLabelValues(m.URL)); up != 0 {
		t.Errorf("up %v", up)
	}
	m.set(func() { m.status = http.StatusOK })
	w.expect(t, maxBackoff, "a firing")
	if up := testutil.ToFloat64(w.opts.Metrics.up.WithLabelValues(m.URL)); up != 1 {
		t.Errorf("up %v", up)
	}
	if n := testutil.ToFloat64(w.opts.Metrics.firing.WithLabelValues()); n != 1 {
		t.Errorf("%v fire", n)
	}
}

func TestHostileAnswers(t *testing.T) {
	other := newManager(t, "z")
	for name, body := range map[string]string{
		"html": "<html>", "object": `{"status":"error"}`, "cut": `[{"labels":`, "huge": "[" + strings.Repeat(" ", alert.MaxListBytes) + "]", "no fingerprint": `[{"labels":{}}]`,
	} {
		m := newManager(t)
		m.set(func() { m.body = body })
		w := newWorld(t, Config{}, m)
		if got := w.polled(t, 0); got != "" {
			t.Errorf("%s: sent %q", name, got)
		}
		if n := testutil.ToFloat64(w.opts.Metrics.requests.WithLabelValues("error")); n != 1 {
			t.Errorf("%s: %v errors", name, n)
		}
	}
	m := newManager(t)
	m.Config.Handler = http.RedirectHandler(other.URL, http.StatusFound)
	if w := newWorld(t, Config{}, m); w.polled(t, 0) != "" || len(other.queries) != 0 {
		t.Error("a redirect was followed")
	}
}

func TestSlowServer(t *testing.T) {
	release := make(chan struct{})
	slow := newManager(t)
	slow.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	w := newWorld(t, Config{Timeout: units.Duration(time.Second)}, newManager(t, "a"), slow)
	start := time.Now()
	w.expect(t, 0, "a firing")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("a slow member held the poll up for %s", took)
	}
}

func TestAuthentication(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	m := newManager(t)
	w := newWorld(t, Config{TokenFile: file}, m)
	w.polled(t, 0)
	write("two\n")
	w.polled(t, tick)
	b := newWorld(t, Config{Username: "me", PasswordFile: file}, m)
	b.polled(t, 0)
	var got []string
	for _, h := range m.headers {
		got = append(got, h.Get("Authorization"))
	}
	if want := []string{"Bearer one", "Bearer two", "Basic bWU6dHdv"}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestRunPollsAtOnceAndStops(t *testing.T) {
	m := newManager(t, "a")
	w := newWorld(t, Config{Interval: units.Duration(minInterval)}, m)
	sent := make(chan alert.Batch, 1)
	w.opts.Submit = func(_ context.Context, b alert.Batch) ([]alert.Disposition, error) {
		sent <- b
		return nil, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.Run(ctx) })
	select {
	case <-sent:
	case <-time.After(5 * time.Second):
		t.Error("no poll")
	}
	cancel()
	wg.Wait()
}

func validate(c *Config, instance string) []string {
	var out []string
	c.Validate(instance, true, func(key, format string, args ...any) { out = append(out, key+": "+fmt.Sprintf(format, args...)) })
	slices.Sort(out)
	return out
}

func TestMistakes(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(c Config, instance string, want ...string) {
		t.Helper()
		got := validate(&c, instance)
		if len(got) != len(want) {
			t.Fatalf("%q, want %q", got, want)
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%q, want %q", got[i], want[i])
			}
		}
	}
	const here = "host1:10042"
	f(Config{}, "")
	f(Config{TokenFile: "/x"}, "", "token_file: is for pull and push: write push")
	f(Config{Pull: []string{"http://am:9093"}}, "", "pull: needs to know which alerts are this host's: write instance: HOST:PORT")
	f(Config{Pull: []string{"am:9093", "http://am:9093", "http://am:9093", "http://u:p@am", "http://am/api/v2/alerts", "http://am/?a=b"}}, here,
		`pull[0]: is not the address of an Alertmanager`, `pull[2]: "http://am:9093" stands twice`, "pull[3]: holds a user",
		`pull[4]: "http://am/…" holds the path of the API`, `pull[5]: "http://am/…" holds more than an address`)
	f(Config{Pull: make([]string, maxServers+1)}, here, append([]string{"pull: 11 are too many"}, func() (out []string) {
		for range maxServers + 1 {
			out = append(out, "pull[")
		}
		return out
	}()...)...)
	f(Config{Pull: []string{"http://am"}, Interval: units.Duration(time.Second), Timeout: units.Duration(time.Minute)}, here, "interval: 1s is out of range", "timeout: 1m is out of range")
	f(Config{Pull: []string{"http://am"}, TokenFile: empty, Username: "me"}, here, `token_file: "`+empty+`" does not hold one line`, "token_file: and username exclude each other")
	f(Config{Pull: []string{"http://am"}, Username: "me"}, here, "password_file: is missing")
	f(Config{Pull: []string{"http://am"}, PasswordFile: "secret"}, here, `password_file: "secret" is not absolute`, "username: is missing")
	f(Config{Pull: []string{"https://am"}, CAFile: empty}, here, `ca_file: "`+empty+`" holds no certificate`)
	f(Config{Pull: []string{"https://am/prefix/"}}, here)
}
