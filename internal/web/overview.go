package web

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	lastRunRecords = 500 // of the journal, in which the last run of each target is looked for
	expandedRows   = 2   // of the worst targets, where nothing else is asked for
)

// overview is the table of all targets.
type overview struct {
	Rows    []row
	Of      int // targets, of which the rows are those that the filter lets pass
	Counts  []levelCount
	Over    string // the time that the sparklines show
	Ratios  []gradient
	Columns []column
	Expands []choice

	Query, Level, Sort, Expand string

	unlimited bool // all other processes, which have no limit, are among the targets whose level is not known
}

// gradient is the colouring of sparklines for one set of thresholds.
type gradient struct {
	ID    string
	Stops []stop
	Marks []stop
}

// column is a column of the table that it can be sorted by.
type column struct{ Key, Name, Link, Sorted string }

// choice is an option of the form above the table.
type choice struct {
	Value, Text string
	Selected    bool
}

// row is one target in the table.
type row struct {
	health.Target

	ID     string // of the element: stable while the target exists
	State  health.State
	Stale  bool
	Reason string
	Mode   string

	Memory   *share
	Heap     cell
	Cache    cell
	Temp     cell
	Growth   cell
	Left     cell
	LastRun  cell
	Expanded *card

	keys map[string]float64 // by column, the larger the earlier
}

// share is a bar with its number, and a sparkline.
type share struct {
	Class, Text, Amount string
	Width               string // of the bar, as a share
	Marks               string // id of the marks of the thresholds
	Spark, Stroke       string
}

// cell is a value in the table; Class is that of its level.
type cell struct{ Class, Text, Sub string }

// Class is the letter by which a row and its parts are coloured.
func (r *row) Class() string { return classOf(r.State) }

func classOf(s health.State) string { return s.String()[:1] }

var columns = []column{
	{Key: "level", Name: "Level"},
	{Key: "name", Name: "Target"},
	{Key: "memory", Name: "Memory"},
	{Key: "heap", Name: "Heap"},
	{Key: "caches", Name: "Caches"},
	{Key: "temp", Name: "Temp, uploads, logs"},
	{Key: "growth", Name: "Growth"},
	{Key: "left", Name: "Time left"},
	{Key: "last", Name: "Last run"},
	{Key: "mode", Name: "Mode"},
}

// expansions are what can be asked for as the number of rows that are shown with their details.
var expansions = []choice{{Value: "0", Text: "none"}, {Value: "2", Text: "worst 2"}, {Value: "5", Text: "worst 5"}, {Value: "all", Text: "all"}}

// link returns the address of the overview with one parameter changed.
func (o *overview) link(key, value string) string {
	q := url.Values{}
	for k, v := range map[string]string{"q": o.Query, "level": o.Level, "sort": o.Sort, "expand": o.Expand} {
		if v != "" {
			q.Set(k, v)
		}
	}
	if value == "" {
		q.Del(key)
	} else {
		q.Set(key, value)
	}
	if len(q) == 0 {
		return "/#targets"
	}
	return "/?" + q.Encode() + "#targets"
}

// AllLink is the address of the overview with targets of every level.
func (o *overview) AllLink() string { return o.link("level", "") }

// newOverview makes the table of all targets that the parameters of a request choose.
func (s *server) newOverview(r *http.Request, targets []health.Target, st *State, last map[string]*journal.Record) *overview {
	q := r.URL.Query()
	o := &overview{Query: strings.TrimSpace(q.Get("q")), Level: q.Get("level"), Sort: q.Get("sort"), Expand: q.Get("expand"), Of: len(targets)}
	names := make([]string, len(targets))
	for i := range targets {
		names[i] = targets[i].Name
	}
	sp := s.newSparks(names)
	o.Over = sp.Over()
	now := s.Now()
	for i := range targets {
		o.Rows = append(o.Rows, s.newRow(&targets[i], st, now))
	}
	o.count()
	o.choose()
	for i := range o.Rows {
		o.fill(&o.Rows[i], sp, last[o.Rows[i].Name], now)
	}
	o.sort()
	o.head()
	s.expand(o, now, st)
	return o
}

// newRow judges a target.
func (s *server) newRow(t *health.Target, st *State, now time.Time) row {
	r := row{Target: *t, ID: "t-" + idOf(t.Name), Mode: st.Modes[t.Name], Stale: !t.Newest.IsZero() && !s.isFresh(t)}
	state, signals := t.Overall()
	if r.Stale {
		state = health.StateUnknown
		signals = []health.Signal{{State: state, Text: "no data since " + clock(now, t.Newest)}}
	}
	r.State = state
	texts := make([]string, 0, len(signals))
	for _, sig := range signals {
		texts = append(texts, sig.Text)
	}
	const shown = 3
	if more := len(texts) - shown; more > 0 {
		texts = append(texts[:shown], fmt.Sprintf("%d more", more))
	}
	r.Reason = strings.Join(texts, ", ")
	return r
}

