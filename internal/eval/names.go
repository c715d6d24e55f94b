package eval

import (
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

// ExprMetrics returns the names of the series that a PromQL expression reads, sorted, for checks
// of dashboards. The error is the parser's.
func ExprMetrics(text string) ([]string, error) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return nil, err
	}
	names, _, err := reads(expr)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
