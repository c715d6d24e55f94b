package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	used    = metric.MemoryUsed
	limit   = metric.MemoryLimit
	ratio   = metric.MemoryUsedRatio
	level   = metric.MemoryLevel
	procs   = metric.Processes
	thr     = metric.ThresholdRatio
	tmpDesc = metric.TempFiles
)

// fixture is a handler over a store that the test fills.
type fixture struct {
	store   *series.Store
	batch   series.Batch
	handler *Handler
	opts    Options
	state   State
	submit  func(alert.Batch) ([]alert.Disposition, error)
	run     func(RunRequest) (string, error)
	pause   func(PauseRequest) error
	decide  func(Decision) (string, error)
	reload  error
	token   string // path
	public  bool   // outputs are shown to all
	proof   bool   // callers on this host must prove who they are too
	records []journal.Record
	now     time.Time
}

func newFixture(t testing.TB, change func(*Options)) *fixture {
	t.Helper()
	f := &fixture{store: series.NewStore(series.Options{}), now: time.Now()}
	f.state.Modes = map[string]string{"app": "dry_run"}
	f.opts = Options{
		Store: f.store, Metrics: http.NotFoundHandler(), TelemetryPath: "/metrics",
		Submit: func(_ context.Context, b alert.Batch) ([]alert.Disposition, error) {
			if f.submit == nil {
				return nil, nil
			}
			return f.submit(b)
		},
		RunNow: func(_ context.Context, r RunRequest) (string, error) { return f.run(r) },
		Pause:  func(_ context.Context, r PauseRequest) error { return f.pause(r) },
		Decide: func(_ context.Context, d Decision) (string, error) { return f.decide(d) },
		Journal: func(journal.Filter) ([]journal.Record, string, error) {
			return f.records, "", nil
		},
		State: func() State { return f.state }, Reload: func() error { return f.reload }, Ready: func() error { return nil },
		Interval: func() time.Duration { return 5 * time.Second }, LearnHost: func(string) {}, Access: func() Access { return Access{f.token, !f.proof, f.public} },
		Version: "test", Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return f.now },
	}
	if change != nil {
		change(&f.opts)
	}
	f.handler = New(f.opts)
	return f
}

// sample publishes one state of the target app.
func (f *fixture) sample(at time.Time, r float64, l series.Level) {
	f.batch.Reset(at)
	f.batch.Set(used, r*(1<<30), "app")
	f.batch.Set(limit, 1<<30, "app")
	f.batch.Set(ratio, r, "app")
	f.batch.Set(level, float64(l), "app")
	f.batch.Set(procs, 1, "app")
	f.batch.Set(thr, .7, "app", metric.SignalMemory, "warning")
	f.batch.Set(thr, .7, "app", metric.SignalHeap, "warning")
	f.batch.Set(thr, .85, "app", metric.SignalMemory, "critical")
	f.batch.Set(thr, .85, "app", metric.SignalHeap, "critical")
	f.batch.Set(thr, .95, "app", metric.SignalMemory, "emergency")
	f.batch.Set(thr, .95, "app", metric.SignalHeap, "emergency")
	f.store.Commit(&f.batch)
}

