package web

import (
	"fmt"
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
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
	"github.com/spillway-exporter/spillway_exporter/internal/verdict"
)

const (
	memoryHeight = 260 // pixels of the charts
	smallHeight  = 120
	cardHeight   = 96
	cardReadings = 24
)

// card is the details of a target in the overview.
type card struct {
	Plot     *plot
	Outlook  *health.Outlook
	Verdicts []verdict.Verdict
	Leak     bool
	Advice   []advice
	Probe    string
}

// newCard returns the details of a target, over the time that its sparkline shows.
func (s *server) newCard(t *health.Target, st *State, now time.Time) card {
	p := &periods[1]
	if points := s.pastOf(now.Add(-p.span), metric.MemoryUsed, t.Name); len(points) == 0 || now.Sub(points[0].at) < sparkYoung {
		p = &periods[0]
	}
	o := s.memoryPlot(t, cardHeight, cardReadings)
	o.id = "c-" + idOf(t.Name)
	c := card{Plot: s.plot(p, o), Outlook: t.Outlook, Verdicts: t.Verdicts, Leak: leaks(t), Advice: newAdvice(t, st.Config)}
	if t.Probe != nil {
		c.Probe = probeText(t.Probe)
	}
	return c
}

func leaks(t *health.Target) bool {
	return len(t.Verdicts) > 0 && t.Verdicts[0].State == verdict.HeapLeaks
}

func (s *server) memoryPlot(t *health.Target, height, readings int) *plotOptions {
	return &plotOptions{
		id: "memory", title: "Memory", desc: metric.MemoryUsed, values: []string{t.Name}, unit: bytesUnit,
		limit: t.LimitBytes, thresholds: t.Thresholds, height: height, readings: readings,
	}
}

// targetView is the page of one target.
type targetView struct {
	health.Target

	State    health.State
	Reasons  string
	Mode     string
	Stale    bool
	Leak     bool
	Since    time.Time // when its oldest process started; zero: not known
	Periods  []periodLink
	Over     string
	Bar      *bar
	Plot     *plot
	Growth   cell
	Left     cell
	Heaps    []heapView
	ProbeRow *probeView
	Folders  []folderView
	Kept     []objective
	Grew     *grewView
	Advice   []advice
	Commands []namedCommand
}

// Class is the letter by which the level is coloured.
func (t *targetView) Class() string { return classOf(t.State) }

type periodLink struct {
	Name, Link string
	Current    bool
}

type heapView struct {
	health.Heap
	Bar  *bar
	Plot *plot
}

type probeView struct {
	health.Probe
	Text string
	Plot *plot
}

// folderView is one folder with its fullest limit.
type folderView struct {
	Title, Name, Text, Class string
	Bar                      *bar
	Plot                     *plot
}

// namedCommand is a command with what it is for.
type namedCommand struct{ What, Command string }

// target is the page of one target.
func (s *server) target(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	targets, v := s.newView("target")
	if targets = only(targets, name); len(targets) == 0 {
		text(w, http.StatusNotFound, "There is no target "+strconv.Quote(name)+". The status page at / lists them.")
		return
	}
	s.judge(targets)
	v.Single = true
	v.narrow(name)
	v.Runs = newActivityView(v.State.Activity, name, true)
	v.Alerts, v.Pending = s.alertRows(&v.State, nil, v.Now)
	s.recent(v, journal.Filter{Target: name, Limit: targetActions})
	v.Target = s.newTarget(r, &targets[0], v)
	v.Title = name + " · " + v.Target.State.String() + " · " + v.Host
	if d := v.State.DashboardURL; d != "" {
		v.Dashboard = strings.ReplaceAll(d, "{target}", url.QueryEscape(name))
	}
	s.render(w, r, v)
}

// narrow leaves out of the state what is of other targets.
func (v *view) narrow(name string) {
	st := &v.State
	st.Alerts = slices.DeleteFunc(slices.Clone(st.Alerts), func(a Alert) bool { return a.Labels[alert.LabelTarget] != name })
	st.Errors = slices.DeleteFunc(slices.Clone(st.Errors), func(e SourceError) bool { return e.Target != name })
	st.Warnings = maps.Clone(st.Warnings)
	maps.DeleteFunc(st.Warnings, func(target, _ string) bool { return target != name })
	st.Orders = maps.Clone(st.Orders)
	maps.DeleteFunc(st.Orders, func(target string, _ []string) bool { return target != name })
	st.Week = st.Week.Of(name)
}

