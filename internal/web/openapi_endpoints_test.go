package web

import (
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

const (
	html    = "text/html"
	plain   = "text/plain"
	aTarget = "The name of a target; absent: all."
)

var errOnce = errors.New("once")

// endpoints is everything that the exporter serves.
func endpoints() []endpoint {
	out := append(pages(), readers()...)
	return append(out, changingAll()...)
}

// pages are for people and for Prometheus.
func pages() []endpoint {
	return []endpoint{
		{
			method: "get", path: "/metrics", id: "metrics", summary: "The metrics, in the formats of Prometheus and OpenMetrics. --web.telemetry-path moves it.",
			says:  map[int]answerOf{200: {text: "The metrics.", media: plain}, 503: {text: "Too many scrapes wait for their turn.", media: plain}},
			calls: []call{{code: 200}},
		},
		{
			method: "get", path: "/", id: "page", summary: "The status page.",
			query: [][2]string{
				{"q", "Only targets whose name, reason or mode contains it."},
				{"level", "Only targets at this level."},
				{"sort", "The column to sort by; absent: level."},
				{"expand", "How many of the worst targets have their details: 0, 2, 5 or all."},
				{"show", "all shows every alert, run and proposal."},
			},
			says:  map[int]answerOf{200: {text: "The page.", media: html}},
			calls: []call{{code: 200}},
		},
		{
			method: "get", path: "/target/{name}", id: "targetPage", summary: "The page of a target.",
			query: [][2]string{{"range", "What the charts show: 15m, 2h, 1d or 14d."}},
			says:  map[int]answerOf{200: {text: "The page.", media: html}, 404: {text: "There is no such target.", media: plain}},
			calls: []call{{target: "/target/app", code: 200}, {target: "/target/none", code: 404}},
		},
		{
			method: "get", path: "/journal", id: "journalPage", summary: "The records of the journal, for people.",
			query: [][2]string{{"target", aTarget}, {"outcome", "Only this outcome."}, {"after", "Of the page before: only records that are older."}},
			says:  map[int]answerOf{200: {text: "The page.", media: html}},
			calls: []call{{code: 200}},
		},
		{
			method: "get", path: "/api/v1/", id: "apiPage", summary: "What there is as JSON, for people.",
			says:  map[int]answerOf{200: {text: "The page.", media: html}},
			calls: []call{{code: 200}},
		},
		{
			method: "get", path: "/static/{file}", id: "static", summary: "The style sheet and the script of the pages.",
			says:  map[int]answerOf{200: {text: "The file.", media: "text/css"}, 404: {text: "There is no such file.", media: plain}},
			calls: []call{{target: "/static/style.css", code: 200}, {target: "/static/none", code: 404}},
		},
		{
			method: "get", path: "/-/healthy", id: "healthy", summary: "Whether the process answers.",
			says:  map[int]answerOf{200: {text: "It does.", media: plain}},
			calls: []call{{code: 200}},
		},
		{
			method: "get", path: "/-/ready", id: "ready", summary: "Whether the first samples are taken and alerts are accepted.",
			says:  map[int]answerOf{200: {text: "It is ready.", media: plain}, 503: {text: "Not yet, or it is shutting down.", media: plain}},
			calls: []call{{code: 200}, {code: 503, change: func(f *fixture) { f.opts.Ready = func() error { return errOnce }; f.rebuild() }}},
		},
	}
}

// readers are the endpoints of the API that change nothing.
func readers() []endpoint {
	notFound, bad := answerOf{text: "There is no such target.", typ: ErrorAnswer{}}, answerOf{text: "A parameter is missing or wrong.", typ: ErrorAnswer{}}
	return []endpoint{
		{
			method: "get", path: "/health/memory", id: "health", summary: "The health report of the targets, for load balancers and services.",
			query: [][2]string{{"target", "One target. Absent: the only configured one, or all."}, {"all", "Every target by its name, also where there is one."}},
			says: map[int]answerOf{
				200: {text: "The report.", ref: "health.schema.json"}, 400: bad, 404: notFound,
				503: {text: "No sample is younger than three intervals.", typ: ErrorAnswer{}},
			},
			calls: []call{
				{code: 200},
				{name: "all", target: "/health/memory?all", code: 200},
				{target: "/health/memory?target=app&all", code: 400},
				{target: "/health/memory?target=none", code: 404},
				{name: "stale", code: 503, change: func(f *fixture) { f.now = f.now.Add(time.Hour) }},
			},
		},
		{
			method: "get", path: "/api/v1/targets", id: "targets", summary: "The targets, with their mode and level.",
			says:  map[int]answerOf{200: {text: "The targets.", typ: targetsAnswer{}}},
			calls: []call{{code: 200}},
		},
		{
			method: "get", path: "/api/v1/series", id: "series", summary: "The samples of a target that are kept in memory.",
			query: [][2]string{{"target", "The name of a target; required."}, {"tier", "0: single samples (the default); 1: 15 intervals a slot; 2: 300."}},
			says:  map[int]answerOf{200: {text: "The series.", typ: seriesAnswer{}}, 400: bad, 404: notFound},
			calls: []call{{target: "/api/v1/series?target=app", code: 200}, {target: "/api/v1/series?target=app&tier=2", code: 200}, {code: 400}, {target: "/api/v1/series?target=app&tier=9", code: 400}, {target: "/api/v1/series?target=none", code: 404}},
		},
		{
			method: "get", path: "/api/v1/journal", id: "journal", summary: "What was done and why, the newest first.",
			description: "What steps printed or were answered is shown to callers with proof only, unless journal.public_output is set.",
			query: [][2]string{
				{"target", aTarget},
				{"playbook", "Only this playbook."},
				{"outcome", "Only this outcome."},
				{"run_id", "Only the steps of this run."},
				{"since", "A time such as 2026-01-02T15:04:05Z, or a span such as 24h."},
				{"until", "The same."},
				{"limit", "At most so many records."},
				{"after", "next of the page before."},
			},
			says: map[int]answerOf{
				200: {text: "The records.", typ: journalAnswer{}}, 400: bad,
				500: {text: "The journal cannot be read.", typ: ErrorAnswer{}}, 503: {text: "The journal is damaged or does not answer.", typ: ErrorAnswer{}},
			},
			calls: []call{
				{code: 200, change: records},
				{name: "with proof", header: bearer, code: 200, change: records},
				{name: "none, and more", code: 200, change: func(f *fixture) {
					f.opts.Journal = func(journal.Filter) ([]journal.Record, string, error) { return nil, "n", nil }
					f.rebuild()
				}},
				{target: "/api/v1/journal?limit=x", code: 400},
				{name: "cannot be read", code: 500, change: failingJournal(errOnce)},
				{name: "damaged", code: 503, change: failingJournal(journal.ErrDamaged)},
			},
		},
		{
			method: "get", path: "/api/v1/alerts", id: "alerts", summary: "The alerts and rules of the embedded evaluator.",
			says: map[int]answerOf{200: {text: "The alerts.", typ: alertsAnswer{}}},
			calls: []call{{code: 200}, {name: "some", code: 200, change: func(f *fixture) {
				f.state.Alerts = []Alert{{Name: "A", State: "firing", Labels: map[string]string{"target": "app"}, Annotations: map[string]string{}, Value: "1", ActiveAt: f.now}}
				f.state.Rules = []Rule{{Group: "g", Name: "A", State: "firing", LastError: "e"}}
			}}},
		},
		{
			method: "get", path: "/api/v1/evidence", id: "evidence", summary: "What was captured of the memory of a target, and what grew.",
			query: [][2]string{{"target", "The name of a target; required."}, {"since", "Compare with the first capture since then: a time, or a span such as 24h."}, {"output", "json (the default), or pprof: the newest capture for go tool pprof."}},
			says: map[int]answerOf{
				200: {text: "The captures.", typ: evidenceAnswer{}, media: "application/octet-stream"}, 400: bad,
				404: {text: "Nothing was captured of it.", typ: ErrorAnswer{}}, 503: {text: "The captures cannot be read.", typ: ErrorAnswer{}},
			},
			calls: []call{
				{target: "/api/v1/evidence?target=app", code: 200, change: captured},
				{target: "/api/v1/evidence?target=app&since=90m", code: 200, change: captured},
				{target: "/api/v1/evidence?target=app&output=pprof", code: 200, change: captured},
				{name: "folders alone", target: "/api/v1/evidence?target=app", code: 200, change: func(f *fixture) {
					f.opts.Folders = func(string) []evidence.Folder { return []evidence.Folder{{Kind: "temp", Name: "t"}} }
					f.opts.Mappings = func(string) *evidence.Mappings { return &evidence.Mappings{} }
					f.rebuild()
				}},
				{code: 400},
				{target: "/api/v1/evidence?target=app", code: 404},
				{target: "/api/v1/evidence?target=app", code: 503, change: func(f *fixture) {
					f.opts.Evidence = func(string) ([]evidence.Profile, error) { return nil, errOnce }
					f.rebuild()
				}},
			},
		},
		{
			method: "get", path: "/api/v1/runs", id: "runs", summary: "The open runs, those that wait, cooldowns, pauses, budgets and proposals.",
			query: [][2]string{{"target", aTarget}},
			says:  map[int]answerOf{200: {text: "What is being done, and what waits.", typ: runsAnswer{}}},
			calls: []call{{code: 200}, {target: "/api/v1/runs?target=app", code: 200}, {name: "nothing", code: 200, change: func(f *fixture) { f.state.Activity = Activity{} }}},
		},
		{
			method: "get", path: "/api/v1/proposals", id: "proposals", summary: "The proposals that wait for a person.",
			query: [][2]string{{"target", aTarget}},
			says:  map[int]answerOf{200: {text: "The proposals.", typ: proposalsAnswer{}}},
			calls: []call{{code: 200}, {target: "/api/v1/proposals?target=other", code: 200}},
		},
		{
			method: "get", path: watchPath, id: "watch", summary: "Server-sent events: level with the health report at once and with each change of a level, update when there is something new.",
			query: [][2]string{{"target", aTarget}},
			says:  map[int]answerOf{200: {text: "The events, until the caller ends it.", media: "text/event-stream"}, 404: notFound, 503: {text: "Too many streams are open.", typ: ErrorAnswer{}}},
			calls: []call{{target: watchPath + "?target=none", code: 404}},
		},
	}
}

// changingAll are the endpoints that change something.
func changingAll() []endpoint {
	queueFull := func(f *fixture) {
		f.submit = func(alert.Batch) ([]alert.Disposition, error) { return nil, errOnce }
		f.run = func(RunRequest) (string, error) { return "", errOnce }
		f.decide = func(Decision) (string, error) { return "", errOnce }
	}
	fails := func(err error) func(*fixture) {
		return func(f *fixture) {
			f.run = func(RunRequest) (string, error) { return "", err }
			f.pause = func(PauseRequest) error { return err }
			f.decide = func(Decision) (string, error) { return "", err }
		}
	}
	taken := map[int]answerOf{200: {text: "It was taken.", typ: StatusAnswer{}}}
	out := []endpoint{
		changing(endpoint{
			path: "/api/v1/webhook", id: "webhook", summary: "The webhook of Alertmanager, version 4.",
			description: "Answered when the intents are in the journal; it waits for no run.",
			request:     webhookSchema(),
			says:        map[int]answerOf{200: {text: "What follows for each alert, in their order.", typ: []alert.Disposition{}}},
			calls:       []call{{body: notification, code: 200}, {name: "queue full", body: notification, code: 503, change: queueFull}},
		}, notification),
		changing(endpoint{
			path: "/api/v1/run", id: "run", summary: "Run a playbook or an action of a target now.", request: RunRequest{},
			says: maps.Clone(taken),
			calls: []call{
				{body: `{"target": "app", "playbook": "clean_temp"}`, code: 200},
				{name: "refused", body: `{"target": "app", "playbook": "x"}`, code: 400, change: fails(ErrRefused)},
				{name: "queue full", body: `{"target": "app"}`, code: 503, change: queueFull},
			},
		}, "{}"),
	}
	for _, e := range []endpoint{
		{path: "/api/v1/pause", id: "pause", summary: "Hold back what begins by itself."},
		{path: "/api/v1/resume", id: "resume", summary: "End a pause, or all."},
	} {
		e.request, e.says = PauseRequest{}, map[int]answerOf{200: {text: "The pauses that hold now.", typ: pausesAnswer{}}}
		e.calls = []call{
			{body: "{}", code: 200},
			{name: "not in the journal", body: "{}", code: 200, change: fails(errOnce)},
			{name: "no such target", body: `{"target": "x"}`, code: 400, change: fails(ErrRefused)},
		}
		out = append(out, changing(e, "{}"))
	}
	for _, e := range []endpoint{
		{path: "/api/v1/proposals/{id}/approve", id: "approve", summary: "Approve a proposal: its run begins."},
		{path: "/api/v1/proposals/{id}/deny", id: "deny", summary: "Deny a proposal."},
	} {
		e.request, e.says = Decision{}, maps.Clone(taken)
		e.says[303] = answerOf{text: "To the page, from which a browser has sent the form."}
		e.says[404] = answerOf{text: "It does not wait: decided, expired or unknown.", typ: ErrorAnswer{}}
		e.says[409] = answerOf{text: "The situation is another one by now: it was voided.", typ: ErrorAnswer{}}
		e.calls = []call{
			{body: `{"by": "anna"}`, code: 200},
			{name: "no run", body: "{}", code: 200, change: func(f *fixture) { f.decide = func(Decision) (string, error) { return "", nil } }},
			{name: "the button of the page", code: 303, header: map[string]string{"Content-Type": formType, "Sec-Fetch-Site": "same-origin"}, change: func(f *fixture) {
				f.opts.Authenticated = func(*http.Request) bool { return true }
				f.rebuild()
			}},
			{name: "gone", body: "{}", code: 404, change: fails(ErrGone)},
			{name: "void", body: "{}", code: 409, change: fails(ErrVoid)},
		}
		out = append(out, changing(e, "{}"))
	}
	reload := endpoint{
		method: "post", path: "/-/reload", id: "reload", summary: "Load the configuration again.", changes: true,
		says: map[int]answerOf{
			200: {text: "It was loaded.", media: plain}, 401: refusalTexts[401], 403: refusalTexts[403],
			500: {text: "It is wrong; the old one still runs.", media: plain},
			503: {text: "It goes on, and the answer says what it waits for; or the token cannot be checked.", media: plain, typ: ErrorAnswer{}},
		},
		calls: []call{
			{header: bearer, code: 200},
			{name: "wrong", header: bearer, code: 500, change: func(f *fixture) { f.reload = errOnce }},
			{name: "goes on", header: bearer, code: 503, change: func(f *fixture) { f.reload = ErrPending }},
			{name: "no token", code: 401},
			{name: "another site", header: with("Origin", "http://evil.example"), code: 403},
		},
	}
	return append(out, reload)
}

// webhookSchema is what is read of Alertmanager's notification; it may hold more.
func webhookSchema() object {
	texts := object{"type": "object", "additionalProperties": object{"type": "string"}}
	moment, word := object{"type": "string", "format": "date-time"}, object{"type": "string"}
	return object{
		"type": "object", "required": []string{"version", "alerts"},
		"properties": object{
			"version": object{"const": "4"}, "groupKey": word, "status": object{"enum": []string{"firing", "resolved"}}, "receiver": word,
			"alerts": object{"type": "array", "items": object{
				"type": "object", "required": []string{"status", "labels"},
				"properties": object{"status": object{"enum": []string{"firing", "resolved"}}, "labels": texts, "annotations": texts, "startsAt": moment, "endsAt": moment, "fingerprint": word},
			}},
		},
	}
}

func (f *fixture) rebuild() {
	opts := f.opts
	opts.Registerer = prometheus.NewRegistry()
	f.handler = New(opts)
}

func failingJournal(err error) func(*fixture) {
	return func(f *fixture) {
		f.opts.Journal = func(journal.Filter) ([]journal.Record, string, error) { return nil, "", err }
		f.rebuild()
	}
}

// records has a record with everything that one can have.
func records(f *fixture) {
	f.records = []journal.Record{
		{ID: "2", RunID: "1", Time: f.now, Target: "app", Playbook: "p", Step: 1, Action: "command", Mode: "enforce", Outcome: "failed", Error: "e", Output: "secret", Files: 3, FreedBytes: 5, Skipped: map[string]int64{"in_use": 1}},
		{ID: "1", RunID: "1", Time: f.now, Target: "app", Playbook: "p", Trigger: "webhook", Alert: "A", Before: "90%", Mode: "enforce"},
	}
}

func captured(f *fixture) {
	now := f.now
	f.opts.Evidence = func(string) (out []evidence.Profile, _ error) {
		for n := range 6 {
			out = append(out, capturedAt(now, n))
		}
		return out, nil
	}
	f.rebuild()
}
