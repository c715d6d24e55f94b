package eval

import (
	"math"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/spillway-exporter/spillway_exporter/internal/alert"
	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/strictyaml"
)

// Lint checks what loading cannot know: every spillway_ metric that a rule reads is in metrics or
// recorded by a rule, and every playbook that a rule asks for is in playbooks. A nil list is not
// checked. Each error is a *Problem.
func Lint(r *Ruleset, metrics, playbooks []string) []error {
	known := make(map[string]bool)
	for _, m := range metrics {
		known[m] = true
	}
	r.each(func(d *ruleDef) {
		if !d.alerting {
			known[d.name] = true
		}
	})
	var errs []error
	r.each(func(d *ruleDef) {
		for _, name := range d.reads {
			if metrics != nil && strings.HasPrefix(name, metric.Prefix) && !known[name] && !known[baseName(name)] {
				errs = append(errs, d.pos.problem(d.pos.expression, "the metric %s does not exist%s", name, suggest(name, metrics)))
			}
		}
		name := d.labels.Get(alert.LabelPlaybook)
		if d.alerting && playbooks != nil && name != "" && !isTemplate(name) && !slices.Contains(playbooks, name) {
			errs = append(errs, d.pos.problem(0, "the playbook %q does not exist; write one of %s, or leave the label out for an alert that only informs", name, strings.Join(playbooks, ", ")))
		}
	})
	return errs
}

// LintForeign checks that every series that a rule reads and that is not a metric of this exporter's own
// is in known, is recorded by a rule, or is made by the evaluator: any other is never there, and the rule
// silent. Each error is a *Problem.
func LintForeign(r *Ruleset, known []string) []error {
	there := map[string]bool{seriesUp: true, seriesAlerts: true, seriesForState: true}
	for _, name := range known {
		there[name] = true
	}
	r.each(func(d *ruleDef) {
		if !d.alerting {
			there[d.name] = true
		}
	})
	var errs []error
	r.each(func(d *ruleDef) {
		for _, name := range d.reads {
			if !strings.HasPrefix(name, metric.Prefix) && !there[name] && !there[baseName(name)] {
				errs = append(errs, d.pos.problem(d.pos.expression, "this exporter has no metric %s, so the rule would never do anything here; leave it to a Prometheus that scrapes it", name))
			}
		}
	})
	return errs
}

// severities are those of the shipped alerts; the last is that of the alert for which another one stands.
var severities = []string{"info", "warning", "critical", "{{ $labels.severity }}"}

// LintBundle checks what the rules that ship with the exporter promise beyond that: no threshold
// is a number, each alert has a severity, a summary that names the host, a description, a link and a runbook that
// exists.
func LintBundle(r *Ruleset, runbook func(url string) bool) []error {
	var errs []error
	r.each(func(d *ruleDef) {
		if !d.alerting {
			return
		}
		if n, ok := numberThreshold(d.ast); ok {
			errs = append(errs, d.pos.problem(d.pos.expression, "the threshold %v is a number; join it from a metric, as from spillway_threshold_ratio", n))
		}
		if s := d.labels.Get(alert.LabelSeverity); !slices.Contains(severities, s) {
			errs = append(errs, d.pos.problem(0, "severity is %q; write info, warning or critical", s))
		}
		if summary := d.annotations.Get("summary"); !strings.Contains(summary, "$labels."+alert.LabelInstance) {
			errs = append(errs, d.pos.problem(0, "the annotation summary %q does not name the host; write {{ $labels.instance }}", summary))
		}
		for _, name := range []string{"summary", "description", "dashboard_url", "runbook_url"} {
			if strings.TrimSpace(d.annotations.Get(name)) == "" {
				errs = append(errs, d.pos.problem(0, "the annotation %s is missing", name))
			}
		}
		if url := d.annotations.Get("runbook_url"); !strings.HasSuffix(url, "/"+d.name+".md") || !runbook(url) {
			errs = append(errs, d.pos.problem(0, "runbook_url %q is not the page of this alert", url))
		}
	})
	return errs
}

func (r *Ruleset) each(f func(*ruleDef)) {
	for _, g := range r.groups {
		for _, d := range g.rules {
			f(d)
		}
	}
}

// baseName is the family of a histogram's or summary's series.
func baseName(name string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			return base
		}
	}
	return name
}

// suggest names the metric that was probably meant.
func suggest(name string, metrics []string) string {
	best, at := "", len(name)/3+1
	for _, m := range metrics {
		if d := strictyaml.Distance(name, m); d < at {
			best, at = m, d
		}
	}
	if best == "" {
		return "; /metrics shows those that do"
	}
	return "; did you mean " + best + "?"
}

// numberThreshold finds a comparison with a number that is a limit. 0 and 1 are states (none,
// failed, full), and a horizon in seconds is the question that an alert asks, not a limit of the
// service: those may stand in a rule.
func numberThreshold(expr parser.Expr) (float64, bool) {
	found, bad := 0.0, false
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		b, ok := node.(*parser.BinaryExpr)
		if !ok || !b.Op.IsComparisonOperator() {
			return nil
		}
		for _, sides := range [][2]parser.Expr{{b.LHS, b.RHS}, {b.RHS, b.LHS}} {
			n, ok := constant(sides[0])
			if !ok || n == 0 || n == 1 {
				continue
			}
			if isTime(sides[1]) {
				continue
			}
			found, bad = n, true
		}
		return nil
	})
	return found, bad
}

// isTime reports whether an expression is a number of seconds: of series in seconds, or bytes over
// bytes per second.
func isTime(e parser.Expr) bool {
	if p, ok := e.(*parser.ParenExpr); ok {
		return isTime(p.Expr)
	}
	if b, ok := e.(*parser.BinaryExpr); ok && b.Op == parser.DIV {
		return in(b.LHS, "_bytes") && in(b.RHS, "_bytes_per_second")
	}
	return in(e, "_seconds")
}

// in reports whether all series of an expression, one at least, are of a unit.
func in(e parser.Expr, unit string) bool {
	names, _, err := reads(e)
	return err == nil && len(names) > 0 && !slices.ContainsFunc(names, func(s string) bool {
		return !strings.HasSuffix(s, unit) && (s != seriesForState || unit != "_seconds") // its values are Unix times
	})
}

// constant returns the value of an expression that reads no series and calls nothing.
func constant(e parser.Expr) (float64, bool) {
	switch e := e.(type) {
	case *parser.NumberLiteral:
		return e.Val, true
	case *parser.ParenExpr:
		return constant(e.Expr)
	case *parser.UnaryExpr:
		v, ok := constant(e.Expr)
		return -v, ok
	case *parser.BinaryExpr:
		_, left := constant(e.LHS)
		_, right := constant(e.RHS)
		return math.NaN(), left && right // arithmetic hides a number, it does not make it a state
	}
	return 0, false
}
