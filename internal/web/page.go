package web

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

//go:embed templates/*.html static/*
var files embed.FS

const (
	pageActions    = 12  // records shown on the overview
	targetActions  = 50  // records shown on a target's page
	journalActions = 200 // records shown on a page of the journal
)

// templatesIdle is how long the parsed templates are kept for the next look at the page.
const templatesIdle = 10 * time.Minute

// page holds the templates, which are parsed when they are first needed, and the versions of the static
// files.
type page struct {
	templates *lazy.Provider[*template.Template]
	versions  map[string]string // by path: the start of the content's hash
}

func newPage(o *Options) *page {
	p := &page{versions: make(map[string]string)}
	names, err := fs.Glob(files, "static/*")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for _, name := range names {
		content, err := files.ReadFile(name)
		if err != nil {
			panic(err) // it is embedded
		}
		p.versions["/"+name] = fmt.Sprintf("%x", sha256.Sum256(content))[:12]
	}
	own := lazy.Options[*template.Template]{
		Name: "templates of the status page", Kind: "page_templates", Idle: templatesIdle, Now: o.Now, Metrics: o.ProviderMetrics,
		Open: func(context.Context) (*template.Template, error) { return p.parse() },
	}
	if o.Providers == nil {
		p.templates = lazy.New(own)
		return p
	}
	if p.templates, err = lazy.Add(o.Providers, own); err != nil {
		panic(err) // one server for one set
	}
	return p
}

func (p *page) parse() (*template.Template, error) {
	return template.New("").Funcs(template.FuncMap{
		"bytes": bytesText, "count": countText, "ago": agoText, "skips": skipsText, "clock": clock, "outcome": outcomeText,
		"left": func(now, t time.Time) string { return durationText(max(t.Sub(now), 0).Seconds()) }, "number": numberText, "segment": url.PathEscape, "words": strings.Fields,
		"static": func(path string) string { return path + "?v=" + p.versions[path] },
		"iso":    func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") },
	}).ParseFS(files, "templates/*.html")
}

