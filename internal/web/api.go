package web

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/fetch"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	staleAfter = 3               // sample intervals without a value make the report unavailable
	firstScan  = 5 * time.Minute // the interval of a folder that was scanned once only
)

// observed returns the targets as they are in the store now.
func (s *server) observed() []health.Target { return s.shown(s.Store.Snapshot(nil)) }

// shown leaves out groups that discovery has shown and that have ended: no one expects them to
// run. A configured target without a process stays.
func (s *server) shown(snapshot []series.Sample) []health.Target {
	st := s.State()
	targets := slices.DeleteFunc(health.Targets(snapshot), func(t health.Target) bool {
		_, configured := st.Modes[t.Name]
		return !configured && t.Processes != nil && *t.Processes == 0
	})
	for i := range targets {
		targets[i].Warn(Firing(st.Alerts, func(target string) bool { return target == targets[i].Name }))
	}
	return targets
}

// Firing returns the alerts that fire for targets. Those of the exporter itself have the target "".
func Firing(alerts []Alert, of func(target string) bool) []health.Alert {
	var out []health.Alert
	for i := range alerts {
		if a := &alerts[i]; a.State == "firing" && of(a.Labels[alert.LabelTarget]) {
			out = append(out, health.Alert{Name: a.Name, Severity: a.Labels["severity"], Summary: a.Annotations["summary"]})
		}
	}
	return out
}

// fresh reports whether any target has a value that is younger than three of its intervals.
func (s *server) fresh(targets []health.Target) bool {
	for i := range targets {
		if s.isFresh(&targets[i]) {
			return true
		}
	}
	return false
}

func (s *server) isFresh(t *health.Target) bool {
	return t.Newest.After(s.Now().Add(-staleAfter * s.intervalOf(t)))
}

// intervalOf is the sample interval, or for a target of folders only the time between its last
// two scans: they are rarer, and stretch to stay within their budget.
func (s *server) intervalOf(t *health.Target) time.Duration {
	interval := s.Interval()
	if t.Processes != nil || t.UsedBytes != nil || len(t.Heaps) > 0 {
		return interval
	}
	for _, sample := range s.Store.Snapshot(nil) {
		if !sample.Desc.Window || len(sample.Values) == 0 || sample.Values[0] != t.Name {
			continue
		}
		points := s.Store.Points(nil, series.TierSample, sample.Desc, sample.Values...)
		if n := len(points); n > 1 {
			return max(interval, points[n-1].Time.Sub(points[n-2].Time))
		}
		return max(interval, firstScan)
	}
	return interval
}

// health is GET /health/memory.
func (s *server) health(w http.ResponseWriter, r *http.Request) {
	targets := s.observed()
	q := r.URL.Query()
	name, all := q.Get("target"), q.Has("all")
	fresh := s.fresh(targets) // without a name the answer is also a sign of life, whatever is known of one target
	switch {
	case name != "" && all:
		fail(w, http.StatusBadRequest, "target and all exclude each other: write one of them")
		return
	case name != "":
		targets = only(targets, name)
		if len(targets) == 0 {
			fail(w, http.StatusNotFound, "there is no target %q: /api/v1/targets lists them", name)
			return
		}
		fresh = s.fresh(targets)
	case !all:
		targets = s.primary(targets)
	}
	if !fresh {
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, "no sample is younger than %d intervals of %s", staleAfter, s.Interval())
		return
	}
	s.judge(targets)
	writeJSON(w, http.StatusOK, reports(targets, all))
}

// primary returns the only target that is configured, where there is one. Its report is the answer to who
// asks for no other, and so it says what fires for those alongside it: the host, and the exporter itself.
func (s *server) primary(targets []health.Target) []health.Target {
	st := s.State()
	if len(st.Modes) != 1 {
		return targets
	}
	for name := range st.Modes {
		if targets = only(targets, name); len(targets) == 0 {
			targets = []health.Target{{Name: name}}
		}
		if t := &targets[0]; !s.isFresh(t) {
			t.Outdated()
		}
		targets[0].Warn(Firing(st.Alerts, func(target string) bool { return target != name }))
	}
	return targets
}

func only(targets []health.Target, name string) []health.Target {
	for i := range targets {
		if targets[i].Name == name {
			return targets[i : i+1]
		}
	}
	return nil
}

// reports is one report for one target, unless all are requested, and {"targets": {...}} for several.
func reports(targets []health.Target, all bool) any {
	if len(targets) == 1 && !all {
		return targets[0].Report()
	}
	byName := make(map[string]health.Report, len(targets))
	for i := range targets {
		byName[targets[i].Name] = targets[i].Report()
	}
	return map[string]any{"targets": byName}
}

// targets is GET /api/v1/targets.
func (s *server) targets(w http.ResponseWriter, _ *http.Request) {
	type entry struct {
		Name  string `json:"name"`
		Mode  string `json:"mode,omitempty"` // absent for what is only observed
		Level string `json:"level,omitempty"`
	}
	modes := s.State().Modes
	out := []entry{}
	for _, t := range s.observed() {
		e := entry{Name: t.Name, Mode: modes[t.Name]}
		if t.Level != nil {
			e.Level = t.Level.String()
		}
		out = append(out, e)
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "success", "targets": out})
}

