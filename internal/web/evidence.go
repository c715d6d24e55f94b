package web

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	barsShown = 10
	yesterday = 20 * time.Hour // captures that are at least so old are of yesterday
)

// captureEntry is one capture in a list.
type captureEntry struct {
	ID      string    `json:"id"`
	Time    time.Time `json:"time"`
	Reason  string    `json:"reason"`
	Rung    string    `json:"rung"`
	Total   int64     `json:"total_bytes"`
	Seconds float64   `json:"pause_seconds"`
}

// evidence is GET /api/v1/evidence?target=&since=&output=: the captures of a target, the newest in full, and what grew.
func (s *server) evidence(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	name, output := q.Get("target"), q.Get("output")
	since, err := s.moment(q.Get("since"))
	switch {
	case name == "":
		fail(w, http.StatusBadRequest, "no target: write /api/v1/evidence?target=NAME; /api/v1/targets lists the names")
		return
	case err != nil:
		fail(w, http.StatusBadRequest, "since %s", err)
		return
	case output != "" && output != "json" && output != "pprof":
		fail(w, http.StatusBadRequest, "output %q: write json or pprof", output)
		return
	}
	all, err := s.captures(name)
	switch {
	case err != nil:
		w.Header().Set("Retry-After", retryAfter)
		fail(w, http.StatusServiceUnavailable, "the captures cannot be read: %s", err)
		return
	}
	out := map[string]any{"status": "success", "captures": []captureEntry{}}
	seen := s.uncaptured(name, out)
	switch {
	case len(all) == 0 && seen && output != "pprof":
		writeJSON(w, http.StatusOK, out)
		return
	case len(all) == 0:
		fail(w, http.StatusNotFound, "nothing was captured of the target %q", name)
		return
	}
	newest := &all[len(all)-1]
	if output == "pprof" {
		var b bytes.Buffer
		if err := evidence.WritePprof(&b, newest, nil); err != nil {
			fail(w, http.StatusInternalServerError, "the capture cannot be written: %s", err)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="heap.pb.gz"`)
		w.Write(b.Bytes())
		return
	}
	list := make([]captureEntry, len(all))
	for i := range all {
		p := &all[i]
		list[i] = captureEntry{p.ID, p.Time, p.Reason, p.Rung, p.Total, p.Pause.Seconds()}
	}
	out["captures"], out["newest"] = list, newest
	if d, err := evidence.GrewIn(all, since); err == nil {
		out["grew"] = d
	} else {
		out["why"] = err.Error()
	}
	writeJSON(w, http.StatusOK, out)
}

// uncaptured adds what is known of a target without a capture: what fills its folders, and what its processes have mapped.
func (s *server) uncaptured(target string, out map[string]any) (known bool) {
	if s.Folders != nil {
		if folders := s.Folders(target); len(folders) > 0 {
			out["folders"], known = folders, true
		}
	}
	if s.Mappings != nil {
		if m := s.Mappings(target); m != nil {
			out["mappings"], known = m, true
		}
	}
	return known
}

func (s *server) captures(target string) ([]evidence.Profile, error) {
	if s.Evidence == nil {
		return nil, nil
	}
	return s.Evidence(target)
}

// grewView is what the page of a target shows of what grew.
type grewView struct {
	Leak    bool
	Periods []grewPeriod
	Note    string
}

// grewPeriod is what grew since a moment.
type grewPeriod struct {
	Title, Text string
	Rows        []grewRow
}

type grewRow struct {
	Place, Text string
	Bar         *bar
}

// grew is what grew of a target, in its heap and outside of it; nil where nothing is known.
func (s *server) grew(target string) *grewView {
	v := new(grewView)
	all, err := s.captures(target)
	if err == nil && len(all) > 0 {
		s.captured(v, all)
	}
	s.outside(v, target)
	if len(v.Periods) == 0 {
		return nil
	}
	return v
}

// captured compares the newest capture with the first of its start, with the first of yesterday and with the one before it.
func (s *server) captured(v *grewView, all []evidence.Profile) {
	newest := &all[len(all)-1]
	v.Note = fmt.Sprintf("Captured %s, %s. Names only.", agoText(s.Now(), newest.Time), newest.Rung)
	before := evidence.Comparable(all, newest)
	add := func(title string, since time.Time) {
		d, err := evidence.GrewIn(all, since)
		if err != nil || slices.ContainsFunc(v.Periods, func(p grewPeriod) bool { return p.Title == title }) {
			return
		}
		if d.Culprit != nil {
			v.Leak = true
		}
		v.Periods = append(v.Periods, period(title, &d))
	}
	add("Since the baseline", time.Time{})
	if len(before) > 1 {
		add("Since the last capture", before[len(before)-1].Time)
	}
	if len(before) > 0 && s.Now().Sub(before[0].Time) >= 2*yesterday {
		add("Since yesterday", s.Now().Add(-yesterday-4*time.Hour))
	}
	if len(v.Periods) == 0 {
		v.Periods = []grewPeriod{{Title: "Not known yet", Text: "there is one capture of this start"}}
	}
}

// outside adds what grew in the folders of a target and in its mappings.
func (s *server) outside(v *grewView, target string) {
	var folders []evidence.Folder
	var mappings *evidence.Mappings
	if s.Folders != nil {
		folders = s.Folders(target)
	}
	if s.Mappings != nil {
		mappings = s.Mappings(target)
	}
	o := evidence.NewOutside(folders, mappings)
	for i := range o.Folders {
		f := &o.Folders[i]
		v.Periods = append(v.Periods, grewPeriod{Title: "In the " + f.Kind + " folder " + f.Name, Text: f.String(), Rows: outsideRows(f.Grew.Rows, evidence.KindFiles)})
	}
	if m := o.Mappings; m != nil {
		v.Periods = append(v.Periods, grewPeriod{Title: "In mappings", Text: "since " + agoText(s.Now(), m.From), Rows: outsideRows(m.Rows, evidence.KindMapping)})
	}
}

func outsideRows(rows []evidence.Growth, kind evidence.Kind) []grewRow {
	out := make([]grewRow, len(rows))
	most := rows[0].Weight()
	for i := range rows {
		g := &rows[i]
		text := g.Size(kind)
		out[i] = grewRow{Place: evidence.Place(g.Name, g.File, 0), Text: text, Bar: &bar{Width: 1000 * float64(g.Weight()) / float64(most), Text: text, Label: text}}
	}
	return out
}

func period(title string, d *evidence.Difference) grewPeriod {
	p := grewPeriod{Title: title, Text: d.String()}
	if p.Text == "" {
		p.Text = "nothing grew"
	}
	largest := int64(1)
	for i := range d.Rows {
		largest = max(largest, d.Rows[i].Bytes)
	}
	for i := range d.Rows[:min(barsShown, len(d.Rows))] {
		g := &d.Rows[i]
		text := "+" + units.Bytes(g.Bytes).String()
		if !g.Sure {
			text += " or less"
		}
		p.Rows = append(p.Rows, grewRow{
			Place: evidence.Place(g.Name, g.File, g.Line), Text: text,
			Bar: &bar{Width: 1000 * float64(g.Bytes) / float64(largest), Text: text, Label: text},
		})
	}
	return p
}
