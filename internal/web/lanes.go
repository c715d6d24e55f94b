package web

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
)

const (
	laneRecords = 1000 // of the journal, that are looked through for the runs of a period
	apart       = 60.0 // units between two marks, which do not overlap on a phone; those nearer are one
)

// lanes marks in a chart when the service started, which alerts fire, and when runs began.
func (s *server) lanes(p *plot, of *timeRange, t *targetView, v *view) {
	a := axis{from: v.Now.Add(-of.span), span: of.span}
	p.Lanes = true
	p.Starts = s.starts(&a, t, v.Now)
	for i := range v.Alerts {
		r := &v.Alerts[i]
		from := a.x(r.ActiveAt)
		p.Alerts = append(p.Alerts, stretch{X: percent(from), Width: percent(max(plotWidth-from, 4)), Class: cmp.Or(r.Class, "n"), Text: r.Name + " since " + clock(v.Now, r.ActiveAt)})
	}
	records, _, err := s.Journal(journal.Filter{Target: t.Name, Since: a.from, Limit: laneRecords})
	if err != nil {
		return
	}
	p.Runs = marks(&a, records, v.Now)
	for i := range p.Runs {
		p.Runs[i].Text = strconv.Itoa(i + 1)
	}
}

// marks returns the places of runs, oldest first. Those that are too near to one another are one.
func marks(a *axis, records []journal.Record, now time.Time) []event {
	var out []event
	last, count := -apart, 0
	for i := len(records) - 1; i >= 0; i-- {
		r := &records[i]
		if r.Step > 0 || r.Time.Before(a.from) {
			continue
		}
		x := a.x(r.Time)
		if x-last < apart && len(out) > 0 {
			count++
			e := &out[len(out)-1]
			e.Label = fmt.Sprintf("%d runs until %s, the last: %s %s", count, clock(now, r.Time), r.Playbook, cmp.Or(outcomeText(r.Outcome), "running"))
			e.Link = runLink(r)
			continue
		}
		last, count = x, 1
		label := fmt.Sprintf("%s at %s: %s", cmp.Or(r.Playbook, r.Action), clock(now, r.Time), cmp.Or(outcomeText(r.Outcome), "running"))
		if r.Alert != "" {
			label += ", for " + r.Alert
		}
		out = append(out, event{X: percent(x), Label: label, Link: runLink(r)})
	}
	return out
}

// runLink is the place of a run in the table of the page.
func runLink(r *journal.Record) string { return "#r-" + url.PathEscape(r.RunID) }

// starts returns the starts of a service in a period, and which of them were of another program.
func (s *server) starts(a *axis, t *targetView, now time.Time) []event {
	var known []history.Mark
	if s.History != nil {
		if found, err := s.History.Marks(t.Name, a.from, now.Add(time.Minute)); err == nil { // else it was logged
			known = found
		}
	}
	var out []event
	add := func(at time.Time, text string) {
		out = append(out, event{X: percent(a.x(at)), Text: clock(now, at) + text, Label: "started " + clock(now, at) + text})
	}
	for i := range known {
		text := ""
		if i > 0 && !known[i].Program.Same(known[i-1].Program) {
			text = ", new build"
		}
		add(known[i].Time, text)
	}
	if len(known) == 0 && t.Since.After(a.from) {
		add(t.Since, "")
	}
	return out
}