func (s *server) newTarget(r *http.Request, t *health.Target, v *view) *targetView {
	base := s.newRow(t, &v.State, v.Now)
	out := &targetView{
		Target: *t, State: base.State, Reasons: base.Reason, Mode: base.Mode, Stale: base.Stale, Leak: leaks(t),
		Kept: objectives(t), Grew: s.grew(t.Name), Advice: newAdvice(t, v.State.Config), Commands: targetCommands(t.Name, v.State.Config),
	}
	base.keys = make(map[string]float64)
	base.growth()
	out.Growth, out.Left = base.Growth, base.Left
	if at, _, ok := s.Store.Value(metric.ProcessOldestStart, t.Name); ok && at > 0 {
		out.Since = time.Unix(int64(at), 0)
	}
	p := s.period(r, t.Name, v.Now)
	out.Over = p.Name
	for i := range periods {
		out.Periods = append(out.Periods, periodLink{periods[i].Name, "?range=" + periods[i].Key, &periods[i] == p})
	}
	level := "n"
	if t.Level != nil && *t.Level > 0 {
		level = t.Level.String()[:1]
	}
	out.Bar = newBar(t.UsedRatio, t.LimitBytes, t.Thresholds, level)
	marked := new(plot)
	if out.Plot = s.plot(p, s.memoryPlot(t, memoryHeight, plotReadings)); out.Plot != nil {
		marked = out.Plot
	}
	s.lanes(marked, p, out, v)
	for i := range t.Heaps {
		out.Heaps = append(out.Heaps, s.heapView(t, &t.Heaps[i], p))
	}
	if t.Probe != nil {
		out.ProbeRow = &probeView{*t.Probe, probeText(t.Probe), s.plot(p, &plotOptions{
			id: "probe", title: "Response time of the probe", desc: metric.ProbeDuration, values: []string{t.Name}, unit: secondsUnit, limit: t.Probe.MaxSeconds, limitText: "objective",
			height: smallHeight, readings: cardReadings,
		})}
	}
	out.Folders = s.folderViews(t, p)
	out.markLike(marked)
	return out
}

// markLike marks in the charts of the heaps, the probe and the folders what is marked in that of the memory.
func (t *targetView) markLike(of *plot) {
	mark := func(p *plot) {
		if p != nil {
			p.Starts, p.Alerts, p.Runs = of.Starts, of.Alerts, of.Runs
		}
	}
	for _, h := range t.Heaps {
		mark(h.Plot)
	}
	if t.ProbeRow != nil {
		mark(t.ProbeRow.Plot)
	}
	for _, f := range t.Folders {
		mark(f.Plot)
	}
}

// period returns the period that is asked for, or else two hours, or 15 minutes of a young target.
func (s *server) period(r *http.Request, name string, now time.Time) *timeRange {
	asked := r.URL.Query().Get("range")
	for i := range periods {
		if periods[i].Key == asked {
			return &periods[i]
		}
	}
	if points := s.pastOf(now.Add(-2*time.Hour), metric.MemoryUsed, name); len(points) == 0 || now.Sub(points[0].at) < sparkYoung {
		return &periods[0]
	}
	return &periods[1]
}

func (s *server) heapView(t *health.Target, h *health.Heap, p *timeRange) heapView {
	state, ratio, ok := t.HeapState(h)
	b := newBar(h.UsedRatio, h.LimitBytes, t.HeapThresholds, "n")
	if ok {
		b = newBar(&ratio, h.LimitBytes, t.HeapThresholds, classOf(state))
	}
	return heapView{*h, b, s.plot(p, &plotOptions{
		id: "heap-" + idOf(h.Runtime), title: "Heap of " + h.Runtime, desc: metric.HeapUsed, values: []string{t.Name, h.Runtime}, unit: bytesUnit,
		limit: h.LimitBytes, thresholds: t.HeapThresholds, height: smallHeight, readings: cardReadings,
	})}
}

