package dashboards_test

import (
	"fmt"
	"strings"
)

// The dashboards are put together here, so that every panel of a kind looks and behaves alike, and
// written by go test ./dashboards -update. What is shipped, and reviewed, is the JSON.

// obj is a JSON object whose keys no one reads in a certain order.
type obj = map[string]any

type dsRef struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

var prom = dsRef{"prometheus", "${datasource}"}

type gridPos struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

type query struct {
	RefID      string `json:"refId"`
	Datasource dsRef  `json:"datasource"`
	Expr       string `json:"expr"`
	Legend     string `json:"legendFormat,omitempty"`
	Format     string `json:"format,omitempty"`
	Instant    bool   `json:"instant"`
	Range      bool   `json:"range"`
}

type fieldConfig struct {
	Defaults  obj   `json:"defaults"`
	Overrides []obj `json:"overrides"`
}

// jsonPanel is a panel or, with Type row, a row; a collapsed row holds its panels.
type jsonPanel struct {
	ID              int          `json:"id"`
	Type            string       `json:"type"`
	Title           string       `json:"title"`
	Description     string       `json:"description,omitempty"`
	Collapsed       *bool        `json:"collapsed,omitempty"`
	Links           []obj        `json:"links,omitempty"`
	Datasource      *dsRef       `json:"datasource,omitempty"`
	GridPos         gridPos      `json:"gridPos"`
	Targets         []query      `json:"targets,omitempty"`
	FieldConfig     *fieldConfig `json:"fieldConfig,omitempty"`
	Options         obj          `json:"options,omitempty"`
	Transformations []obj        `json:"transformations,omitempty"`
	Panels          []*jsonPanel `json:"panels,omitzero"`
}

type jsonDashboard struct {
	UID           string       `json:"uid"`
	Title         string       `json:"title"`
	Description   string       `json:"description"`
	Tags          []string     `json:"tags"`
	SchemaVersion int          `json:"schemaVersion"`
	Version       int          `json:"version"`
	Editable      bool         `json:"editable"`
	GraphTooltip  int          `json:"graphTooltip"`
	Refresh       string       `json:"refresh"`
	Time          obj          `json:"time"`
	Timezone      string       `json:"timezone"`
	Links         []obj        `json:"links"`
	Annotations   obj          `json:"annotations"`
	Templating    obj          `json:"templating"`
	Panels        []*jsonPanel `json:"panels"`
}

const (
	repository = "https://github.com/spillway-exporter/spillway_exporter/"
	runbooks   = repository + "blob/main/docs/runbooks/"
)

// board collects the rows of one dashboard.
type board struct {
	uid, title, description string
	target                  string // matcher of the target: one, or any number of them
	oneTarget               bool   // it is about one target, of instances that are chosen one by one
	targetVariable          obj
	annotateTarget          bool // the annotations are those of the chosen targets
	rows                    []row
}

type row struct {
	title     string
	collapsed bool
	panels    []*jsonPanel
}

// chosen are the matchers of the labels that Prometheus adds where it scrapes more than one cluster.
// Both variables have .* for all, which also takes series without the label.
const chosen = `cluster=~"$cluster", namespace=~"$namespace"`

// anyTarget selects what every target has, whatever is watched of it: one that is down has no memory, one
// of folders alone no processes, and the host and discovered groups are in no configuration.
func anyTarget(matchers ...string) string {
	return fmt.Sprintf("{%s}", strings.Join(append([]string{`__name__=~"spillway_target_info|spillway_memory_used_ratio"`, chosen, `job=~"$job"`}, matchers...), ", "))
}

// of selects a metric of the chosen targets, with further matchers.
func (b *board) of(metric string, matchers ...string) string {
	return b.own(metric, append([]string{b.target}, matchers...)...)
}

// own selects a metric that has no target, or whose target does not matter.
func (b *board) own(metric string, matchers ...string) string {
	return fmt.Sprintf("%s{%s}", metric, strings.Join(append([]string{chosen, `job=~"$job"`, `instance=~"$instance"`}, matchers...), ", "))
}

func (b *board) row(title string, panels ...*jsonPanel) {
	b.rows = append(b.rows, row{title, false, panels})
}

// folded adds a row that is closed at first: its queries are asked when it is opened.
func (b *board) folded(title string, panels ...*jsonPanel) {
	b.rows = append(b.rows, row{title, true, panels})
}

// increase is how much a counter grew within one step of a graph.
func increase(selector string) string { return "increase(" + selector + "[$__rate_interval])" }

func rate(selector string) string { return "rate(" + selector + "[$__rate_interval])" }

func ranged(selector string) string { return "increase(" + selector + "[$__range])" }

func sumBy(labels, expr string) string { return "sum by (" + labels + ") (" + expr + ")" }

// quantile has no value while nothing was observed: the quantile of nothing is NaN, which would be a
// line in the legend.
func quantile(q, labels, selector string) string {
	return fmt.Sprintf("histogram_quantile(%s, sum by (%s, le) (%s)) >= 0", q, labels, rate(selector))
}

