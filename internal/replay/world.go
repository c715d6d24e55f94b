package replay

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/eval"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// world is what the evaluators and the stage see of the past.
type world struct {
	cfg       *config.Config
	at        time.Time // where the present five minutes begin
	targets   map[string]*target
	high, low values
	unsure    []string // for the notes
	published map[string]bool
}

// values are the series of one side: of the highest or the lowest pressure.
type values struct {
	store    *series.Store
	registry *prometheus.Registry
	batch    series.Batch
}

// target is one service.
type target struct {
	*config.Target
	limit   float64 // of its memory by the file; 0: that of the time
	gauges  []*gauge
	folders []*folder
	starts  []history.Mark
	books   map[string]dispatch.Playbook
}

// gauge is the past of one series.
type gauge struct {
	desc   *series.Desc
	values []string
	points []history.Point
	next   int // the first point that is not before the present five minutes
}

// eases are gauges of which a low value is the pressure.
var eases = map[*series.Desc]bool{metric.ProbeSuccess: true, metric.CacheHitRatio: true}

// derived are the series that are not in the history, and that follow from it, from the file, or from what became of files.
var derived = []*series.Desc{
	metric.ProcessOldestStart, metric.StartupMaxDuration, metric.MemoryLimit, metric.HeapLimit, metric.ThresholdRatio, metric.CacheMinHitRatio, metric.TempMaxFiles, metric.TempMaxSize, metric.UploadMaxSize,
}

func newWorld(o *Options, begin time.Time) (*world, error) {
	w := &world{cfg: o.Config, targets: make(map[string]*target), published: make(map[string]bool)}
	for _, v := range []*values{&w.high, &w.low} {
		v.store, v.registry = series.NewStore(series.Options{Window: 2}), prometheus.NewRegistry()
		v.registry.MustRegister(collector.NewExporter(v.store))
	}
	descs := make(map[string]*series.Desc)
	for _, d := range metric.Descs() {
		descs[d.Name] = d
		if history.Recorded(d) {
			w.published[d.Name] = true
		}
	}
	for _, d := range derived {
		w.published[d.Name] = true
	}
	w.published[metric.PlaybookRuns.Name] = true
	runs := metric.PlaybookRuns.NewCounterVec() // born at 0, by which a rule sees whether a target has a playbook
	w.high.registry.MustRegister(runs)
	w.low.registry.MustRegister(runs)
	wanted := o.Rules.Metrics()
	for _, d := range []*series.Desc{metric.MemoryUsed, metric.MemoryUsedRatio, metric.HeapUsed, metric.HeapUsedRatio, metric.HeapLive} {
		wanted = append(wanted, d.Name)
	}
	for i := range o.Config.Targets {
		t := &target{Target: &o.Config.Targets[i]}
		t.books = setup.Playbooks(t.Target, t.Has)
		w.targets[t.Name] = t
		for name := range t.books {
			runs.WithLabelValues(t.Name, name, string(alert.TriggerStandalone), dispatch.OutcomeDone)
		}
		if err := t.load(o, wanted, descs, begin); err != nil {
			return nil, err
		}
		if err := t.loadFolders(o, begin); err != nil {
			return nil, err
		}
		w.unsure = append(w.unsure, t.doubts(o)...)
	}
	if o.Files != nil && o.Files.Damaged() > 0 {
		n := o.Files.Damaged()
		w.unsure = append(w.unsure, fmt.Sprintf("%d damaged %s of the log of folders %s left out: some files are not known", n, plural(n, "part", "parts"), plural(n, "was", "were")))
	}
	return w, nil
}

// load reads the past of a target.
func (t *target) load(o *Options, wanted []string, descs map[string]*series.Desc, begin time.Time) error {
	if t.Memory.Limit > 0 {
		t.limit = float64(t.Memory.Limit)
		if o.Limit != nil {
			if bytes, ok := o.Limit(t.Name); ok {
				t.limit = min(t.limit, float64(bytes))
			}
		}
	}
	for _, name := range o.History.Gauges(t.Name) {
		metricName, labels, ok := splitGauge(name)
		d := descs[metricName]
		if !ok || d == nil || len(d.Labels) != len(labels)+1 || !slices.Contains(wanted, metricName) && !isFolderGauge(d) {
			continue
		}
		points, err := o.History.Series(t.Name, name, begin, o.To.Add(history.Step))
		if err != nil {
			return fmt.Errorf("read the history of %s: %w", t.Name, err)
		}
		t.gauges = append(t.gauges, &gauge{desc: d, values: append([]string{t.Name}, labels...), points: points})
	}
	var err error
	if t.starts, err = o.History.Marks(t.Name, time.Time{}, o.To); err != nil {
		return fmt.Errorf("read the history of %s: %w", t.Name, err)
	}
	return nil
}