// kindName is what a folder is called after its name.
func kindName(k policy.Kind) string {
	if k.Name == policy.KindCache {
		return k.Noun
	}
	return strings.ToLower(k.Title)
}

// folderViews returns the folders of a target: caches, temporary files, uploads and logs.
func (s *server) folderViews(t *health.Target, p *timeRange) []folderView {
	fills := t.Fills()
	var out []folderView
	add := func(kind, name, text string, limit *float64) {
		k, _ := policy.KindOf(kind)
		f := folderView{Title: kindName(k), Name: name, Text: text}
		if i := slices.IndexFunc(fills, func(f health.Fill) bool { return f.Kind == kind && f.Name == name }); i >= 0 {
			f.Class = levelClass(fills[i].State())
			f.Bar = newBar(&fills[i].Ratio, nil, noThresholds, classOf(fills[i].State()))
			f.Bar.Label = fills[i].Name + " at " + fills[i].Amount()
		}
		o := &plotOptions{id: kind + "-" + idOf(name), title: "Size of " + name, desc: k.Chart, values: []string{t.Name, name}, unit: bytesUnit, limit: limit, height: smallHeight, readings: cardReadings}
		if k.Chart == k.Count {
			o.unit, o.title = filesUnit, "Files in "+name
		}
		f.Plot = s.plot(p, o)
		out = append(out, f)
	}
	for i := range t.Caches {
		add(policy.KindCache, t.Caches[i].Name, cacheText(&t.Caches[i]), t.Caches[i].MaxBytes)
	}
	for i := range t.Temps {
		add(policy.KindTemp, t.Temps[i].Name, tempText(&t.Temps[i]), t.Temps[i].MaxFiles)
	}
	for i := range t.Folders {
		add(t.Folders[i].Kind, t.Folders[i].Name, folderText(&t.Folders[i]), t.Folders[i].MaxBytes)
	}
	return out
}

// targetCommands are what a person may want to run for a target.
func targetCommands(name, config string) []namedCommand {
	of := " --target " + quoted(name)
	return []namedCommand{
		{"List what a cleanup would remove; nothing is changed", command("cleanup --dry-run --files"+of, config)},
		{"Read the journal of this target", command("journal --since 24h"+of, config)},
		{"Pause all runs of this target", command(`pause --for 2h --reason "..."`+of, config)},
		{"Resume them", command("resume"+of, config)},
		{"Show what holds its memory", command("evidence "+quoted(name), config)},
	}
}

// tempText says what is known of a folder of temporary files: "655 of 100 files, 592 empty, 592 due, 41MiB".
func tempText(d *health.Temp) string {
	var parts []string
	if n, ok := finite(d.Files); ok {
		text := filesUnit.text(n)
		if limit, ok := finite(d.MaxFiles); ok {
			text += " of " + filesUnit.text(limit)
		}
		parts = append(parts, text+" files")
	}
	if n, ok := finite(d.Empty); ok {
		parts = append(parts, filesUnit.text(n)+" empty")
	}
	if n, ok := finite(d.Expired); ok {
		parts = append(parts, filesUnit.text(n)+" due")
	}
	if text := sizeOf(d.SizeBytes, d.MaxBytes); text != "" {
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// folderText says what is known of a folder of uploads or logs.
func folderText(d *health.Folder) string {
	var parts []string
	for _, p := range []struct {
		value *float64
		text  string
	}{{d.Files, "%.0f files"}, {d.Oversize, "%.0f too large"}, {d.Expired, "%.0f due"}} {
		if n, ok := finite(p.value); ok {
			parts = append(parts, fmt.Sprintf(p.text, n))
		}
	}
	if text := sizeOf(d.SizeBytes, d.MaxBytes); text != "" {
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func sizeOf(value, limit *float64) string {
	v, ok := finite(value)
	if !ok {
		return ""
	}
	text := units.Bytes(v).String()
	if l, ok := finite(limit); ok {
		text += " of " + units.Bytes(l).String()
	}
	return text
}