func (f *fixture) do(method, path string, header map[string]string, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:10042"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:4711"
	for k, v := range header {
		switch k {
		case "Host":
			r.Host = v
		case "Remote":
			r.RemoteAddr = v
		default:
			r.Header.Set(k, v)
		}
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

const notification = `{"version":"4","groupKey":"g","status":"firing","receiver":"r","alerts":[{"status":"firing","labels":{"alertname":"A","target":"app","playbook":"clean_temp"},"annotations":{},"startsAt":"2026-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"00112233445566ff"}]}`

// TestWebhookAnswers is the table of docs/webhook.md.
func TestWebhookAnswers(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	json := map[string]string{"Content-Type": "application/json", "Authorization": "Bearer sesame"}
	with := func(k, v string) map[string]string {
		out := map[string]string{k: v}
		for a, b := range json {
			if a != k {
				out[a] = b
			}
		}
		return out
	}
	tests := []struct {
		name   string
		method string
		header map[string]string
		body   string
		err    error
		code   int
		says   string
	}{
		{"accepted", "POST", json, notification, nil, 200, `[{"fingerprint":"00112233445566ff","disposition":"accepted","reason":"because","run_id":"42"}]`},
		{"a charset", "POST", with("Content-Type", "application/json; charset=utf-8"), notification, nil, 200, "accepted"},
		{"not JSON", "POST", json, "hello", nil, 400, "byte"},
		{"a wrong version", "POST", json, strings.Replace(notification, `"4"`, `"3"`, 1), nil, 400, "version"},
		{"a missing field", "POST", json, strings.Replace(notification, "startsAt", "starts", 1), nil, 400, "alerts[0].startsAt"},
		{"2 MiB", "POST", json, strings.Repeat(" ", 2<<20) + notification, nil, 413, "1 MiB"},
		{"no token", "POST", map[string]string{"Content-Type": "application/json"}, notification, nil, 401, "Authorization: Bearer"},
		{"a wrong token", "POST", with("Authorization", "Bearer open"), notification, nil, 401, "wrong token"},
		{"a longer token", "POST", with("Authorization", "Bearer sesame2"), notification, nil, 401, "wrong token"},
		{"basic auth", "POST", with("Authorization", "Basic c2VzYW1l"), notification, nil, 401, "Bearer"},
		{"GET", "GET", json, "", nil, 405, "use POST"},
		{"text", "POST", with("Content-Type", "text/plain"), notification, nil, 415, "application/json"},
		{"another site", "POST", with("Origin", "http://evil.example"), notification, nil, 403, "another site"},
		{"its own page", "POST", with("Origin", "http://127.0.0.1:10042"), notification, nil, 200, "accepted"},
		{"queue full", "POST", json, notification, errors.New("the run queue is full: retry later"), 503, "retry later"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			f := newFixture(t, func(o *Options) { o.Registerer = reg })
			f.token = token
			f.submit = func(b alert.Batch) ([]alert.Disposition, error) {
				if b.Host != "127.0.0.1:10042" || b.Trigger != alert.TriggerWebhook {
					t.Errorf("host %q, trigger %q", b.Host, b.Trigger)
				}
				return []alert.Disposition{{Fingerprint: b.Alerts[0].Fingerprint, Disposition: alert.Accepted, Reason: "because", RunID: "42"}}, tt.err
			}
			w := f.do(tt.method, "/api/v1/webhook", tt.header, tt.body)
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) {
				t.Errorf("%d %s, want %d with %q in it", w.Code, w.Body, tt.code, tt.says)
			}
			if (w.Header().Get("Retry-After") != "") != (tt.code == 503) || (w.Header().Get("Allow") == "POST") != (tt.code == 405) {
				t.Errorf("headers %v", w.Header())
			}
			if n := testutil.CollectAndCount(reg, "spillway_webhook_requests_total"); n != 1 {
				t.Errorf("%d codes were counted, want 1", n)
			}
		})
	}
}