// q is one query over time. A host is named by its cluster too, which is nothing where there is one only.
func q(expr, legend string) query {
	legend = strings.ReplaceAll(legend, "{{instance}}", "{{cluster}} {{instance}}")
	return query{Datasource: prom, Expr: expr, Legend: legend, Range: true}
}

func now(expr string) query { return query{Datasource: prom, Expr: expr, Instant: true} }

func rowsOf(expr string) query {
	return query{Datasource: prom, Expr: expr, Format: "table", Instant: true}
}

func newPanel(kind, title, description, unit string, w, h int, queries []query) *jsonPanel {
	for i := range queries {
		queries[i].RefID = string(rune('A' + i))
	}
	ds := prom
	return &jsonPanel{
		Type: kind, Title: title, Description: description, Datasource: &ds, GridPos: gridPos{W: w, H: h}, Targets: queries,
		FieldConfig: &fieldConfig{Overrides: []obj{}, Defaults: obj{
			"unit": unit, "noValue": "no values: the description says what this needs", "mappings": []obj{}, "color": obj{"mode": "palette-classic"},
			"thresholds": obj{"mode": "absolute", "steps": []obj{{"color": "green", "value": nil}}},
		}},
	}
}

// graph is a panel of lines over time.
func graph(title, description, unit string, w int, queries ...query) *jsonPanel {
	p := newPanel("timeseries", title, description, unit, w, 8, queries)
	p.FieldConfig.Defaults["custom"] = obj{
		"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": false, "axisSoftMin": 0,
	}
	p.Options = obj{
		"legend":  obj{"displayMode": "table", "placement": "bottom", "calcs": []string{"lastNotNull", "max"}, "showLegend": true, "sortBy": "Last *", "sortDesc": true},
		"tooltip": obj{"mode": "multi", "sort": "desc"},
	}
	return p
}

const nothingHappened = "nothing in this time range"

// bars is a panel of what happened in each step.
func bars(title, description, unit string, w int, queries ...query) *jsonPanel {
	p := graph(title, description, unit, w, queries...)
	p.FieldConfig.Defaults["custom"] = obj{
		"drawStyle": "bars", "lineWidth": 1, "fillOpacity": 70, "showPoints": "never", "axisSoftMin": 0,
		"stacking": obj{"mode": "normal", "group": "A"},
	}
	if unit == "none" {
		p.FieldConfig.Defaults["decimals"] = 0
	}
	return p.noValue(nothingHappened)
}

