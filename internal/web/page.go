package web

import (
	"bytes"
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

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/lazy"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

//go:embed templates/*.html static/*
var files embed.FS

const (
	pageActions   = 12 // records shown on the status page
	targetActions = 50 // records shown on a target's page
	enoughPoints  = 20 // of a coarse ring, to be drawn instead of the fine one
)

// templatesIdle is how long the parsed templates are kept for the next look at the page.
const templatesIdle = 10 * time.Minute

// page holds the templates, which are parsed when someone looks, and the versions of the static
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
		"bytes": bytesText, "percent": percentText, "count": countText, "ago": agoText, "skips": skipsText,
		"left": func(now, t time.Time) string { return durationText(max(t.Sub(now), 0).Seconds()) }, "duration": durationText, "growth": growthText, "number": numberText, "segment": url.PathEscape,
		"static": func(path string) string { return path + "?v=" + p.versions[path] },
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
	Title   string
	Now     time.Time
	Version string
	Cards   []card
	Single  bool // the page of one target
	State   State
	Firing  int
	Pending int
	Runs    activityView
	Decides bool // who looks may approve and deny here
	Actions []journal.Record
	AllDry  bool // of the Actions
	ReadErr string
	Stale   bool

	TelemetryPath string
	NewestAgo     string       // how old the newest value is; "" when there is none
	RuleCounts    string       // "5 rules, 2 firing, 1 failing"
	Failing       int          // providers whose last use failed
	Counts        []levelCount // how many targets are in each state, the worst first
}

// levelCount is how many targets are in one state.
type levelCount struct {
	Name string // down, emergency, critical, warning, normal, unknown
	N    int
}

// card is one target.
type card struct {
	health.Target
	ID        string // of the element; a name may hold what an id cannot
	LevelName string
	Mode      string
	Bar       *bar
	Memory    *chart
	Down      bool
	Stale     bool
	Growing   bool
	HeapCards []heapCard
	CacheRows []cacheRow
	TempRows  []tempRow
	Folders   []folderRow
	ProbeRow  *probeRow // nil without a probe
	Grew      *grewView // nil where nothing was captured
}

type heapCard struct {
	health.Heap
	Bar   *bar
	Chart *chart
}

type cacheRow struct {
	health.Cache
	Chart *chart
}

type tempRow struct {
	health.Temp
	Chart *chart
}

type folderRow struct {
	health.Folder
	Title string
	Chart *chart
}

// index is the status page.
func (s *server) index(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, s.view("", series.TierSample, pageActions))
}

// target is the page of one target, with its longer past.
func (s *server) target(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	v := s.view(name, series.TierMedium, targetActions)
	if len(v.Cards) == 0 {
		text(w, http.StatusNotFound, "There is no target "+strconv.Quote(name)+". The status page at / lists them.")
		return
	}
	s.render(w, r, v)
}

