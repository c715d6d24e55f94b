package eval

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
)

const (
	defaultInterval    = 15 * time.Second
	defaultMaxLookback = time.Hour
	lookbackDelta      = 5 * time.Minute // as in Prometheus: how old the newest sample may be
	maxRuleFile        = 1 << 20
)

// File is a rule file in memory.
type File struct {
	Name    string // as it shall stand in errors
	Content []byte
}

// LoadOptions say where rules come from.
type LoadOptions struct {
	Files       []string      // paths or glob patterns; empty: the Bundle
	Bundle      []File        // the embedded rules
	Interval    time.Duration // evaluation interval, the default step of subqueries; default 15s
	MaxLookback time.Duration // the furthest that a rule may look back; default 1h
}

// Ruleset is a set of checked rules. It is immutable.
type Ruleset struct {
	groups   []*group
	needs    map[string]time.Duration // metric name -> how much of its past some rule reads
	interval time.Duration
}

type group struct {
	file, name string
	interval   time.Duration // 0: at each evaluation
	offset     time.Duration // query_offset
	limit      int
	rules      []*ruleDef
}

// ruleDef is one rule as it was written.
type ruleDef struct {
	pos         position
	name        string // of the alert or of the recorded series
	alerting    bool
	expr        string // canonical form
	ast         parser.Expr
	hold        time.Duration // `for`
	keepFiring  time.Duration
	labels      labels.Labels
	annotations labels.Labels
	reads       []string                 // metric names, those of template queries included
	needs       map[string]time.Duration // the same, with how much of the past
	local       bool                     // see markLocal
	key         string                   // identity over reloads
}

// position is where a rule stands.
type position struct {
	file       string
	line, col  int
	group      string
	rule       int // from 1
	name       string
	expression int // line of the expression
}

// Problem is one mistake in a rule file.
type Problem struct {
	File         string
	Line, Column int // 0 where it is not known
	Group        string
	Rule         string // "" where the mistake is not in a rule
	Message      string // what is wrong and what to write instead
}

// Error implements error: file:line:column: group "g", rule "r": message.
func (p *Problem) Error() string {
	var b bytes.Buffer
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, ":%d", p.Column)
		}
	}
	if p.Group != "" {
		fmt.Fprintf(&b, ": group %q", p.Group)
		if p.Rule != "" {
			fmt.Fprintf(&b, ", rule %q", p.Rule)
		}
	}
	fmt.Fprintf(&b, ": %s", p.Message)
	return b.String()
}

func (p position) problem(line int, format string, args ...any) *Problem {
	if line == 0 {
		line = p.line
	}
	return &Problem{File: p.file, Line: line, Group: p.group, Rule: p.name, Message: fmt.Sprintf(format, args...)}
}

// Load reads and checks rules. Its error joins every *Problem found, in the order of the files.
func Load(o LoadOptions) (*Ruleset, error) {
	if o.Interval <= 0 {
		o.Interval = defaultInterval
	}
	if o.MaxLookback <= 0 {
		o.MaxLookback = defaultMaxLookback
	}
	files, errs := o.read()
	r := &Ruleset{needs: make(map[string]time.Duration), interval: o.Interval}
	l := &loader{o: o, rules: r, parser: newParser(), keys: make(map[string]int)}
	for _, f := range files {
		l.load(f)
	}
	errs = append(errs, l.errs...)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	r.markLocal()
	return r, nil
}

func newParser() parser.Parser { return parser.NewParser(parser.Options{}) }

// read returns the contents of all files, and an error for each that cannot be read.
func (o *LoadOptions) read() (files []File, errs []error) {
	if len(o.Files) == 0 {
		return o.Bundle, nil
	}
	seen := make(map[string]bool)
	for _, pattern := range o.Files {
		paths, err := filepath.Glob(pattern)
		switch {
		case err != nil:
			errs = append(errs, &Problem{File: pattern, Message: "not a valid pattern; write a path, or * and ? for parts of a name"})
			continue
		case len(paths) == 0:
			errs = append(errs, &Problem{File: pattern, Message: "no such rule file; write the path of an existing file, or leave rule_files empty for the rules that ship with the exporter"})
			continue
		}
		slices.Sort(paths)
		for _, path := range paths {
			if seen[path] {
				continue
			}
			seen[path] = true
			f, err := readFile(path)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			files = append(files, f)
		}
	}
	return files, errs
}