// splitGauge undoes history.GaugeOf.
func splitGauge(gauge string) (name string, values []string, ok bool) {
	name, rest, labelled := strings.Cut(gauge, "{")
	if !labelled {
		return name, nil, true
	}
	for rest != "}" && rest != "" {
		_, after, found := strings.Cut(rest, "=")
		quoted, err := strconv.QuotedPrefix(after)
		if !found || err != nil {
			return name, nil, false
		}
		v, err := strconv.Unquote(quoted)
		if err != nil {
			return name, nil, false
		}
		values = append(values, v)
		rest = strings.TrimPrefix(after[len(quoted):], ",")
	}
	return name, values, rest == "}"
}

// isFolderGauge reports whether a gauge is one by which the folders of the file are judged.
func isFolderGauge(d *series.Desc) bool {
	for i := range policy.Kinds {
		if policy.Kinds[i].Count == d || policy.Kinds[i].Chart == d {
			return true
		}
	}
	return d == metric.TempSize
}

// at returns the point of the five minutes that begin at a time.
func (g *gauge) at(t time.Time) (p history.Point, ok bool) {
	for g.next < len(g.points) && g.points[g.next].Time.Before(t) {
		g.next++
	}
	if g.next == len(g.points) || !g.points[g.next].Time.Equal(t) {
		return p, false
	}
	return g.points[g.next], true
}

// after returns the point of the five minutes that follow on those.
func (g *gauge) after(t time.Time) (p history.Point, ok bool) {
	for i := g.next; i < min(g.next+2, len(g.points)); i++ {
		if g.points[i].Time.Equal(t.Add(history.Step)) {
			return g.points[i], true
		}
	}
	return p, false
}

// find returns the gauge of a target; with several, such as of two runtimes, the first.
func (t *target) find(d *series.Desc, more ...string) *gauge {
	for _, g := range t.gauges {
		if g.desc == d && (len(more) == 0 || slices.Equal(g.values[1:], more)) {
			return g
		}
	}
	return nil
}

// set moves the world to a time.
func (w *world) set(now time.Time) {
	w.at = floor(now)
	for _, t := range w.targets {
		for _, f := range t.folders {
			f.advance(now)
		}
	}
	w.publish(&w.high, now, func(g *gauge, p history.Point) float64 {
		if eases[g.desc] {
			return p.Min
		}
		return p.Max
	})
	w.publish(&w.low, now, func(g *gauge, p history.Point) float64 {
		if eases[g.desc] {
			return p.Max
		}
		return p.Min
	})
}