// static serves the style sheet, the script and the icon. The page names them with the hash of
// their content, so a browser keeps them until the binary changes.
func (p *page) static(w http.ResponseWriter, r *http.Request) {
	version, ok := p.versions[r.URL.Path]
	if !ok {
		text(w, http.StatusNotFound, "There is nothing here. The status page is at /.")
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == version {
		w.Header().Set("Cache-Control", "max-age=31536000, immutable")
	}
	http.ServeFileFS(w, r, files, r.URL.Path[1:])
}

// view is what the templates show.
type view struct {
	Page    string // overview, target, journal, api
	Title   string
	Now     time.Time
	Host    string
	Version string
	State   State
	Modes   modesView
	Single  bool // one target only
	Runs    activityView
	Decides bool // who looks may approve and deny here
	Stale   bool

	TelemetryPath string
	Prometheus    string
	Dashboard     string
	Docs          string

	Overview *overview
	Target   *targetView
	Journal  *journalView

	Alerts     []alertRow
	MoreAlerts int
	Pending    int
	Actions    []recordRow
	AllDry     bool // of the Actions
	ReadErr    string
	NewestAgo  string // how old the newest value is; "" when there is none
	RuleCounts string // "5 rules, 2 firing, 1 failing"
	Failing    int    // providers whose last use failed
}

// levelCount is how many targets are in one state.
type levelCount struct {
	Name, Class string // down, emergency, critical, warning, unknown, normal
	N           int
	Link        string
	Chosen      bool
}

// NeedAttention returns how many targets are at a level above normal, and how many are not known.
func (o *overview) NeedAttention() (n int) {
	return o.countOf(func(s string) bool { return s != "normal" && s != "unknown" })
}

// Unknown returns how many targets have no known level.
func (o *overview) Unknown() (n int) { return o.countOf(func(s string) bool { return s == "unknown" }) }

func (o *overview) countOf(state func(string) bool) (n int) {
	for _, c := range o.Counts {
		if state(c.Name) {
			n += c.N
		}
	}
	return n
}

// index is the status page.
func (s *server) index(w http.ResponseWriter, r *http.Request) {
	targets, v := s.newView("overview")
	health.SortWorst(targets)
	last := s.lastRuns()
	v.Overview = s.newOverview(r, targets, &v.State, last)
	v.Title = v.Overview.Heading() + " · " + v.Host
	v.Runs = newActivityView(v.State.Activity, "", r.URL.Query().Get("show") == "all")
	v.Alerts, v.Pending = s.alertRows(&v.State, last, v.Now)
	if r.URL.Query().Get("show") != "all" && len(v.Alerts) > pageAlerts {
		v.MoreAlerts = len(v.Alerts) - pageAlerts
		v.Alerts = v.Alerts[:pageAlerts]
	}
	s.recent(v, journal.Filter{Limit: pageActions})
	s.render(w, r, v)
}

// Heading says how many targets need attention.
func (o *overview) Heading() string {
	n, unknown := o.NeedAttention(), o.Unknown()
	switch {
	case o.Of == 0:
		return "0 targets"
	case n > 0:
		verb := "need"
		if n == 1 {
			verb = "needs"
		}
		return fmt.Sprintf("%d of %s %s attention", n, plural(o.Of, "target"), verb)
	case unknown == o.Of:
		return fmt.Sprintf("The level of %s is not known", plural(o.Of, "target"))
	case unknown == 1 && o.unlimited:
		return fmt.Sprintf("All %d targets with a limit are normal", o.Of-1)
	case unknown > 0:
		return fmt.Sprintf("No target needs attention; the level of %d of %d is not known", unknown, o.Of)
	case o.Of == 1:
		return "The target is normal"
	}
	return fmt.Sprintf("All %d targets are normal", o.Of)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// newView returns what every page shows, and the targets.
func (s *server) newView(page string) ([]health.Target, *view) {
	targets := s.observed()
	st := publicState(s.State())
	v := &view{Page: page, Now: s.Now(), Version: s.Version, State: st, TelemetryPath: s.TelemetryPath, Host: s.Host, Docs: docsURL, Prometheus: st.PrometheusURL, Dashboard: st.DashboardHome}
	v.Stale = !s.fresh(targets)
	names := make([]string, len(targets))
	var newest time.Time
	for i := range targets {
		names[i] = targets[i].Name
		if targets[i].Newest.After(newest) {
			newest = targets[i].Newest
		}
	}
	v.Modes = newModes(&st, names)
	if !newest.IsZero() {
		v.NewestAgo = agoText(v.Now, newest)
	}
	v.RuleCounts = countRules(st.Rules)
	for _, p := range st.Providers {
		if p.LastError != "" {
			v.Failing++
		}
	}
	return targets, v
}

// recent adds records of the journal.
func (s *server) recent(v *view, f journal.Filter) {
	records, next, err := s.Journal(f)
	if err != nil {
		v.ReadErr = err.Error()
	}
	v.Actions = grouped(publicRecords(records))
	v.AllDry = !slices.ContainsFunc(records, func(r journal.Record) bool { return r.Mode != modeDryRun })
	if v.Journal != nil {
		v.Journal.Next = next
	}
}

// recordRow is one record in a table. A run stands before its steps.
type recordRow struct {
	journal.Record

	First bool // of its run
}

// grouped puts the records of each run together, the run before its steps in their order. The runs stay in the
// order of their newest records.
func grouped(records []journal.Record) []recordRow {
	place := make(map[string]int)
	for i := range records {
		if _, known := place[records[i].RunID]; !known {
			place[records[i].RunID] = i
		}
	}
	slices.SortStableFunc(records, func(a, b journal.Record) int {
		return cmp.Or(cmp.Compare(place[a.RunID], place[b.RunID]), cmp.Compare(a.Step, b.Step))
	})
	out := make([]recordRow, len(records))
	for i := range records {
		out[i] = recordRow{records[i], i == 0 || records[i].RunID != records[i-1].RunID}
	}
	return out
}

// countRules says how many rules there are, and which of them need a look.
func countRules(rules []Rule) string {
	parts := []string{fmt.Sprintf("%d rules", len(rules))}
	for _, state := range []string{"firing", "pending", "failing"} {
		n := 0
		for _, r := range rules {
			if r.State == state || state == "failing" && r.LastError != "" {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return strings.Join(parts, ", ")
}

func (s *server) render(w http.ResponseWriter, r *http.Request, v *view) {
	w.Header().Set("Content-Security-Policy", cspPage)
	if len(v.Runs.Proposals) > 0 && s.decides(r) {
		v.Decides = true
		w.Header().Set("Referrer-Policy", "same-origin") // else a form has no origin to be known by
	}
	var b bytes.Buffer
	lease, err := s.page.templates.Get(context.Background())
	if err == nil {
		err = lease.Value.ExecuteTemplate(&b, "page.html", v)
		lease.Release()
	}
	if err != nil {
		s.Logger.Error("the page could not be rendered", "err", err)
		text(w, http.StatusInternalServerError, "The page could not be rendered: see the exporter's log.")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(oneDirection(b.Bytes()))
}

func bytesText(p any) string {
	switch v := p.(type) {
	case *float64:
		if f, ok := finite(v); ok {
			return units.Bytes(f).String()
		}
		return "–"
	case int64:
		return units.Bytes(v).String()
	}
	return "–"
}

func countText(p *float64) string {
	if f, ok := finite(p); ok {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return "–"
}

func agoText(now, t time.Time) string {
	if now.Sub(t) < time.Second {
		return "just now"
	}
	return durationText(now.Sub(t).Seconds()) + " ago"
}

func durationText(seconds any) string {
	var f float64
	switch v := seconds.(type) {
	case float64:
		f = v
	case *float64:
		var ok bool
		if f, ok = finite(v); !ok {
			return "–"
		}
	}
	switch {
	case f < 1:
		return strconv.FormatFloat(f*1000, 'f', 0, 64) + " ms"
	case f < 90:
		return strconv.FormatFloat(f, 'f', 0, 64) + " s"
	case f < 90*60:
		return strconv.FormatFloat(f/60, 'f', 0, 64) + " min"
	case f < 48*3600:
		return strconv.FormatFloat(f/3600, 'f', 1, 64) + " h"
	}
	return strconv.FormatFloat(f/86400, 'f', 1, 64) + " d"
}

// outcomeText writes an outcome, or a mode, as people say it.
func outcomeText(outcome string) string { return strings.ReplaceAll(outcome, "_", " ") }

// skipsText writes what was left in place and why: "3 in_use, 11 too_young".
func skipsText(skipped map[string]int64) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(skipped)) {
		if n := skipped[reason]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, reason))
		}
	}
	return strings.Join(parts, ", ")
}