func TestTokenFileIsReadAgain(t *testing.T) {
	f := newFixture(t, nil)
	f.token = filepath.Join(t.TempDir(), "token")
	try := func(token string) int {
		return f.do("POST", "/api/v1/webhook", map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + token}, notification).Code
	}
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(f.token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(f.token, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write("one", f.now)
	if c := try("one"); c != 200 {
		t.Errorf("the first token: %d", c)
	}
	write("two", f.now.Add(time.Second))
	if a, b := try("one"), try("two"); a != 401 || b != 200 {
		t.Errorf("after the change: old %d, new %d, want 401 and 200", a, b)
	}
	write("six", f.now.Add(time.Second)) // of the same size and time, as after a restored backup
	if a, b := try("two"), try("six"); a != 401 || b != 200 {
		t.Errorf("a change that size and time do not show: old %d, new %d, want 401 and 200", a, b)
	}
	write("", f.now.Add(2*time.Second))
	if c := try(""); c != 401 {
		t.Errorf("an empty token with an empty file: %d, want 401", c)
	}
	if c := try("two"); c != 503 {
		t.Errorf("an empty file: %d, want 503", c)
	}
	os.Remove(f.token)
	if c := try("two"); c != 503 {
		t.Errorf("a missing file: %d, want 503", c)
	}
}

func TestRun(t *testing.T) {
	f := newFixture(t, nil)
	var got RunRequest
	f.run = func(r RunRequest) (string, error) {
		got = r
		if r.Target == "nobody" {
			return "", errors.Join(ErrRefused, errors.New("no such target"))
		}
		return "77", nil
	}
	header := map[string]string{"Content-Type": "application/json"}
	if w := f.do("POST", "/api/v1/run", header, `{"target":"app","action":"clean_temp","dry_run":true}`); w.Code != 200 || !strings.Contains(w.Body.String(), `"run_id":"77"`) || got.DryRun == nil || !*got.DryRun {
		t.Errorf("%d %s, request %+v", w.Code, w.Body, got)
	}
	if w := f.do("POST", "/api/v1/run", header, `{"target":"nobody"}`); w.Code != 400 || !strings.Contains(w.Body.String(), "no such target") {
		t.Errorf("an unknown target: %d %s", w.Code, w.Body)
	}
	if w := f.do("POST", "/api/v1/run", header, `{"path":"/etc"}`); w.Code != 400 || !strings.Contains(w.Body.String(), "send {") {
		t.Errorf("an unknown field: %d %s", w.Code, w.Body)
	}
}

func TestHealth(t *testing.T) {
	f := newFixture(t, nil)
	f.sample(f.now, .452, series.LevelNormal)
	if w := f.do("GET", "/health/memory?target=app", nil, ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"percentage":"45.2%"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	f.now = f.now.Add(16 * time.Second)
	if w := f.do("GET", "/health/memory", nil, ""); w.Code != 503 || !strings.Contains(w.Body.String(), `"status":"error"`) {
		t.Errorf("after three intervals without a sample: %d %s, want 503", w.Code, w.Body)
	}
}

// TestHealthOfOneTarget: with one configured target its report is the answer, whatever else is observed.
func TestHealthOfOneTarget(t *testing.T) {
	f := newFixture(t, nil)
	get := func(query string, code int) map[string]any {
		t.Helper()
		w := f.do("GET", "/health/memory"+query, nil, "")
		var out map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != code {
			t.Fatalf("%s: %d %s, want %d", query, w.Code, w.Body, code)
		}
		return out
	}
	var host series.Batch
	host.Reset(f.now)
	host.Set(used, 1<<30, "host")
	f.store.Commit(&host)
	const nothing = "Nothing new has been read of app: the status page says why"
	if r := get("", http.StatusOK); r["target"] != "app" || !strings.Contains(fmt.Sprint(r["recommendations"]), nothing) || strings.Contains(fmt.Sprint(r), "normally") {
		t.Errorf("before the first value: %v", r) // a liveness probe is not for what the target does
	}
	get("?target=app", http.StatusNotFound)
	f.sample(f.now, .452, series.LevelNormal)
	if r := get("", http.StatusOK); r["target"] != "app" || r["targets"] != nil {
		t.Errorf("one target and the host: %v", r)
	}
	if r := get("?target=host", http.StatusOK); r["target"] != "host" {
		t.Errorf("the host: %v", r)
	}
	for _, all := range []string{"?all", "?all=1"} {
		if r, ok := get(all, http.StatusOK)["targets"].(map[string]any); !ok || len(r) != 2 || r["host"] == nil {
			t.Errorf("%s: %v", all, r)
		}
	}
	was := f.now
	f.now = f.now.Add(time.Minute)
	host.Reset(f.now)
	host.Set(used, 1<<30, "host")
	f.store.Commit(&host)
	if r := get("", http.StatusOK); r["target"] != "app" || !strings.Contains(fmt.Sprint(r["recommendations"]), nothing) {
		t.Errorf("when its values are old: %v", r)
	}
	get("?target=app", http.StatusServiceUnavailable)
	f.now = was
	if r := get("?all&target=app", http.StatusBadRequest); !strings.Contains(fmt.Sprint(r), "write one of them") {
		t.Errorf("both: %v", r)
	}
	f.state.Modes = map[string]string{"app": "dry_run", "host": "dry_run"} // two
	if r := get("", http.StatusOK); r["targets"] == nil {
		t.Errorf("two targets: %v", r)
	}
	f.state.Modes = nil
	if r := get("", http.StatusOK); r["targets"] == nil {
		t.Errorf("without configured targets: %v", r)
	}
}

// TestHealthWhileAnAlertFires: nothing is normal meanwhile, here and on the page.
func TestHealthWhileAnAlertFires(t *testing.T) {
	f := newFixture(t, nil)
	f.sample(f.now, .452, series.LevelNormal)
	const normal = "System operating normally"
	says := func(path string, isNormal bool, want ...string) {
		t.Helper()
		got := f.do("GET", path, nil, "").Body.String()
		if strings.Contains(got, normal) != isNormal {
			t.Errorf("%s: normal %v, want %v: %s", path, !isNormal, isNormal, got)
		}
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s does not say %q: %s", path, w, got)
			}
		}
	}
	says("/health/memory", true)
	firing := func(target string) Alert {
		return Alert{Name: "SpillwayProbeFailing", State: "firing", Labels: map[string]string{"target": target, "severity": "critical"}, Annotations: map[string]string{"summary": "It is down"}, ActiveAt: f.now}
	}
	pending := firing("app")
	pending.State = "pending"
	f.state.Alerts = []Alert{pending}
	says("/health/memory", true)
	f.state.Alerts = []Alert{firing("app")}
	for _, path := range []string{"/health/memory", "/health/memory?target=app", "/health/memory?all", "/", "/target/app"} {
		says(path, false, "SpillwayProbeFailing fires: It is down")
	}
	f.state.Alerts = []Alert{firing("host")} // the answer without a name is about all
	says("/health/memory", false, "SpillwayProbeFailing fires: It is down")
	says("/health/memory?target=app", true)
	own := firing("")
	delete(own.Labels, "target") // of the exporter itself
	f.state.Alerts = []Alert{own}
	says("/health/memory", false, "SpillwayProbeFailing fires: It is down")
}