// publish exchanges the series of one side.
func (w *world) publish(v *values, now time.Time, choose func(*gauge, history.Point) float64) {
	b := &v.batch
	b.Reset(now)
	for _, name := range slices.Sorted(maps.Keys(w.targets)) {
		t := w.targets[name]
		t.publish(b, w.at, choose)
		t.publishStart(b, now)
		setThresholds(b, t.Name, collector.SignalMemory, w.cfg.Thresholds.Memory.Of())
		if t.Heap.Enabled() {
			setThresholds(b, t.Name, collector.SignalHeap, w.cfg.Thresholds.Heap.Of())
		}
		for _, f := range t.folders {
			f.publish(b, w.at, choose)
		}
	}
	v.store.Commit(b)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func setThresholds(b *series.Batch, target, signal string, t series.Thresholds) {
	for level, at := range map[series.Level]float64{series.LevelWarning: t.Warning, series.LevelCritical: t.Critical, series.LevelEmergency: t.Emergency} {
		b.Set(metric.ThresholdRatio, at, target, signal, level.String())
	}
}

// publish sets what the history has of a target, with the memory limit of the file.
func (t *target) publish(b *series.Batch, at time.Time, choose func(*gauge, history.Point) float64) {
	for _, g := range t.gauges {
		if t.folderOf(g) != nil {
			continue // it follows from the folder
		}
		p, ok := g.at(at)
		if !ok {
			continue
		}
		v := choose(g, p)
		switch {
		case g.desc == metric.MemoryUsedRatio && t.limit > 0:
			continue // it follows from what is used
		case g.desc == metric.MemoryUsed && t.limit > 0:
			b.Set(metric.MemoryUsedRatio, v/t.limit, t.Name)
			b.Set(metric.MemoryLimit, t.limit, t.Name)
		case g.desc == metric.MemoryUsed:
			if ratio, ok := pointOf(t.find(metric.MemoryUsedRatio), at); ok && ratio.Max > 0 {
				b.Set(metric.MemoryLimit, p.Max/ratio.Max, t.Name)
			}
		case g.desc == metric.HeapUsed:
			if ratio, ok := pointOf(t.find(metric.HeapUsedRatio, g.values[1:]...), at); ok && ratio.Max > 0 {
				b.Set(metric.HeapLimit, p.Max/ratio.Max, g.values...)
			}
		}
		b.Set(g.desc, v, g.values...)
	}
}

// publishStart sets when the service had started, and how long its file gives it for that.
func (t *target) publishStart(b *series.Batch, now time.Time) {
	for len(t.starts) > 1 && !t.starts[1].Time.After(now) {
		t.starts = t.starts[1:]
	}
	if len(t.starts) > 0 && !t.starts[0].Time.After(now) {
		b.Set(metric.ProcessOldestStart, float64(t.starts[0].Time.UnixMilli())/1000, t.Name)
	}
	if t.Probe != nil && t.Probe.MaxStartup > 0 {
		b.Set(metric.StartupMaxDuration, t.Probe.MaxStartup.Std().Seconds(), t.Name)
	}
}

func pointOf(g *gauge, at time.Time) (p history.Point, ok bool) {
	if g == nil {
		return p, false
	}
	return g.at(at)
}

// folderOf returns the folder that a gauge is about; nil where that is none of the file.
func (t *target) folderOf(g *gauge) *folder {
	if len(g.values) < 2 {
		return nil
	}
	for _, f := range t.folders {
		if f.name == g.values[1] && f.owns(g.desc) {
			return f
		}
	}
	return nil
}

// doubts says what is known of a target in part only.
func (t *target) doubts(o *Options) []string {
	var out []string
	switch known, span := t.known(o.From, o.To), o.To.Sub(o.From); {
	case known == 0 && len(t.gauges) == 0:
		out = append(out, fmt.Sprintf("target %s: the history has nothing of it, so that no run of it can be said", t.Name))
	case known == 0:
		out = append(out, fmt.Sprintf("target %s: the history has nothing of it in this span, so that no run of it can be said", t.Name))
	case t.since().After(o.From.Add(history.Step)):
		out = append(out, fmt.Sprintf("target %s: the history has it since %s", t.Name, t.since().UTC().Format(time.RFC3339)))
	case span-known > max(span/100, 2*history.Step):
		out = append(out, fmt.Sprintf("target %s: the history has nothing of %s of this span, in which no run of it can be said", t.Name, units.Duration(span-known)))
	}
	if t.limit == 0 && t.Memory.LimitPerProcess > 0 {
		out = append(out, fmt.Sprintf("target %s: memory.limit_per_process is taken as it was at the time", t.Name))
	}
	for _, f := range t.folders {
		for _, why := range f.doubts(o) {
			out = append(out, fmt.Sprintf("%s %s of %s: %s", f.kind, f.name, t.Name, why))
		}
	}
	return out
}

// has reports whether the world has something of what a rule reads, apart from thresholds.
func (w *world) has(reads []string) bool {
	for _, t := range w.targets {
		for _, g := range t.gauges {
			if slices.Contains(reads, g.desc.Name) {
				return true
			}
		}
		for _, f := range t.folders {
			for _, d := range append(f.descs(), f.metrics.files, f.metrics.size, f.metrics.ratio) {
				if d != nil && slices.Contains(reads, d.Name) {
					return true
				}
			}
		}
	}
	return false
}

// concerns reports whether a rule can begin a run: some target has its playbook, and, as far as that is recorded, what it reads.
func (w *world) concerns(r *eval.Remedy) bool {
	named := false
	for _, t := range w.targets {
		_, has := t.books[r.Playbook]
		named = named || has || r.Playbook == ""
	}
	recorded := slices.ContainsFunc(r.Reads, func(name string) bool { return w.published[name] && !isDerived(name) })
	return named && (!recorded || w.has(r.Reads))
}

func isDerived(name string) bool {
	return slices.ContainsFunc(derived, func(d *series.Desc) bool { return d.Name == name })
}

// known returns of how much of a span there are values of a target.
func (t *target) known(from, to time.Time) time.Duration {
	at := make(map[int64]bool)
	for _, g := range t.gauges {
		for i := range g.points {
			if p := &g.points[i]; !p.Time.Before(from) && p.Time.Before(to) {
				at[p.Time.UnixMilli()] = true
			}
		}
	}
	return time.Duration(len(at)) * history.Step
}

// since is when the past of a target begins; the zero time where it has none.
func (t *target) since() (first time.Time) {
	for _, g := range t.gauges {
		if len(g.points) > 0 && (first.IsZero() || g.points[0].Time.Before(first)) {
			first = g.points[0].Time
		}
	}
	return first
}

// notes says what could not be judged.
func (w *world) notes(remedies []eval.Remedy) []string {
	out := slices.Clone(w.unsure)
	have, ours := maps.Clone(w.published), metric.Names()
	for _, t := range w.targets {
		for _, f := range t.folders {
			for _, d := range f.descs() {
				have[d.Name] = true
			}
		}
	}
	for i := range remedies {
		r := &remedies[i]
		var lacks []string
		for _, name := range r.Reads {
			if slices.Contains(ours, name) && !have[name] {
				lacks = append(lacks, name)
			}
		}
		switch {
		case len(lacks) == 0, !w.concerns(r):
		case len(lacks) == len(r.Reads):
			out = append(out, fmt.Sprintf("the rule %s is not judged: the history does not have %s", r.Name, strings.Join(lacks, ", ")))
		default:
			out = append(out, fmt.Sprintf("the rule %s is judged without %s, which the history does not have", r.Name, strings.Join(lacks, ", ")))
		}
	}
	return out
}
