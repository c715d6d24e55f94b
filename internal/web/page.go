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
	"math"
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

// page holds the templates, which are parsed when somebody looks, and the versions of the static
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
		"duration": durationText, "growth": growthText, "segment": url.PathEscape,
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
	Actions []journal.Record
	ReadErr string
	Stale   bool

	TelemetryPath string
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

// bar is a share of a limit with the thresholds drawn into it, in a drawing 1000 units wide.
type bar struct {
	Width float64
	Text  string
	Label string // for screen readers, with the thresholds
	Marks []mark
}

type mark struct {
	X    float64
	Name string
}

func newBar(ratio *float64, t series.Thresholds) *bar {
	if ratio == nil || math.IsNaN(*ratio) {
		return nil
	}
	b := &bar{Width: 1000 * min(max(*ratio, 0), 1), Text: health.Percent(*ratio)}
	b.Label = b.Text + " of the limit"
	for _, m := range []mark{{t.Warning, "warning"}, {t.Critical, "critical"}, {t.Emergency, "emergency"}} {
		if m.X > 0 {
			b.Marks = append(b.Marks, mark{1000 * min(m.X, 1), m.Name})
			b.Label += ", " + m.Name + " from " + units.Ratio(m.X).String()
		}
	}
	return b
}

// chart is a sparkline: the last values as a line and what was seen between them as a band, in a
// drawing of 300 by 60 units.
type chart struct {
	Line, Band string
	Label      string // for screen readers
	Low, High  string
	Over       string  // the time that the drawing covers
	Limit      float64 // y of the limit, or negative
}

const (
	chartWidth, chartHeight = 300.0, 60.0
	leastSpan               = 0.1 // of the largest value, from the bottom to the top of a chart
)

// seriesKey identifies a series by its name and label values.
func seriesKey(name string, values []string) string {
	return name + "\x00" + strings.Join(values, "\x00")
}

func (s *server) chart(name string, format func(float64) string, tier series.Tier, find map[string]series.Sample, limit *float64, values ...string) *chart {
	sample, ok := find[seriesKey(name, values)]
	if !ok {
		return nil
	}
	points := s.Store.Points(nil, tier, sample.Desc, sample.Labels()...)
	if tier != series.TierSample && len(points) < enoughPoints { // young: single samples tell more
		points = s.Store.Points(nil, series.TierSample, sample.Desc, sample.Labels()...)
	}
	if len(points) < 2 {
		return nil
	}
	return newChart(points, format, limit)
}

func newChart(points []series.Point, format func(float64) string, limit *float64) *chart {
	low, high := points[0].Min, points[0].Max
	for _, p := range points {
		low, high = min(low, p.Min), max(high, p.Max)
	}
	c := &chart{Low: format(low), High: format(high), Limit: -1}
	top := high
	if l, ok := finite(limit); ok && l < high*1.5 && l > 0 {
		top = max(high, l)
	}
	if least := math.Abs(high) * leastSpan; top-low < least { // noise is not to look like a storm
		low -= min((least-(top-low))/2, low)
		top = low + least
	}
	span := top - low
	if span <= 0 {
		span = 1
	}
	from := points[0].Time
	whole := points[len(points)-1].Time.Sub(from).Seconds()
	if whole <= 0 {
		whole = 1
	}
	y := func(v float64) float64 { return 2 + (chartHeight-4)*(1-(v-low)/span) }
	if l, ok := finite(limit); ok && l <= top && l >= low {
		c.Limit = y(l)
	}
	var line, upper, lower []byte
	for i, p := range points {
		x := chartWidth * p.Time.Sub(from).Seconds() / whole
		line = appendPoint(line, i, x, y(p.Last))
		upper = appendPoint(upper, i, x, y(p.Max))
	}
	for _, p := range slices.Backward(points) {
		lower = appendPoint(lower, 1, chartWidth*p.Time.Sub(from).Seconds()/whole, y(p.Min))
	}
	c.Line = string(line)
	c.Band = string(upper) + string(lower) + "Z"
	c.Over = durationText(whole)
	c.Label = fmt.Sprintf("between %s and %s over %s, now %s", c.Low, c.High, c.Over, format(points[len(points)-1].Last))
	return c
}

