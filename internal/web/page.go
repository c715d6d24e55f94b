package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

//go:embed templates/*.html static/*
var files embed.FS

const (
	pageActions   = 12 // runs shown on the status page
	targetActions = 50 // records shown on a target's page
)

// page holds the parsed templates.
type page struct{ tmpl *template.Template }

func newPage() *page {
	funcs := template.FuncMap{
		"bytes": bytesText, "percent": percentText, "count": countText, "ago": agoText,
		"duration": durationText, "growth": growthText, "deref": deref,
	}
	return &page{template.Must(template.New("").Funcs(funcs).ParseFS(files, "templates/*.html"))}
}

// static serves the style sheet and the script. They change with the binary only.
func (p *page) static() http.Handler {
	serve := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=300")
		serve.ServeHTTP(w, r)
	})
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
}

// card is one target.
type card struct {
	health.Target
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

// bar is a share of a limit with the thresholds drawn into it, in a drawing 1000 units wide.
type bar struct {
	Width float64
	Text  string
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
	for _, m := range []mark{{t.Warning, "warning"}, {t.Critical, "critical"}, {t.Emergency, "emergency"}} {
		if m.X > 0 {
			b.Marks = append(b.Marks, mark{1000 * m.X, m.Name})
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
	Limit      float64 // y of the limit, or negative
}

const chartWidth, chartHeight = 300.0, 60.0

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
	c.Label = fmt.Sprintf("between %s and %s over %s, now %s", c.Low, c.High, durationText(whole), format(points[len(points)-1].Last))
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
	v := &view{Title: "Spillway", Now: s.Now(), Version: s.Version, State: s.State(), Single: only != ""}
	v.Stale = !s.fresh(targets)
	for i := range targets {
		if only == "" || targets[i].Name == only {
			v.Cards = append(v.Cards, s.card(&targets[i], v, tier, find))
		}
	}
	if only != "" {
		v.Title = only + " · Spillway"
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
	v.Actions = records
	return v
}

func (s *server) card(t *health.Target, v *view, tier series.Tier, find map[string]series.Sample) card {
	c := card{Target: *t, LevelName: "unknown", Mode: v.State.Modes[t.Name], Bar: newBar(t.UsedRatio, t.Thresholds)}
	if t.Level != nil {
		c.LevelName = t.Level.String()
	}
	c.Down = t.Processes != nil && *t.Processes == 0
	c.Stale = !t.Newest.IsZero() && s.Now().Sub(t.Newest) > staleAfter*s.Interval()
	if g, ok := finite(t.GrowthPerSec); ok {
		_, ends := finite(t.ExhaustionSecs)
		c.Growing = g > 0 && ends
	}
	mib := func(f float64) string { return units.Bytes(f).String() }
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
	return c
}

func (s *server) render(w http.ResponseWriter, v *view) {
	var b bytes.Buffer
	if err := s.page.tmpl.ExecuteTemplate(&b, "page.html", v); err != nil {
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

func deref(p *float64) float64 {
	f, _ := finite(p)
	return f
}