// TestPageHeapOfOneOfTwo: the page says that a heap is not that of all processes.
func TestPageHeapOfOneOfTwo(t *testing.T) {
	f := newFixture(t, nil)
	f.sample(f.now, .452, series.LevelNormal)
	var b series.Batch
	b.Reset(f.now)
	b.Set(metric.HeapUsed, 1<<20, "app", "node")
	b.Set(metric.HeapRead, 1, "app", "node")
	b.Set(metric.HeapProcesses, 2, "app", "node")
	f.store.Commit(&b)
	if page := f.do("GET", "/target/app", nil, "").Body.String(); !strings.Contains(page, `Heap <span class="soft">node of 1 of 2 processes</span>`) {
		t.Errorf("%s", page)
	}
}

// TestPageFreedOfDryRuns: a list of dry runs says what they would free, and one of both says so in its cells.
func TestPageFreedOfDryRuns(t *testing.T) {
	f := newFixture(t, nil)
	f.sample(f.now, .452, series.LevelNormal)
	says := func(heading string, cells bool, modes ...string) {
		t.Helper()
		f.records = nil
		for _, m := range modes {
			f.records = append(f.records, journal.Record{Target: "app", Playbook: "p", Mode: m, FreedBytes: 1 << 20, Outcome: "done", Time: f.now})
		}
		page := f.do("GET", "/", nil, "").Body.String()
		if !strings.Contains(page, `class="num">`+heading+`</th>`) || strings.Contains(page, `<span class="soft">would free</span> 1MiB`) != cells {
			t.Errorf("%v: %s", modes, page)
		}
	}
	says("Would free", false, "dry_run", "dry_run")
	says("Freed", false, "enforce")
	says("Freed", true, "enforce", "dry_run")
}

