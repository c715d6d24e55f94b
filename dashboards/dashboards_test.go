package dashboards

import (
	"encoding/json"
	"testing"
)

// TestDashboards checks what Grafana's own linter asks for: a stable uid, a datasource variable,
// and for every panel an id of its own, a title, a description, a unit and a datasource variable.
func TestDashboards(t *testing.T) {
	raw, err := FS.ReadFile("spillway-overview.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID        string `json:"uid"`
		Title      string `json:"title"`
		Templating struct {
			List []struct {
				Name string `json:"name"`
			} `json:"list"`
		} `json:"templating"`
		Panels []struct {
			ID          int    `json:"id"`
			Type        string `json:"type"`
			Title       string `json:"title"`
			Description string `json:"description"`
			GridPos     struct{ H, W, X, Y int }
			Datasource  struct {
				UID string `json:"uid"`
			} `json:"datasource"`
			FieldConfig struct {
				Defaults struct {
					Unit string `json:"unit"`
				} `json:"defaults"`
			} `json:"fieldConfig"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID != "spillway-overview" || d.Title == "" {
		t.Errorf("uid %q, title %q", d.UID, d.Title)
	}
	have := make(map[string]bool)
	for _, v := range d.Templating.List {
		have[v.Name] = true
	}
	for _, name := range []string{"datasource", "job", "instance", "target"} {
		if !have[name] {
			t.Errorf("there is no variable %s", name)
		}
	}
	ids := make(map[int]string)
	for _, p := range d.Panels {
		if other, twice := ids[p.ID]; twice {
			t.Errorf("panels %q and %q have the id %d", other, p.Title, p.ID)
		}
		ids[p.ID] = p.Title
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q is wider than the page", p.Title)
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %d: title %q, description %q, unit %q, datasource %q: all are needed", p.ID, p.Title, p.Description, p.FieldConfig.Defaults.Unit, p.Datasource.UID)
		}
	}
}

func TestQueries(t *testing.T) {
	queries, err := Queries()
	if err != nil || len(queries) < 20 {
		t.Fatalf("%d queries, %v", len(queries), err)
	}
	for _, q := range queries {
		if q.Expr == "" {
			t.Errorf("%s, %q has an empty expression", q.Dashboard, q.Panel)
		}
	}
}