func readFile(path string) (File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return File{}, &Problem{File: path, Message: fmt.Sprintf("cannot be read: %v", err)}
	}
	if !info.Mode().IsRegular() {
		return File{}, &Problem{File: path, Message: "not a regular file; write the path of a YAML file with rule groups"}
	}
	if info.Size() > maxRuleFile {
		return File{}, &Problem{File: path, Message: "larger than 1 MiB; split it into several files"}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return File{}, &Problem{File: path, Message: fmt.Sprintf("cannot be read: %v", err)}
	}
	return File{Name: path, Content: content}, nil
}

// loader turns files into groups and collects what is wrong with them.
type loader struct {
	o      LoadOptions
	rules  *Ruleset
	parser parser.Parser
	keys   map[string]int
	errs   []error
}

func (l *loader) load(f File) {
	groups, errs := rulefmt.Parse(f.Content, false, model.UTF8Validation, l.parser, slog.New(slog.DiscardHandler))
	// The positions of all rules, for the checks that rulefmt does not know of.
	var nodes struct {
		Groups []rulefmt.RuleGroupNode `yaml:"groups"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(f.Content))
	decErr := dec.Decode(&nodes)
	if decErr == nil {
		var second yaml.Node
		if dec.Decode(&second) == nil {
			l.errs = append(l.errs, &Problem{File: f.Name, Line: second.Line, Message: "a second YAML document, which would be ignored; write all groups below one `groups:`"})
		}
	}
	if len(errs) > 0 {
		l.errs = append(l.errs, explain(f, errs, nodes.Groups)...)
		return
	}
	if decErr != nil || len(groups.Groups) != len(nodes.Groups) {
		l.errs = append(l.errs, &Problem{File: f.Name, Line: 1, Message: "no rule groups; write `groups:` and below it `- name: ...` with `rules:`"})
		return
	}
	if len(groups.Groups) == 0 {
		l.errs = append(l.errs, &Problem{File: f.Name, Line: 1, Message: "no rule groups; write `groups:` and below it `- name: ...` with `rules:`"})
	}
	for i := range groups.Groups {
		l.group(f.Name, &groups.Groups[i], &nodes.Groups[i])
	}
}

func (l *loader) group(file string, g *rulefmt.RuleGroup, n *rulefmt.RuleGroupNode) {
	out := &group{file: file, name: g.Name, interval: time.Duration(g.Interval), limit: g.Limit}
	if g.QueryOffset != nil {
		out.offset = time.Duration(*g.QueryOffset)
	}
	for i := range g.Rules {
		r, rn := &g.Rules[i], &n.Rules[i]
		pos := position{file: file, group: g.Name, rule: i + 1, name: r.Alert, line: rn.Alert.Line, col: rn.Alert.Column, expression: rn.Expr.Line}
		if r.Record != "" {
			pos.name, pos.line, pos.col = r.Record, rn.Record.Line, rn.Record.Column
		}
		if d := l.rule(pos, r, g.Labels, out.offset); d != nil {
			out.rules = append(out.rules, d)
		}
	}
	l.rules.groups = append(l.rules.groups, out)
}

func (l *loader) rule(pos position, r *rulefmt.Rule, groupLabels map[string]string, offset time.Duration) *ruleDef {
	ast, err := l.parser.ParseExpr(r.Expr)
	if err != nil { // rulefmt has parsed it before
		l.errs = append(l.errs, pos.problem(pos.expression, "%v", err))
		return nil
	}
	all := maps.Clone(groupLabels)
	if all == nil {
		all = make(map[string]string)
	}
	maps.Copy(all, r.Labels)
	d := &ruleDef{
		pos: pos, name: pos.name, alerting: r.Alert != "", expr: ast.String(), ast: ast,
		hold: time.Duration(r.For), keepFiring: time.Duration(r.KeepFiringFor),
		labels: labels.FromMap(all), annotations: labels.FromMap(r.Annotations), needs: make(map[string]time.Duration),
	}
	if t := ast.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		l.errs = append(l.errs, pos.problem(pos.expression, "the expression gives a %s; a rule needs an instant vector: write for example rate(x[5m]) or max_over_time(x[5m])", parser.DocumentedType(t)))
		return nil
	}
	ok := l.need(pos, d, ast, offset, 0)
	texts := d.templates()
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		queries, uses, err := templateQueries(l.parser, texts[name])
		switch {
		case err != nil:
			l.errs, ok = append(l.errs, pos.problem(0, "%s: %v", name, err)), false
			continue
		case uses && len(queries) == 0:
			l.errs, ok = append(l.errs, pos.problem(0, `%s: the metric that its query reads cannot be known before it runs; write the query as one string, with printf and %%q for label values: {{ printf "spillway_temp_files{target=%%q}" $labels.target | query }}`, name)), false
			continue
		}
		for _, q := range queries {
			// An annotation is written when it is submitted, up to a repeat after the result that it is about.
			ok = l.need(pos, d, q, offset, lookbackDelta+2*l.o.Interval) && ok
		}
	}
	if !ok {
		return nil
	}
	// It stands in the state's JSON, so it has to be valid UTF-8.
	key := fmt.Sprintf("%q %q %s %t", pos.group, d.name, d.labels, d.alerting)
	l.keys[key]++
	d.key = fmt.Sprintf("%s %d", key, l.keys[key])
	return d
}

// templates returns the texts that are templates, by where they stand.
func (d *ruleDef) templates() map[string]string {
	out := make(map[string]string)
	if !d.alerting {
		return out // a recording rule's labels are taken as they are
	}
	d.labels.Range(func(l labels.Label) {
		if isTemplate(l.Value) {
			out["label "+l.Name] = l.Value
		}
	})
	d.annotations.Range(func(l labels.Label) {
		if isTemplate(l.Value) {
			out["annotation "+l.Name] = l.Value
		}
	})
	return out
}

// need notes which series an expression reads and how far back, at least keep, or says why it
// cannot be served.
func (l *loader) need(pos position, d *ruleDef, expr parser.Expr, offset, keep time.Duration) bool {
	names, back, err := reads(expr)
	if err != nil {
		l.errs = append(l.errs, pos.problem(pos.expression, "%v", err))
		return false
	}
	if back > 0 {
		back += offset
	} else if offset > 0 {
		back = offset + lookbackDelta
	}
	if back > l.o.MaxLookback+lookbackDelta {
		l.errs = append(l.errs, pos.problem(pos.expression, "the expression looks back %s, but the exporter remembers %s; shorten its ranges and offsets, or evaluate this rule in a Prometheus",
			model.Duration(back.Round(time.Second)), model.Duration(l.o.MaxLookback)))
		return false
	}
	for _, name := range names {
		d.needs[name] = max(d.needs[name], back, keep)
		l.rules.needs[name] = max(l.rules.needs[name], back, keep)
	}
	d.reads = append(d.reads, names...)
	return true
}

// Lookback returns how far back the rules look.
func (r *Ruleset) Lookback() time.Duration {
	var out time.Duration
	for _, back := range r.needs {
		out = max(out, back)
	}
	return out
}

// Metrics returns the names of all series that the rules read, sorted.
func (r *Ruleset) Metrics() []string { return slices.Sorted(maps.Keys(r.needs)) }

// Only returns the rules of the groups with a name, and nothing of what the others read.
func (r *Ruleset) Only(name string) *Ruleset {
	out := &Ruleset{needs: make(map[string]time.Duration), interval: r.interval}
	for _, g := range r.groups {
		if g.name != name {
			continue
		}
		out.groups = append(out.groups, g)
		for _, d := range g.rules {
			for metric, back := range d.needs {
				out.needs[metric] = max(out.needs[metric], back)
			}
		}
	}
	return out
}

// Playbooks returns the playbooks that the rules ask for, sorted. One that a template names is not
// among them.
func (r *Ruleset) Playbooks() []string {
	var out []string
	r.each(func(d *ruleDef) {
		if name := d.labels.Get(alert.LabelPlaybook); d.alerting && name != "" && !isTemplate(name) {
			out = append(out, name)
		}
	})
	slices.Sort(out)
	return slices.Compact(out)
}

// Len returns the number of rules.
func (r *Ruleset) Len() int {
	n := 0
	for _, g := range r.groups {
		n += len(g.rules)
	}
	return n
}