// TestPageStates renders every state and escapes what comes from outside.
func TestPageStates(t *testing.T) {
	const hostile = `<script>alert("x")</script>`
	tests := []struct {
		name  string
		setup func(f *fixture)
		want  []string
	}{
		{"normal", func(f *fixture) {}, []string{"</svg>normal", "45.2%", "463MiB of 1GiB", "dry run", "Nothing has been done yet"}},
		{"warning", func(f *fixture) { f.sample(f.now, .75, series.LevelWarning) }, []string{"</svg>warning", "75.0%"}},
		{"emergency", func(f *fixture) { f.sample(f.now, .97, series.LevelEmergency) }, []string{"</svg>emergency", "97.0%"}},
		{"down", func(f *fixture) {
			f.batch.Reset(f.now)
			f.batch.Set(procs, 0, "app")
			f.store.Commit(&f.batch)
		}, []string{"</svg>down", "No process of app is running"}},
		{"stale", func(f *fixture) { f.now = f.now.Add(time.Minute) }, []string{"No current data", "no data since"}},
		{"enforce", func(f *fixture) { f.state.Modes["app"] = "enforce" }, []string{">enforce<"}},
		{"reload failed", func(f *fixture) { f.state.ReloadError = "spillway.yml:3: " + hostile }, []string{"The configuration was not loaded", "&lt;script&gt;"}},
		{"journal", func(f *fixture) { f.state.Journal = "The journal cannot be written" }, []string{"cannot be written"}},
		{"a source fails", func(f *fixture) { f.state.Errors = []SourceError{{"heap", "app", hostile, hostile}} }, []string{"What cannot be read", "&lt;script&gt;"}},
		{"others could play it", func(f *fixture) { f.state.Warnings = map[string]string{"app": hostile} }, []string{"What others could misuse", "<b>app</b> &lt;script&gt;"}},
		{"order of evictions", func(f *fixture) { f.state.Orders = map[string][]string{"app": {hostile}} }, []string{"The order of evictions", "<b>app</b> &lt;script&gt;"}},
		{"ineffective", func(f *fixture) {
			f.records = []journal.Record{{ID: "1", Time: f.now, Target: hostile, Playbook: "relieve_memory", Mode: "dry_run", Outcome: "ineffective", Before: "memory 90%", After: "memory 89%", Error: hostile}}
		}, []string{"o-ineffective", "memory 90%", "&lt;script&gt;", "dry run"}},
		{"alerts", func(f *fixture) {
			f.state.Standalone = true
			f.state.Alerts = []Alert{{Name: "SpillwayMemoryCritical", State: "firing", Labels: map[string]string{"target": "app"}, Annotations: map[string]string{"summary": hostile}, ActiveAt: f.now}}
		}, []string{"s-firing", "SpillwayMemoryCritical", "Firing alerts", "&lt;script&gt;"}},
		{"providers", func(f *fixture) {
			f.state.Providers = []Provider{{Name: hostile, Kind: "node_inspector", Failures: 3, LastError: hostile}}
		}, []string{"1 provider, 1 failing<", ">closed<", "&lt;script&gt;"}},
		{"hostile names", func(f *fixture) {
			f.batch.Set(tmpDesc, 3, "app", hostile)
			f.batch.Set(metric.TempMaxFiles, 2, "app", hostile)
			f.store.Commit(&f.batch)
		}, []string{"&lt;script&gt;"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, nil)
			for i := range 10 {
				f.sample(f.now.Add(time.Duration(i-10)*time.Second), .4+float64(i)/100, series.LevelNormal)
			}
			f.sample(f.now, .452, series.LevelNormal)
			tt.setup(f)
			for _, path := range []string{"/", "/target/app"} {
				w := f.do("GET", path, nil, "")
				page := w.Body.String()
				if w.Code != 200 || strings.Contains(page, "<script>alert") || !strings.Contains(page, `role="img"`) && path != "/" && tt.name != "down" {
					t.Errorf("%s: %d, hostile text %v", path, w.Code, strings.Contains(page, "<script>alert"))
				}
				for _, want := range tt.want {
					if !strings.Contains(page, want) {
						t.Errorf("%s does not show %q", path, want)
					}
				}
				if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
					t.Errorf("policy %q", csp)
				}
			}
		})
	}
}