// idOf makes of a name a part of an id that links and url() find again: letters, digits, underscores and hyphens.
func idOf(name string) string {
	plain := strings.Map(func(c rune) rune {
		if c == '-' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			return c
		}
		return '_'
	}, name)
	if plain == name {
		return name
	}
	h := fnv.New32a()
	//nolint:errcheck // it never fails
	io.WriteString(h, name)
	return plain + "_" + strconv.FormatUint(uint64(h.Sum32()), 16)
}

// count counts the targets by their state, the worst first.
func (o *overview) count() {
	byState := make(map[health.State]int)
	for i := range o.Rows {
		byState[o.Rows[i].State]++
		o.unlimited = o.unlimited || o.Rows[i].Name == health.Overflow && o.Rows[i].State == health.StateUnknown
	}
	for _, state := range []health.State{health.StateDown, health.StateEmergency, health.StateCritical, health.StateWarning, health.StateUnknown, health.StateNormal} {
		if n := byState[state]; n > 0 {
			o.Counts = append(o.Counts, levelCount{Name: state.String(), Class: classOf(state), N: n, Link: o.link("level", state.String()), Chosen: o.Level == state.String()})
		}
	}
}

// choose keeps the rows that the filter lets pass.
func (o *overview) choose() {
	text := strings.ToLower(o.Query)
	o.Rows = slices.DeleteFunc(o.Rows, func(r row) bool {
		return o.Level != "" && r.State.String() != o.Level ||
			text != "" && !strings.Contains(strings.ToLower(r.Name+" "+r.Reason+" "+r.Mode), text)
	})
}

// fill sets what a row shows of its target.
func (o *overview) fill(r *row, sp *sparks, last *journal.Record, now time.Time) {
	t := &r.Target
	r.keys = map[string]float64{"level": float64(r.State), "memory": value(t.UsedRatio), "growth": value(t.GrowthPerSec), "left": -math.MaxFloat64}
	o.memory(r, sp)
	heap := -1.0
	for i := range t.Heaps {
		h := &t.Heaps[i]
		state, ratio, ok := t.HeapState(h)
		if ok && ratio > heap {
			heap = ratio
			r.Heap = cell{levelClass(state), health.Percent(ratio), h.Runtime}
		}
	}
	r.keys["heap"] = heap
	r.Cache, r.keys["caches"] = fullest(t, func(kind string) bool { return kind == policy.KindCache })
	r.Temp, r.keys["temp"] = fullest(t, func(kind string) bool { return kind != policy.KindCache })
	r.growth()
	if last != nil {
		r.LastRun = cell{Text: strings.ReplaceAll(cmp.Or(last.Outcome, "running"), "_", " "), Sub: cmp.Or(last.Playbook, last.Action) + ", " + strings.ReplaceAll(agoText(now, last.Time), " ", "\u00a0")}
		r.keys["last"] = float64(last.Time.Unix())
	}
	r.keys["mode"] = modeOrder[r.Mode]
}

var modeOrder = map[string]float64{"enforce": 3, "propose": 2, modeDryRun: 1}

// memory sets the bar of the memory, in the colour of its own level.
func (o *overview) memory(r *row, sp *sparks) {
	t := &r.Target
	spark := sp.path(t.Name, t.LimitBytes)
	ratio, ok := finite(t.UsedRatio)
	if r.Down() {
		return
	}
	if !ok {
		if resident, ok := finite(cmp.Or(t.UsedBytes, t.ResidentBytes)); ok {
			r.Memory = &share{Class: "u", Amount: units.Bytes(resident).String(), Spark: spark, Stroke: "currentColor"}
		}
		return
	}
	m := &share{Class: "u", Text: health.Percent(ratio), Width: short(100 * min(max(ratio, 0), 1)), Spark: spark, Stroke: "currentColor"}
	if t.Level != nil && !r.Stale {
		m.Class = classOf(health.StateNormal)
		if *t.Level > 0 {
			m.Class = t.Level.String()[:1]
		}
	}
	if used, ok := finite(t.UsedBytes); ok {
		m.Amount = units.Bytes(used).String()
		if limit, ok := finite(t.LimitBytes); ok {
			m.Amount += " of " + units.Bytes(limit).String()
		}
	}
	if th := t.Thresholds; th.Warning > 0 {
		m.Marks = o.ratios(th.Warning, th.Critical, th.Emergency)
		m.Stroke = "url(#g" + m.Marks + ")"
	}
	r.Memory = m
}

