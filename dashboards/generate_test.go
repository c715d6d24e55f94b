package dashboards_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spillway-exporter/spillway_exporter/dashboards"
)

var update = flag.Bool("update", false, "write the dashboards")

// TestDashboardsAreWritten fails when a JSON file is not what the definitions here say:
// go test ./dashboards -update writes them.
func TestDashboardsAreWritten(t *testing.T) {
	var want []string
	for _, b := range []*board{overview(), oneTarget(), self()} {
		name := b.uid + ".json"
		want = append(want, name)
		text, err := b.text()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(name, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(text), string(have)); diff != "" {
			t.Errorf("%s is not what its definition says, run go test ./dashboards -update (-want +have):\n%s", name, diff)
		}
	}
	have, err := fs.Glob(dashboards.FS, "*.json")
	if slices.Sort(want); err != nil || !slices.Equal(want, have) {
		t.Errorf("the binary holds %q, want %q: %v", have, want, err)
	}
}

// text lays the rows out, numbers the panels and writes the dashboard.
func (b *board) text() ([]byte, error) {
	d := &jsonDashboard{
		UID: b.uid, Title: b.title, Description: b.description, Tags: []string{"spillway"},
		SchemaVersion: 39, Version: 1, GraphTooltip: 1, Refresh: "30s", Time: obj{"from": "now-3h", "to": "now"},
		Links: b.links(), Annotations: b.annotations(), Templating: b.templating(), Panels: b.layout(),
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := indent(&out, raw, 0); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// layout lets the panels of each row flow from left to right, in lines as high as their highest.
func (b *board) layout() []*jsonPanel {
	var out []*jsonPanel
	id, y := 0, 0
	for _, r := range b.rows {
		id++
		collapsed := r.collapsed
		head := &jsonPanel{ID: id, Type: "row", Title: r.title, Collapsed: &collapsed, GridPos: gridPos{1, 24, 0, y}, Panels: []*jsonPanel{}}
		out = append(out, head)
		y++
		x, line, top := 0, 0, y
		for _, p := range r.panels {
			id++
			p.ID = id
			if x+p.GridPos.W > 24 {
				x, top, line = 0, top+line, 0
			}
			p.GridPos.X, p.GridPos.Y = x, top
			x, line = x+p.GridPos.W, max(line, p.GridPos.H)
		}
		if r.collapsed {
			head.Panels = r.panels
			continue
		}
		out = append(out, r.panels...)
		y = top + line
	}
	return out
}

// links lead to the other dashboards, with the same variables and time range, and to the runbooks.
func (b *board) links() []obj {
	var out []obj
	for _, l := range []struct{ uid, title, tip string }{
		{"spillway-overview", "Overview", "All targets, the worst first"},
		{"spillway-target", "One target", "Everything that is known about one target"},
		{"spillway-self", "Exporters", "Whether the exporters themselves are well"},
	} {
		if l.uid != b.uid {
			out = append(out, link(l.title, "/d/"+l.uid, l.tip, "dashboard", true))
		}
	}
	return append(out, link("Runbooks", runbooks, "What to do about each alert", "doc", false))
}

func link(title, url, tip, icon string, here bool) obj {
	return obj{
		"title": title, "type": "link", "icon": icon, "url": url, "tooltip": tip, "tags": []string{},
		"asDropdown": false, "targetBlank": !here, "includeVars": here, "keepTime": here,
	}
}

func (b *board) annotations() obj {
	pick := b.own
	if b.annotateTarget {
		pick = b.of
	}
	last, alerts := pick("spillway_action_last_run_timestamp_seconds"), pick("ALERTS", `alertname=~"Spillway.+"`, `alertstate="firing"`)
	by := func(expr string) string { return "max by (cluster, instance, target, action) (" + expr + ")" }
	actions, where := by(last)+" * 1000", "{{target}} on {{instance}}"
	if !b.oneTarget {
		actions = "(" + only(mostLines, by(last), by(highestIn(last))) + ") * 1000"
		alerts, where = "count by (alertname, severity) ("+alerts+")", "{{severity}}"
	}
	return obj{"list": []obj{
		{
			"name": "Annotations & Alerts", "type": "dashboard", "builtIn": 1, "datasource": dsRef{"grafana", "-- Grafana --"},
			"enable": true, "hide": true, "iconColor": "rgba(0, 211, 255, 1)",
		},
		{
			"name": "Actions", "datasource": prom, "enable": true, "hide": false, "iconColor": "blue",
			"expr":            actions,
			"useValueForTime": true, "titleFormat": "{{action}} of {{target}}",
			"textFormat": "ended on {{instance}}; the journal has its before and after", "tagKeys": "target,action", "step": "10s",
		},
		{
			"name": "Alerts", "datasource": prom, "enable": true, "hide": false, "iconColor": "red",
			"expr": alerts, "titleFormat": "{{alertname}}", "textFormat": where, "tagKeys": "severity,target", "step": "30s",
		},
	}}
}

func (b *board) templating() obj {
	out := []obj{
		{
			"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "regex": "", "refresh": 1, "hide": 0,
			"multi": false, "includeAll": false, "current": obj{}, "options": []obj{}, "skipUrlSync": false,
		},
		anyOrNoneVariable("cluster", "Cluster", "label_values(spillway_exporter_build_info, cluster)"),
		anyOrNoneVariable("namespace", "Namespace", `label_values(spillway_exporter_build_info{cluster=~"$cluster"}, namespace)`),
		variable("job", "Job", "label_values(spillway_exporter_build_info{"+chosen+"}, job)"),
	}
	instances := variable("instance", "Instance", "label_values(spillway_exporter_build_info{"+chosen+`, job=~"$job"}, instance)`)
	if b.oneTarget {
		instances = variable("instance", "Instance", "label_values("+anyTarget(`target="$target"`)+", instance)")
		instances["includeAll"], instances["current"] = false, obj{}
	}
	return obj{"list": append(out, instances, b.targetVariable)}
}

// variable is one of which any number of values can be chosen, all of them at first.
func variable(name, label, query string) obj {
	v := single(name, label, query)
	v["multi"], v["includeAll"], v["allValue"] = true, true, ".+"
	v["current"] = obj{"selected": true, "text": []string{"All"}, "value": []string{"$__all"}}
	return v
}

// anyOrNoneVariable is one of a label that not every Prometheus adds: all of them includes none.
func anyOrNoneVariable(name, label, query string) obj {
	v := variable(name, label, query)
	v["allValue"] = ".*"
	return v
}

// single is a variable with one value, the first one at first.
func single(name, label, query string) obj {
	return obj{
		"name": name, "label": label, "type": "query", "datasource": prom, "definition": query,
		"query": obj{"query": query, "refId": name + "Variable"}, "refresh": 2, "sort": 1, "regex": "", "hide": 0, "skipUrlSync": false,
		"multi": false, "includeAll": false, "options": []obj{}, "current": obj{},
	}
}

// lineWidth is up to where an object or an array stands on one line, so that a change of one
// panel is a change of a few lines.
const lineWidth = 140

func indent(out *bytes.Buffer, raw json.RawMessage, depth int) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return err
	}
	if raw = compact.Bytes(); raw[0] != '{' && raw[0] != '[' || len(raw)+2*depth <= lineWidth {
		_, err := out.Write(unescape(raw))
		return err
	}
	pad := strings.Repeat("  ", depth)
	dec := json.NewDecoder(bytes.NewReader(raw))
	open, err := dec.Token()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n", open)
	for first := true; dec.More(); first = false {
		if !first {
			out.WriteString(",\n")
		}
		out.WriteString(pad + "  ")
		if open == json.Delim('{') {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%q: ", key)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		if err := indent(out, value, depth+1); err != nil {
			return err
		}
	}
	closing, err := dec.Token()
	fmt.Fprintf(out, "\n%s%s", pad, closing)
	return err
}

// unescape undoes what encoding/json does for the sake of HTML.
func unescape(raw []byte) []byte {
	return []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(raw)))
}
