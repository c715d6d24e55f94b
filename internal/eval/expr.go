package eval

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template/parse"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

var (
	errNameless = errors.New("a selector names no metric, but the exporter keeps only the series that its rules name; write the metric's name before the braces: spillway_memory_used_ratio{target=\"app\"}")
	errFixedAt  = errors.New("@ with a fixed time cannot be answered, because the exporter remembers only the recent past; leave @ out, or use offset")
)

// reads returns the metric names that expr selects and how far back it looks. back is 0 when
// only the newest sample of each series counts.
func reads(expr parser.Expr) (names []string, back time.Duration, err error) {
	past := false
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.MatrixSelector:
			past = true
		case *parser.SubqueryExpr:
			past = true
			if n.Timestamp != nil {
				err = errFixedAt
			}
		case *parser.VectorSelector:
			if n.OriginalOffset != 0 {
				past = true
			}
			if n.Timestamp != nil {
				err = errFixedAt
			}
			name, ok := metricName(n)
			if !ok {
				err = errNameless
				return nil
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return nil
	})
	if err != nil || !past {
		return names, 0, err
	}
	// Any moment serves: it is the distance that counts.
	at := time.Unix(1<<30, 0)
	oldest, _ := promql.FindMinMaxTime(&parser.EvalStmt{Expr: expr, Start: at, End: at, LookbackDelta: lookbackDelta})
	if oldest == 0 { // it selects nothing
		return names, 0, nil
	}
	return names, max(at.Sub(time.UnixMilli(oldest)), time.Millisecond), nil
}

func metricName(n *parser.VectorSelector) (string, bool) {
	if n.Name != "" {
		return n.Name, true
	}
	for _, m := range n.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual && m.Value != "" {
			return m.Value, true
		}
	}
	return "", false
}

func isTemplate(text string) bool { return strings.Contains(text, "{{") }

// templateVars are the variables that Prometheus gives to templates of alerting rules.
const templateVars = `{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}`

// verb matches what printf replaces.
var verb = regexp.MustCompile(`%[-+# 0]*\d*(?:\.\d+)?[a-zA-Z%]`)

// templateQueries returns the PromQL that a template runs. uses reports whether it calls query at
// all. A query that printf puts together is understood with a placeholder for each verb.
func templateQueries(p parser.Parser, text string) (queries []parser.Expr, uses bool, err error) {
	tree := parse.New("template")
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(templateVars+text, "", "", make(map[string]*parse.Tree)); err != nil {
		return nil, false, fmt.Errorf("not a valid template: %w", err)
	}
	var texts []string
	walkTemplate(tree.Root, func(n parse.Node) {
		switch n := n.(type) {
		case *parse.IdentifierNode:
			uses = uses || n.Ident == "query"
		case *parse.StringNode:
			texts = append(texts, n.Text)
		}
	})
	if !uses {
		return nil, false, nil
	}
	for _, s := range texts {
		s = verb.ReplaceAllStringFunc(s, func(v string) string {
			switch v[len(v)-1] {
			case '%':
				return "%"
			case 'q':
				return `"x"`
			case 'd', 'f', 'g', 'e':
				return "1"
			}
			return "x"
		})
		expr, err := p.ParseExpr(s)
		if err != nil {
			continue // another string: a format, a label's name
		}
		if len(parser.ExtractSelectors(expr)) > 0 {
			queries = append(queries, expr)
		}
	}
	return queries, true, nil
}

// walkTemplate calls f for every node that can hold a string or name a function.
func walkTemplate(n parse.Node, f func(parse.Node)) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, c := range n.Nodes {
				walkTemplate(c, f)
			}
		}
	case *parse.ActionNode:
		walkTemplate(n.Pipe, f)
	case *parse.TemplateNode:
		walkTemplate(n.Pipe, f)
	case *parse.IfNode:
		walkBranch(&n.BranchNode, f)
	case *parse.RangeNode:
		walkBranch(&n.BranchNode, f)
	case *parse.WithNode:
		walkBranch(&n.BranchNode, f)
	case *parse.PipeNode:
		if n != nil {
			for _, c := range n.Cmds {
				walkTemplate(c, f)
			}
		}
	case *parse.CommandNode:
		for _, a := range n.Args {
			if _, text := a.(*parse.StringNode); text && !makesQuery(n.Args[0]) {
				continue // a label's name, what is compared with, or a pattern
			}
			walkTemplate(a, f)
		}
	case *parse.ChainNode:
		walkTemplate(n.Node, f)
	default:
		f(n)
	}
}

// makesQuery reports whether the strings of a command can be PromQL: those of query and of the print
// functions, and a string by itself.
func makesQuery(first parse.Node) bool {
	f, is := first.(*parse.IdentifierNode)
	return !is || f.Ident == "query" || strings.HasPrefix(f.Ident, "print")
}

func walkBranch(n *parse.BranchNode, f func(parse.Node)) {
	walkTemplate(n.Pipe, f)
	walkTemplate(n.List, f)
	walkTemplate(n.ElseList, f)
}