// ratios returns the id of the marks and colours of a set of thresholds.
func (o *overview) ratios(at ...float64) string {
	name := []byte("q")
	for _, v := range at {
		name = strconv.AppendInt(name, int64(math.Round(v*1000)), 10)
	}
	id := string(name)
	if slices.ContainsFunc(o.Ratios, func(g gradient) bool { return g.ID == id }) {
		return id
	}
	g := gradient{ID: id}
	for i, class := range []string{"w", "c", "e"} {
		g.Stops = append(g.Stops, stop{class, short4(at[i])})
		g.Marks = append(g.Marks, stop{class, percent(at[i] * plotWidth)})
	}
	o.Ratios = append(o.Ratios, g)
	return id
}

// fullest returns the fullest folder of some kinds.
func fullest(t *health.Target, kind func(string) bool) (cell, float64) {
	var worst *health.Fill
	fills := t.Fills()
	for i := range fills {
		if f := &fills[i]; kind(f.Kind) && (worst == nil || f.Ratio > worst.Ratio) {
			worst = f
		}
	}
	if worst == nil {
		return cell{}, -1
	}
	return cell{levelClass(worst.State()), worst.Name + " " + units.Ratio(worst.Ratio).String(), worst.Amount()}, worst.Ratio
}

// levelClass is the class of a value, "" where it is normal.
func levelClass(s health.State) string {
	if s <= health.StateUnknown {
		return ""
	}
	return classOf(s)
}

// growth sets the growth and the time that is left.
func (r *row) growth() {
	g, ok := finite(r.GrowthPerSec)
	switch {
	case !ok || r.Stale || r.Down():
		return
	case math.Abs(g)*3600 < 1<<20:
		r.Growth.Text = "steady"
		return
	case g < 0:
		r.Growth.Text = "−" + perHour(-g)
		return
	}
	r.Growth.Text = "+" + perHour(g)
	if left, ok := finite(r.ExhaustionSecs); ok {
		r.Left.Text = durationText(left)
		r.keys["left"] = -left
	}
}

func perHour(perSecond float64) string { return units.Bytes(perSecond*3600).String() + "/h" }

// value returns a number for sorting, the least where there is none.
func value(p *float64) float64 {
	if v, ok := finite(p); ok {
		return v
	}
	return -math.MaxFloat64
}

// sort orders the rows: by their level as they come, else by a column, the largest first.
func (o *overview) sort() {
	switch {
	case o.Sort == "name":
		slices.SortStableFunc(o.Rows, func(a, b row) int { return cmp.Compare(a.Name, b.Name) })
	case slices.ContainsFunc(columns, func(c column) bool { return c.Key == o.Sort }):
		slices.SortStableFunc(o.Rows, func(a, b row) int { return cmp.Compare(b.keys[o.Sort], a.keys[o.Sort]) })
	default:
		o.Sort = ""
		slices.SortStableFunc(o.Rows, func(a, b row) int { return cmp.Compare(b.State, a.State) })
	}
}

// head makes the links by which the table is sorted, and the choices of the form.
func (o *overview) head() {
	o.Columns = slices.Clone(columns)
	for i := range o.Columns {
		c := &o.Columns[i]
		c.Link = o.link("sort", c.Key)
		if c.Key == cmp.Or(o.Sort, "level") {
			c.Sorted = "descending"
			if c.Key == "name" {
				c.Sorted = "ascending"
			}
		}
		if c.Key == "memory" {
			c.Name += ", last " + o.Over
		}
	}
	o.Expands = slices.Clone(expansions)
	for i := range o.Expands {
		o.Expands[i].Selected = o.Expands[i].Value == cmp.Or(o.Expand, strconv.Itoa(expandedRows))
	}
}

// expand adds the details of the worst targets that are not normal, or of as many as were asked for.
func (s *server) expand(o *overview, now time.Time, st *State) {
	n, asked := expandedRows, o.Expand != ""
	if o.Expand == "all" {
		n = len(o.Rows)
	} else if v, err := strconv.Atoi(o.Expand); err == nil {
		n = v
	}
	order := make([]int, len(o.Rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(o.Rows[b].State, o.Rows[a].State) })
	for _, i := range order[:min(max(n, 0), len(order))] {
		r := &o.Rows[i]
		if !asked && r.State <= health.StateUnknown {
			continue
		}
		one := []health.Target{r.Target}
		s.judge(one)
		c := s.newCard(&one[0], st, now)
		r.Expanded = &c
	}
}

// lastRuns returns the newest run of each target in the newest records of the journal.
func (s *server) lastRuns() map[string]*journal.Record {
	records, _, err := s.Journal(journal.Filter{Limit: lastRunRecords})
	if err != nil {
		return nil
	}
	out := make(map[string]*journal.Record)
	for i := range records {
		if r := &records[i]; r.Step == 0 && out[r.Target] == nil {
			out[r.Target] = r
		}
	}
	return out
}
