package eval

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
)

// markLocal marks the rules that are judged between two evaluations, when the level of one target
// changes: alerts about memory or a heap whose result for a target follows from the series of that
// target alone. What other rules of the set record is of the last evaluation, so a rule that reads
// it is not one of them.
func (r *Ruleset) markLocal() {
	recorded := map[string]bool{seriesAlerts: true, seriesForState: true}
	r.each(func(d *ruleDef) {
		if !d.alerting {
			recorded[d.name] = true
		}
	})
	pressure := make(map[string]bool)
	for _, d := range metric.Pressure() {
		pressure[d.Name] = true
	}
	isRecorded := func(name string) bool { return recorded[name] }
	isPressure := func(name string) bool { return pressure[name] }
	for _, g := range r.groups {
		for _, d := range g.rules {
			d.local = d.alerting && g.offset == 0 && g.limit == 0 && !d.labels.Has(labelTarget) &&
				!slices.ContainsFunc(d.reads, isRecorded) && slices.ContainsFunc(d.reads, isPressure) &&
				d.ast.Type() == parser.ValueTypeVector && ofOneTarget(d.ast)
		}
	}
}

// ofOneTarget reports whether an expression, over the series of one target alone, returns just what
// it returns for that target over all series. It says no where it does not know.
func ofOneTarget(expr parser.Expr) bool {
	switch e := expr.(type) {
	case *parser.NumberLiteral, *parser.StringLiteral, *parser.VectorSelector:
		return true
	case *parser.MatrixSelector:
		return ofOneTarget(e.VectorSelector)
	case *parser.SubqueryExpr:
		return ofOneTarget(e.Expr)
	case *parser.ParenExpr:
		return ofOneTarget(e.Expr)
	case *parser.UnaryExpr:
		return ofOneTarget(e.Expr)
	case *parser.StepInvariantExpr:
		return ofOneTarget(e.Expr)
	case *parser.AggregateExpr:
		return e.Op != parser.COUNT_VALUES && slices.Contains(e.Grouping, labelTarget) != e.Without &&
			(e.Param == nil || ofOneTarget(e.Param)) && ofOneTarget(e.Expr)
	case *parser.BinaryExpr:
		m := e.VectorMatching
		return (m == nil || slices.Contains(m.MatchingLabels, labelTarget) == m.On) && ofOneTarget(e.LHS) && ofOneTarget(e.RHS)
	case *parser.Call:
		return callOfOneTarget(e)
	}
	return false
}

// callOfOneTarget knows the functions that work on each series by itself and keep its labels.
func callOfOneTarget(c *parser.Call) bool {
	name := c.Func.Name
	if name == "time" || name == "pi" {
		return true
	}
	switch {
	case name == "absent_over_time":
		return false
	case strings.HasSuffix(name, "_over_time"):
	default:
		switch name {
		case "abs", "ceil", "changes", "clamp", "clamp_max", "clamp_min", "delta", "deriv", "exp", "floor", "idelta", "increase",
			"irate", "ln", "log10", "log2", "predict_linear", "rate", "resets", "round", "sgn", "sqrt", "timestamp":
		default:
			return false
		}
	}
	return !slices.ContainsFunc(c.Args, func(a parser.Expr) bool { return !ofOneTarget(a) })
}