func finite(p *float64) (float64, bool) {
	if p == nil || math.IsInf(*p, 0) || math.IsNaN(*p) {
		return 0, false
	}
	return *p, true
}

func appendPoint(dst []byte, i int, x, y float64) []byte {
	if i == 0 {
		dst = append(dst, 'M')
	} else {
		dst = append(dst, 'L')
	}
	dst = strconv.AppendFloat(dst, x, 'f', 1, 64)
	dst = append(dst, ' ')
	return strconv.AppendFloat(dst, y, 'f', 1, 64)
}

// index is the status page.
func (s *server) index(w http.ResponseWriter, _ *http.Request) {
	s.render(w, s.view("", series.TierSample, pageActions))
}

// target is the page of one target, with its longer past.
func (s *server) target(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	v := s.view(name, series.TierMedium, targetActions)
	if len(v.Cards) == 0 {
		text(w, http.StatusNotFound, "There is no target "+strconv.Quote(name)+". The status page at / lists them.")
		return
	}
	s.render(w, v)
}

func (s *server) view(only string, tier series.Tier, actions int) *view {
	snapshot := s.Store.Snapshot(nil)
	find := make(map[string]series.Sample, len(snapshot))
	for _, sample := range snapshot {
		find[seriesKey(sample.Desc.Name, sample.Labels())] = sample
	}
	targets := s.shown(snapshot)
	health.SortWorst(targets)
	v := &view{Title: "Spillway", Now: s.Now(), Version: s.Version, State: s.State(), Single: only != "", TelemetryPath: s.TelemetryPath}
	v.Stale = !s.fresh(targets)
	for i := range targets {
		if only == "" || targets[i].Name == only {
			v.Cards = append(v.Cards, s.card(&targets[i], v, tier, find))
		}
	}
	if only != "" {
		v.Title = only + " · Spillway"
		v.State.Alerts = slices.DeleteFunc(slices.Clone(v.State.Alerts), func(a Alert) bool { return a.Labels[alert.LabelTarget] != only })
		v.State.Errors = slices.DeleteFunc(slices.Clone(v.State.Errors), func(e SourceError) bool { return e.Target != only })
	}
	v.Counts = count(v.Cards)
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
	v.Actions = records
	return v
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

func (s *server) card(t *health.Target, v *view, tier series.Tier, find map[string]series.Sample) card {
	c := card{Target: *t, ID: fmt.Sprintf("t-%d", len(v.Cards)), LevelName: "unknown", Mode: v.State.Modes[t.Name], Bar: newBar(t.UsedRatio, t.Thresholds)}
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
	mib := func(f float64) string { return units.Bytes(f).Short() }
	c.Memory = s.chart("spillway_memory_used_bytes", mib, tier, find, t.LimitBytes, t.Name)
	for _, h := range t.Heaps {
		c.HeapCards = append(c.HeapCards, heapCard{h, newBar(h.UsedRatio, t.Thresholds), s.chart("spillway_heap_used_bytes", mib, tier, find, h.LimitBytes, t.Name, h.Runtime)})
	}
	for _, cache := range t.Caches {
		c.CacheRows = append(c.CacheRows, cacheRow{cache, s.chart("spillway_cache_size_bytes", mib, tier, find, cache.MaxBytes, t.Name, cache.Name)})
	}
	for _, d := range t.Temps {
		c.TempRows = append(c.TempRows, tempRow{d, s.chart("spillway_temp_files", func(f float64) string { return fmt.Sprintf("%.0f", f) }, tier, find, d.MaxFiles, t.Name, d.Name)})
	}
	for _, f := range t.Folders {
		row := folderRow{f, "Uploads", s.chart("spillway_"+f.Kind+"_size_bytes", mib, tier, find, f.MaxBytes, t.Name, f.Name)}
		if f.Kind == health.FolderLog {
			row.Title = "Logs"
		}
		c.Folders = append(c.Folders, row)
	}
	return c
}

func (s *server) render(w http.ResponseWriter, v *view) {
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
			return units.Bytes(f).Short()
		}
		return "–"
	case int64:
		return units.Bytes(v).Short()
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
	return units.Bytes(f*60).Short() + "/min"
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
