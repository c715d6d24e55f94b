//go:build e2e

package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spillway-exporter/spillway_exporter/dashboards"
)

// grafana stands for what a dashboard is looked at with: its variables and its time range.
type grafana struct {
	prometheus            *server
	job, instance, target string // values of the variables; .+ is All
	cluster               string // likewise; nothing is All
	span, step            time.Duration
	at                    time.Time // the end of the range, where all queries are to have the same; else now
}

// line is one series of a panel.
type line struct {
	Metric map[string]string
	Value  [2]any
	Values [][2]any
}

// last is the newest value of a line.
func (l *line) last() float64 {
	v := l.Value
	if n := len(l.Values); n > 0 {
		v = l.Values[n-1]
	}
	text, _ := v[1].(string)
	n, _ := strconv.ParseFloat(text, 64)
	return n
}

// notNumbers counts the values that are NaN.
func (l *line) notNumbers() (n int) {
	for _, v := range append([][2]any{l.Value}, l.Values...) {
		if v[1] == "NaN" {
			n++
		}
	}
	return n
}

// expand sets the variables in an expression as Grafana does.
func (g *grafana) expand(raw string) string {
	return strings.NewReplacer("$__rate_interval", (4 * g.step).String(), "$__range", fmt.Sprintf("%ds", int(g.span.Seconds())),
		"$cluster", cmp.Or(g.cluster, ".*"), "$namespace", ".*", "$job", g.job, "$instance", g.instance, "$target", g.target).Replace(raw)
}

// ask returns the lines of an expression, at one time or over the range as its panel asks for it.
func (g *grafana) ask(t *testing.T, q *dashboards.Query) []line {
	t.Helper()
	lines, err := g.query(g.expand(q.Raw), q.Instant)
	if err != nil {
		t.Fatalf("%s, panel %q: %v", q.Dashboard, q.Panel, err)
	}
	return lines
}

func (g *grafana) query(expr string, instant bool) ([]line, error) {
	now := g.at
	if now.IsZero() {
		now = time.Now()
	}
	args, path := url.Values{"query": {expr}, "time": {seconds(now)}}, "/api/v1/query"
	if !instant {
		args, path = url.Values{"query": {expr}, "step": {strconv.FormatFloat(g.step.Seconds(), 'f', -1, 64)}, "start": {seconds(now.Add(-g.span))}, "end": {seconds(now)}}, "/api/v1/query_range"
	}
	slow := http.Client{Timeout: time.Minute}
	resp, err := slow.PostForm(g.prometheus.url+path, args)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct{ Result []line }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", expr, resp.Status, answer.Error)
	}
	return answer.Data.Result, nil
}

func seconds(at time.Time) string {
	return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64)
}

// startPrometheusWith starts Debian's Prometheus with the text of a configuration.
func startPrometheusWith(t *testing.T, dir, config string) *server {
	t.Helper()
	writeFile(t, dir+"/prometheus.yml", config)
	port := freePort(t)
	s := &server{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	s.process = start(t, nil, need(t, "prometheus"), "--config.file="+dir+"/prometheus.yml",
		"--storage.tsdb.path="+dir+"/prometheus", fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port))
	eventually(t, startLimit, "Prometheus is ready", func() error {
		_, err := get(s.url + "/-/ready")
		return err
	})
	return s
}

func everyQuery(t *testing.T) []dashboards.Query {
	t.Helper()
	all, err := dashboards.Queries()
	if err != nil {
		t.Fatal(err)
	}
	return all
}