// series is GET /api/v1/series?target=: the rings of a target.
func (s *server) series(w http.ResponseWriter, r *http.Request) {
	type point struct {
		Time time.Time `json:"time"`
		Min  *float64  `json:"min"`
		Max  *float64  `json:"max"`
		Last *float64  `json:"last"`
	}
	type one struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
		Points []point           `json:"points"`
	}
	q := r.URL.Query()
	name := q.Get("target")
	if name == "" {
		fail(w, http.StatusBadRequest, "no target: write /api/v1/series?target=NAME; /api/v1/targets lists the names")
		return
	}
	tier := 0
	if t := q.Get("tier"); t != "" {
		var err error
		if tier, err = strconv.Atoi(t); err != nil || tier < 0 || tier > int(series.TierLong) {
			fail(w, http.StatusBadRequest, "tier %q: write 0 (single samples), 1 (15 intervals a slot) or 2 (300)", t)
			return
		}
	}
	out := []one{}
	for _, sample := range s.Store.Snapshot(nil) {
		d := sample.Desc
		if !d.Window || len(d.Labels) == 0 || d.Labels[0] != "target" || sample.Values[0] != name {
			continue
		}
		e := one{Name: d.Name, Labels: make(map[string]string), Points: []point{}}
		for i, l := range d.Labels {
			e.Labels[l] = sample.Values[i]
		}
		for _, p := range s.Store.Points(nil, series.Tier(tier), d, sample.Values...) {
			e.Points = append(e.Points, point{p.Time, number(p.Min), number(p.Max), number(p.Last)})
		}
		out = append(out, e)
	}
	if len(out) == 0 {
		fail(w, http.StatusNotFound, "there is no target %q with series: /api/v1/targets lists them", name)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "success", "series": out})
}

// number is nil for what JSON has no number for.
func number(v float64) *float64 {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return nil
	}
	return &v
}

// journal is GET /api/v1/journal with filters and paging. What a step printed or was answered may hold
// secrets: it is for callers who have proved who they are, unless the configuration makes it public.
func (s *server) journal(w http.ResponseWriter, r *http.Request) {
	f, err := s.journalFilter(r)
	if err != nil {
		fail(w, http.StatusBadRequest, "%s", err)
		return
	}
	records, next, err := s.Journal(f)
	switch {
	case errors.Is(err, journal.ErrDamaged), errors.Is(err, journal.ErrNoAnswer):
		w.Header().Set("Retry-After", retryAfter)
		fail(w, http.StatusServiceUnavailable, "the journal cannot be read: %s", err)
		return
	case err != nil:
		fail(w, http.StatusInternalServerError, "the journal cannot be read: %s", err)
		return
	}
	if records == nil {
		records = []journal.Record{}
	}
	out := map[string]any{"status": "success", "records": records}
	w.Header().Set("Cache-Control", "no-store") // for this caller only
	if !s.Access().PublicOutput && !s.hasProof(r) {
		out["records"] = publicRecords(records)
		if n := withPrivate(records); n > 0 {
			out["withheld"] = fmt.Sprintf("the output of %d records: send Authorization: Bearer with the content of webhook.token_file, or authenticate to the listener, or write journal: {public_output: true}", n)
		}
	}
	if next != "" {
		out["next"] = next
	}
	writeJSON(w, http.StatusOK, out)
}

func withPrivate(records []journal.Record) (n int) {
	for i := range records {
		if records[i].HasPrivate() {
			n++
		}
	}
	return n
}

func publicRecords(records []journal.Record) []journal.Record {
	out := make([]journal.Record, len(records))
	for i := range records {
		out[i] = records[i].Public(fetch.PublicText)
	}
	return out
}

// publicState shortens the URLs in what the page shows: an error may quote a line of the configuration.
func publicState(st State) State {
	st.ReloadError = fetch.PublicText(st.ReloadError)
	st.Errors, st.Providers = slices.Clone(st.Errors), slices.Clone(st.Providers)
	for i := range st.Errors {
		st.Errors[i].Error = fetch.PublicText(st.Errors[i].Error)
	}
	for i := range st.Providers {
		st.Providers[i].LastError = fetch.PublicText(st.Providers[i].LastError)
	}
	return st
}

func (s *server) journalFilter(r *http.Request) (journal.Filter, error) {
	q := r.URL.Query()
	f := journal.Filter{
		Target: q.Get("target"), Playbook: q.Get("playbook"), Outcome: q.Get("outcome"),
		RunID: q.Get("run_id"), After: q.Get("after"),
	}
	if v := q.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > journal.MaxLimit {
			return f, fmt.Errorf("limit %q: write a number from 1 to %d", v, journal.MaxLimit)
		}
		f.Limit = n
	}
	for name, t := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		var err error
		if *t, err = s.moment(q.Get(name)); err != nil {
			return f, fmt.Errorf("%s %w", name, err)
		}
	}
	return f, nil
}

// moment reads a time, or a span before now; "" is the zero time.
func (s *server) moment(v string) (time.Time, error) {
	if v == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return t, nil
	}
	d, err := units.ParseDuration(v)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q: write a time such as 2026-01-02T15:04:05Z, or a span such as 24h", v)
	}
	return s.Now().Add(-d.Std()), nil
}

// alerts is GET /api/v1/alerts.
func (s *server) alerts(w http.ResponseWriter, _ *http.Request) {
	st := s.State()
	if st.Alerts == nil {
		st.Alerts = []Alert{}
	}
	if st.Rules == nil {
		st.Rules = []Rule{}
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "success", "standalone": st.Standalone, "reflex": st.Reflex, "alerts": st.Alerts, "rules": st.Rules})
}