func (s *server) view(only string, tier series.Tier, actions int) *view {
	snapshot := s.Store.Snapshot(nil)
	find := make(map[series.Key]series.Sample, len(snapshot))
	for _, sample := range snapshot {
		find[series.KeyOf(sample.Desc, sample.Values)] = sample
	}
	targets := s.shown(snapshot)
	health.SortWorst(targets)
	v := &view{Title: "Spillway", Now: s.Now(), Version: s.Version, State: publicState(s.State()), Single: only != "", TelemetryPath: s.TelemetryPath}
	v.Stale = !s.fresh(targets)
	for i := range targets {
		if only == "" || targets[i].Name == only {
			s.judge(targets[i : i+1])
			v.Cards = append(v.Cards, s.card(&targets[i], v, tier, find))
			if only != "" {
				v.Cards[0].Grew = s.grew(only)
			}
		}
	}
	if only != "" {
		v.Title = only + " · Spillway"
		v.State.Alerts = slices.DeleteFunc(slices.Clone(v.State.Alerts), func(a Alert) bool { return a.Labels[alert.LabelTarget] != only })
		v.State.Errors = slices.DeleteFunc(slices.Clone(v.State.Errors), func(e SourceError) bool { return e.Target != only })
		v.State.Warnings = maps.Clone(v.State.Warnings)
		maps.DeleteFunc(v.State.Warnings, func(target, _ string) bool { return target != only })
		v.State.Orders = maps.Clone(v.State.Orders)
		maps.DeleteFunc(v.State.Orders, func(target string, _ []string) bool { return target != only })
	}
	v.Runs = newActivityView(v.State.Activity, only)
	v.Counts = count(v.Cards)
	v.RuleCounts = countRules(v.State.Rules)
	var newest time.Time
	for i := range v.Cards {
		if v.Cards[i].Newest.After(newest) {
			newest = v.Cards[i].Newest
		}
	}
	if !newest.IsZero() {
		v.NewestAgo = agoText(v.Now, newest)
	}
	for _, p := range v.State.Providers {
		if p.LastError != "" {
			v.Failing++
		}
	}
	for _, a := range v.State.Alerts {
		if a.State == "firing" {
			v.Firing++
		} else {
			v.Pending++
		}
	}
	records, _, err := s.Journal(journal.Filter{Target: only, Limit: actions})
	if err != nil {
		v.ReadErr = err.Error()
	}
	v.Actions = publicRecords(records)
	v.AllDry = !slices.ContainsFunc(records, func(r journal.Record) bool { return r.Mode != modeDryRun })
	return v
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

// count counts the cards by their state, the worst first.
func count(cards []card) []levelCount {
	var out []levelCount
	for _, name := range []string{"down", "emergency", "critical", "warning", "normal", "unknown"} {
		n := 0
		for i := range cards {
			if cards[i].LevelName == name {
				n++
			}
		}
		if n > 0 {
			out = append(out, levelCount{name, n})
		}
	}
	return out
}

func (s *server) card(t *health.Target, v *view, tier series.Tier, find map[series.Key]series.Sample) card {
	c := card{Target: *t, ID: fmt.Sprintf("t-%d", len(v.Cards)), LevelName: "unknown", Mode: v.State.Modes[t.Name], Bar: newBar(t.UsedRatio, t.LimitBytes, t.Thresholds)}
	if t.Level != nil {
		c.LevelName = t.Level.String()
	}
	if t.Down() {
		c.Down, c.LevelName = true, "down"
	}
	c.Stale = !t.Newest.IsZero() && !s.isFresh(t)
	if g, ok := finite(t.GrowthPerSec); ok {
		_, ends := finite(t.ExhaustionSecs)
		c.Growing = g > 0 && ends
	}
	mib := func(f float64) string { return units.Bytes(f).String() }
	c.Memory = s.chart(metric.MemoryUsed, mib, tier, find, t.LimitBytes, t.Name)
	c.Memory.thresholds(t.LimitBytes, t.Thresholds)
	for _, h := range t.Heaps {
		used := s.chart(metric.HeapUsed, mib, tier, find, h.LimitBytes, t.Name, h.Runtime)
		used.thresholds(h.LimitBytes, t.HeapThresholds)
		c.HeapCards = append(c.HeapCards, heapCard{h, newBar(h.UsedRatio, h.LimitBytes, t.HeapThresholds), used})
	}
	for _, cache := range t.Caches {
		c.CacheRows = append(c.CacheRows, cacheRow{cache, s.chart(metric.CacheSize, mib, tier, find, cache.MaxBytes, t.Name, cache.Name)})
	}
	for _, d := range t.Temps {
		c.TempRows = append(c.TempRows, tempRow{d, s.chart(metric.TempFiles, func(f float64) string { return fmt.Sprintf("%.0f", f) }, tier, find, d.MaxFiles, t.Name, d.Name)})
	}
	for _, f := range t.Folders {
		kind, _ := policy.KindOf(f.Kind)
		c.Folders = append(c.Folders, folderRow{f, kind.Title, s.chart(kind.Chart, mib, tier, find, f.MaxBytes, t.Name, f.Name)})
	}
	c.ProbeRow = s.probeRow(t, tier, find)
	return c
}

func (s *server) render(w http.ResponseWriter, r *http.Request, v *view) {
	if len(v.Runs.Proposals) > 0 && s.decides(r) {
		v.Decides = true
		w.Header().Set("Content-Security-Policy", cspDecides)
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
	w.Write(b.Bytes())
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

func percentText(p *float64) string {
	if f, ok := finite(p); ok {
		return health.Percent(f)
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
	return durationText(max(now.Sub(t), 0).Seconds()) + " ago"
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

func growthText(p *float64) string {
	f, ok := finite(p)
	if !ok {
		return "–"
	}
	return units.Bytes(f*60).String() + "/min"
}

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