// stat is one number; its colours are given as pairs of a bound and a colour, the first without a bound.
func stat(title, description, unit, expr string, colors ...any) *jsonPanel {
	p := newPanel("stat", title, description, unit, 4, 4, []query{now(expr)})
	steps := []obj{{"color": "blue", "value": nil}}
	if len(colors) > 0 {
		steps = []obj{{"color": colors[0], "value": nil}}
		for i := 1; i < len(colors); i += 2 {
			steps = append(steps, obj{"value": colors[i], "color": colors[i+1]})
		}
	}
	d := p.FieldConfig.Defaults
	d["thresholds"] = obj{"mode": "absolute", "steps": steps}
	d["color"] = obj{"mode": "thresholds"}
	p.Options = obj{
		"reduceOptions": obj{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
		"colorMode":     "value", "graphMode": "none", "textMode": "auto", "justifyMode": "center", "wideLayout": true,
		"showPercentChange": false, "percentChangeColorMode": "standard", "orientation": "auto",
	}
	return p
}

// named shows the name of the series instead of its value.
func named(p *jsonPanel, legend string) *jsonPanel {
	p.Targets[0].Legend, p.Options["textMode"] = legend, "name"
	return p
}

// gauges is one bar for each series, the fullest first.
func gauges(title, description string, w int, queries ...query) *jsonPanel {
	for i := range queries {
		queries[i].Instant, queries[i].Range = true, false
	}
	p := newPanel("bargauge", title, description, "percentunit", w, 7, queries)
	d := p.FieldConfig.Defaults
	d["min"], d["max"], d["color"] = 0, 1, obj{"mode": "continuous-GrYlRd"}
	p.Options = obj{
		"reduceOptions": obj{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
		"displayMode":   "gradient", "orientation": "horizontal", "valueMode": "color", "namePlacement": "auto", "showUnfilled": true,
		"sizing": "auto", "minVizWidth": 8, "minVizHeight": 16, "maxVizHeight": 300,
		"legend": obj{"calcs": []string{}, "displayMode": "list", "placement": "bottom", "showLegend": false},
	}
	return p
}

// timeline is one lane of states for each series.
func timeline(title, description string, w int, mapping obj, queries ...query) *jsonPanel {
	p := newPanel("state-timeline", title, description, "none", w, 8, queries)
	d := p.FieldConfig.Defaults
	d["mappings"], d["color"], d["custom"] = []obj{mapping}, obj{"mode": "thresholds"}, obj{"fillOpacity": 80, "lineWidth": 0}
	p.Options = obj{
		"mergeValues": true, "showValue": "never", "alignValue": "left", "rowHeight": 0.85,
		"legend":  obj{"displayMode": "list", "placement": "bottom", "calcs": []string{}, "showLegend": true},
		"tooltip": obj{"mode": "single", "sort": "none"},
	}
	return p
}

// column is one column of a table: the label or the value that it comes from, and its head.
type column struct{ from, head string }

// table is a table of labels and values; what is not named in columns is hidden.
func table(title, description string, w, h int, columns []column, queries ...query) *jsonPanel {
	p := newPanel("table", title, description, "none", w, h, queries)
	p.FieldConfig.Defaults["custom"] = obj{"align": "auto", "cellOptions": obj{"type": "auto"}, "inspect": false, "filterable": true}
	p.Options = obj{"showHeader": true, "cellHeight": "sm", "frameIndex": 0}
	order, names := obj{}, obj{}
	for i, c := range columns {
		order[c.from], names[c.from] = i, c.head
	}
	p.Transformations = []obj{{"id": "organize", "options": obj{"excludeByName": obj{"Time": true}, "indexByName": order, "renameByName": names}}}
	return p
}

func (p *jsonPanel) exclude(names ...string) *jsonPanel {
	hidden := p.Transformations[len(p.Transformations)-1]["options"].(obj)["excludeByName"].(obj)
	for _, n := range names {
		hidden[n] = true
	}
	return p
}

func (p *jsonPanel) set(key string, value any) *jsonPanel {
	p.FieldConfig.Defaults[key] = value
	return p
}

func (p *jsonPanel) high(h int) *jsonPanel {
	p.GridPos.H = h
	return p
}

func (p *jsonPanel) noValue(text string) *jsonPanel { return p.set("noValue", text) }

// needing says in the panels of a feature that is not configured how to configure it, unless they say what
// their absence means.
func needing(feature string, panels ...*jsonPanel) []*jsonPanel {
	for _, p := range panels {
		if text := p.FieldConfig.Defaults["noValue"]; text != nothingHappened && strings.HasPrefix(text.(string), "no values") {
			p.noValue(feature)
		}
	}
	return panels
}

func (p *jsonPanel) mapped(mapping obj) *jsonPanel { return p.set("mappings", []obj{mapping}) }

// linked leads from a series to its target's page at the exporter.
func (p *jsonPanel) linked() *jsonPanel {
	return p.set("links", []obj{{
		"title": "Page of this target at the exporter", "targetBlank": true,
		"url": "http://${__field.labels.instance}/target/${__field.labels.target}",
	}})
}

// runbook leads to what to do when the alert about this panel fires.
func (p *jsonPanel) runbook(alert string) *jsonPanel {
	p.Links = append(p.Links, obj{"title": "Runbook: " + alert, "url": runbooks + alert + ".md", "targetBlank": true})
	return p
}

func (p *jsonPanel) override(matcher, what string, properties ...obj) *jsonPanel {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, obj{
		"matcher": obj{"id": matcher, "options": what}, "properties": properties,
	})
	return p
}

func property(id string, value any) obj { return obj{"id": id, "value": value} }

var dash = property("custom.lineStyle", obj{"fill": "dash", "dash": []int{8, 6}})

// dashed draws the series whose names match as dashed lines that stand for themselves.
func (p *jsonPanel) dashed(pattern string) *jsonPanel {
	return p.override("byRegexp", pattern, dash, property("custom.fillOpacity", 0), property("custom.stacking", obj{"mode": "none", "group": "A"}))
}

// right draws the series whose names match as bars against an axis of their own.
func (p *jsonPanel) right(pattern, unit string) *jsonPanel {
	return p.override("byRegexp", pattern, property("unit", unit), property("custom.drawStyle", "bars"), property("custom.axisPlacement", "right"))
}

// levelled draws the three series that are named after the levels in the colours of the levels.
func (p *jsonPanel) levelled() *jsonPanel {
	for _, l := range [][2]string{{"warning", "yellow"}, {"critical", "orange"}, {"emergency", "red"}} {
		p.override("byName", l[0],
			property("color", obj{"mode": "fixed", "fixedColor": l[1]}), dash,
			property("custom.fillOpacity", 0), property("custom.lineWidth", 2), property("custom.stacking", obj{"mode": "none", "group": "A"}))
	}
	return p
}

// stacked piles the series up.
func (p *jsonPanel) stacked() *jsonPanel {
	custom := p.FieldConfig.Defaults["custom"].(obj)
	custom["stacking"], custom["fillOpacity"] = obj{"mode": "normal", "group": "A"}, 40
	return p
}

func values(texts ...string) obj {
	options := obj{}
	for i := 0; i < len(texts); i += 3 {
		options[texts[i]] = obj{"text": texts[i+1], "color": texts[i+2], "index": i / 3}
	}
	return obj{"type": "value", "options": options}
}

var (
	levels = values("0", "normal", "green", "1", "warning", "yellow", "2", "critical", "orange", "3", "emergency", "red")
	yesNo  = values("0", "no", "red", "1", "yes", "green")

	pausedOrNot = values("0", "no", "green", "1", "paused", "orange")

	levelsOrDown = values("0", "normal", "green", "1", "warning", "yellow", "2", "critical", "orange", "3", "emergency", "red", targetDown, "down", "purple")
)
