package dashboards_test

// What a target that is down and a host without an exporter count as in the columns of levels, above emergency.
const (
	targetDown   = "4"
	exporterDown = "5"
)

var hostLevels = values("0", "normal", "green", "1", "warning", "yellow", "2", "critical", "orange", "3", "emergency", "red",
	targetDown, "target down", "purple", exporterDown, "no exporter", "purple")

func byHost(expr string) string { return "max by (" + perHost + ") (" + expr + ")" }

// downTargets are the configured targets without a process, as the level above emergency.
func (b *board) downTargets() string {
	return "(" + b.of("spillway_processes") + " == 0 and on (" + perHost + ", target) " + b.of("spillway_target_info", `source="config"`) + ") + " + targetDown
}

// badness orders targets: those that are down, then the highest level and the fullest within it.
func (b *board) badness() string {
	return "max by (" + perHost + ", target) (" + b.of("spillway_memory_level") + " + on (" + perHost + ", target) " + b.of("spillway_memory_used_ratio") + " / 10 or " + b.downTargets() + ")"
}

// hostsTable has one line per exporter, with what leads to its targets.
func (b *board) hostsTable() *jsonPanel {
	unreached := "(" + b.down() + ") + " + exporterDown
	order := byHost(byHost(b.badness()) + " or " + byHost(unreached))
	// Every column is of the same fifteen hosts.
	worst := func(expr string) query { return rowsOf("(" + expr + ")" + onInstance + "topk(15, " + order + ")") }
	count := func(expr string) string { return "count by (" + perHost + ") (" + expr + ")" }
	each := "max by (" + perHost + ", target) (" + b.of("spillway_target_info") + " or " + b.of("spillway_memory_used_ratio") + ")"
	ended := b.of("spillway_playbook_runs_total")
	p := table("Hosts, the worst first", "One line per exporter: those that Prometheus does not reach first, then by their worst target, at most fifteen. The name leads to this dashboard for that host alone, to its exporter and to its page; the worst target to its dashboard.", 24, 8,
		[]column{
			{"instance", "Instance"},
			{"cluster", "Cluster"},
			{"job", "Job"},
			{"Value #A", "Worst level"},
			{"target", "Worst target"},
			{"Value #C", "Targets"},
			{"Value #D", "Under pressure"},
			{"Value #E", "Alerts"},
			{"Value #F", "Runs"},
			{"Value #G", "Freed"},
			{"version", "Version"},
			{"Value #I", "Order"},
		},
		worst(byHost(byHost(b.of("spillway_memory_level")+" or "+b.downTargets())+" or "+byHost(unreached))),
		worst("topk by ("+perHost+") (1, "+b.badness()+")"),
		worst(count(each)),
		worst(count(b.of("spillway_memory_level")+" >= 1")),
		worst(count(b.own("ALERTS", anyOrNone, `alertname=~"Spillway.+"`, `alertstate="firing"`))),
		worst("round("+sumBy(perHost, ranged(ended))+")"),
		worst(sumBy(perHost, ranged(b.of("spillway_action_freed_bytes_total")))),
		worst("max by ("+perHost+", version) ("+b.known()+")"),
		rowsOf("topk(15, "+order+")")).
		exclude("Value #B", "Value #H").noValue("no exporter is scraped")
	p.sortedBy("Order")
	p.override("byName", "Worst level", property("mappings", []obj{hostLevels}), property("custom.cellOptions", obj{"type": "color-background", "mode": "basic"}))
	p.override("byName", "Freed", property("unit", "bytes"))
	p.override("byName", "Instance", property("links", []obj{
		{"title": "This dashboard for this host", "url": "/d/spillway-overview?" + hostLink},
		{"title": "Exporter of this host", "url": "/d/spillway-self?" + hostLink},
		{"title": "Page of this exporter", "url": "http://${__data.fields.Instance}/", "targetBlank": true},
	}))
	return p.override("byName", "Worst target", property("links", []obj{
		{"title": "Dashboard of this target", "url": "/d/spillway-target?" + hostLink + "&var-target=${__data.fields[\"Worst target\"]}"},
		{"title": "Page of this target at the exporter", "url": "http://${__data.fields.Instance}/target/${__data.fields[\"Worst target\"]}", "targetBlank": true},
	}))
}

// hostLink takes the variables along, with the host of the line instead of those that are chosen.
const hostLink = "${datasource:queryparam}&${cluster:queryparam}&${namespace:queryparam}&var-job=${__data.fields.Job}&var-instance=${__data.fields.Instance}&${__url_time_range}"

// sortedBy joins the queries of a table to one line for each set of labels, the highest of a column first. The column is
// there until the lines are sorted by it. Hiding it instead has another key in each Grafana: custom.hidden
// up to 11, custom.hideFrom since.
func (p *jsonPanel) sortedBy(column string) {
	p.Transformations = append([]obj{{"id": "merge", "options": obj{}}}, p.Transformations...)
	p.Transformations = append(p.Transformations,
		obj{"id": "sortBy", "options": obj{"sort": []obj{{"field": column, "desc": true}}}},
		obj{"id": "organize", "options": obj{"excludeByName": obj{column: true}, "indexByName": obj{}, "renameByName": obj{}}})
}