// TestTargetWithSlashes: a discovered container is named by a path, and has a page, linked from the first.
func TestTargetWithSlashes(t *testing.T) {
	const name = "shop/orchestrator/web"
	f := newFixture(t, nil)
	f.batch.Reset(f.now)
	f.batch.Set(procs, 1, name)
	f.batch.Set(ratio, .5, name)
	f.store.Commit(&f.batch)
	link := "/target/shop%2Forchestrator%2Fweb"
	if page := f.do("GET", "/", nil, "").Body.String(); !strings.Contains(page, `href="`+link+`"`) {
		t.Errorf("the first page has no link to %s", link)
	}
	if w := f.do("GET", link, nil, ""); w.Code != 200 || !strings.Contains(w.Body.String(), name) {
		t.Errorf("%s: %d", link, w.Code)
	}
	if w := f.do("GET", "/health/memory?target="+name, nil, ""); w.Code != 200 || !strings.Contains(w.Body.String(), name) {
		t.Errorf("health: %d %s", w.Code, w.Body)
	}
}

// TestWatch reads the stream of a real server: the level at once, and again when it changes.
func TestWatch(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.Now = time.Now })
	f.sample(time.Now(), .4, series.LevelNormal)
	srv := httptest.NewServer(f.handler)
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/api/v1/watch?target=app", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func() (event, data string) {
		for lines.Scan() {
			switch line := lines.Text(); {
			case strings.HasPrefix(line, "event: "):
				event = line[7:]
			case strings.HasPrefix(line, "data: "):
				return event, line[6:]
			}
		}
		t.Fatal("the stream ended")
		return "", ""
	}
	if event, data := next(); event != "level" || !strings.Contains(data, `"level":"normal"`) || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("first: %q %s", event, data)
	}
	f.sample(time.Now(), .9, series.LevelCritical)
	if event, data := next(); event != "level" || !strings.Contains(data, `"level":"critical"`) {
		t.Errorf("after the change: %q %s", event, data)
	}
	if w := f.do("GET", "/api/v1/watch?target=nobody", nil, ""); w.Code != 404 {
		t.Errorf("an unknown target: %d", w.Code)
	}
}

// TestSlowBody: a sender that never ends its body does not keep others from being served.
func TestSlowBody(t *testing.T) {
	f := newFixture(t, nil)
	srv := httptest.NewUnstartedServer(f.handler)
	srv.Config.ReadTimeout = 300 * time.Millisecond // the handler sets its own, longer one
	srv.Start()
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST /api/v1/webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	if w := f.do("POST", "/api/v1/webhook", map[string]string{"Content-Type": "application/json"}, notification); w.Code != 200 {
		t.Errorf("next to a slow sender: %d %s", w.Code, w.Body)
	}
}

func TestCheckTelemetryPath(t *testing.T) {
	for _, good := range []string{"/metrics", "/probe/metrics", "/targets", "/healthz"} {
		if err := CheckTelemetryPath(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "metrics", "/", "/a/", "//a", "/a b", "/{x}", "/a?b", "/api/v1/series", "/health/memory", "/-/ready", "/static", "/target/x"} {
		if err := CheckTelemetryPath(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestCountRules(t *testing.T) {
	got := countRules([]Rule{{State: "firing"}, {State: "pending", LastError: "x"}, {State: "inactive"}, {}})
	if want := "4 rules, 1 firing, 1 pending, 1 failing"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
