package eval

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/rulefmt"
	"go.yaml.in/yaml/v3"
)

var (
	leadingPos  = regexp.MustCompile(`^(?:(\d+):(\d+): )+`)
	yamlLine    = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknownKey  = regexp.MustCompile(`^field (\S+) not found in type (\S+)$`)
	doubleKey   = regexp.MustCompile(`^mapping key "([^"]*)" already defined at line (\d+)$`)
	wrongType   = regexp.MustCompile("^cannot unmarshal !!(\\w+)(?: `(.*)`)? into (.+)$")
	badDuration = regexp.MustCompile(`not a valid duration string: "(.*)"`)
)

// advice is what to write instead, by a part of rulefmt's message.
var advice = []struct{ part, write string }{
	{"one of 'record' or 'alert' must be set", "give the rule a name: `alert: Name` or `record: level:metric:operation`"},
	{"only one of 'record' and 'alert' must be set", "make two rules of it"},
	{"field 'expr' must be set in rule", "write `expr:` with a PromQL expression"},
	{"is not enabled", "experimental functions are off; use a stable one"},
	{"could not parse expression", "correct the PromQL at that place of the expression"},
	{"invalid field 'annotations' in recording rule", "remove it; only alerts have annotations"},
	{"invalid field 'for' in recording rule", "remove it; only alerts wait"},
	{"invalid field 'keep_firing_for' in recording rule", "remove it; only alerts fire"},
	{"invalid recording rule name", "write a metric name: letters, digits, _ and :"},
	{"braces present in the recording rule name", "write the name alone, and labels below `labels:`"},
	{"Groupname must not be empty", "write `name:`"},
	{"is repeated in the same file", "give each group a name of its own"},
	{"unclosed action", "close it with }}"},
	{"not defined", "templates have the functions of Prometheus: humanize, humanize1024, humanizePercentage, humanizeDuration, query, first, value, label and so on"},
	{"invalid label name", "a label name has letters, digits and _, and is not __name__"},
	{"invalid annotation name", "an annotation name has letters, digits and _"},
}

// keysOf names what stands where, for unknown keys.
var keysOf = []struct{ suffix, what, keys string }{
	{"ruleGroups", "at the top", "groups"},
	{"RuleGroups", "at the top", "groups"},
	{"RuleGroup", "in a group", "name, interval, limit, query_offset, labels, rules"},
	{"Rule", "in a rule", "alert, record, expr, for, keep_firing_for, labels, annotations"},
}

// explain turns what rulefmt says into problems that name the place and what to write instead.
func explain(f File, errs []error, nodes []rulefmt.RuleGroupNode) []error {
	var root yaml.Node
	_ = yaml.Unmarshal(f.Content, &root) // what is wrong with it is among errs
	var found []*Problem
	seen := make(map[string]bool)
	add := func(p *Problem) {
		p.File = f.Name
		if s := p.Error(); !seen[s] {
			seen[s] = true
			found = append(found, p)
		}
	}
	for _, err := range errs {
		var typeErr *yaml.TypeError
		var ruleErr *rulefmt.Error
		switch {
		case errors.As(err, &ruleErr):
			add(explainRule(ruleErr, nodes))
		case errors.As(err, &typeErr):
			for _, e := range typeErr.Errors {
				add(explainYAML(e, &root))
			}
		default:
			add(explainYAML(err.Error(), &root))
		}
	}
	slices.SortStableFunc(found, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	out := make([]error, len(found))
	for i, p := range found {
		out[i] = p
	}
	return out
}

func explainRule(e *rulefmt.Error, nodes []rulefmt.RuleGroupNode) *Problem {
	p := &Problem{Group: e.Group, Rule: e.RuleName}
	msg := e.Err.Error()
	p.Line, p.Column, msg = cutPosition(msg)
	if p.Line == 0 {
		p.Line = ruleLine(nodes, e.Group, e.Rule)
	}
	if p.Rule == "" {
		p.Rule = strconv.Itoa(e.Rule)
	}
	p.Message = msg + advise(msg)
	return p
}

func ruleLine(nodes []rulefmt.RuleGroupNode, group string, rule int) int {
	for i := range nodes {
		if n := &nodes[i]; n.Name == group && rule <= len(n.Rules) {
			r := &n.Rules[rule-1]
			return cmp.Or(r.Alert.Line, r.Record.Line, r.Expr.Line)
		}
	}
	return 0
}

// badGroup returns the line of the first group without a name or with one that stood before.
func badGroup(root *yaml.Node) int {
	groups := child(root, "groups")
	if groups == nil {
		return 0
	}
	seen := make(map[string]bool)
	for _, g := range groups.Content {
		name := child(g, "name")
		if name == nil || name.Value == "" || seen[name.Value] {
			return g.Line
		}
		seen[name.Value] = true
	}
	return 0
}

// child returns the value of a key of a mapping, nil when there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// lineOf returns the line of the first scalar with this value.
func lineOf(n *yaml.Node, value string) int {
	if n.Kind == yaml.ScalarNode && n.Value == value {
		return n.Line
	}
	if n.Kind == yaml.AliasNode {
		return 0
	}
	for _, c := range n.Content {
		if line := lineOf(c, value); line > 0 {
			return line
		}
	}
	return 0
}

func explainYAML(msg string, root *yaml.Node) *Problem {
	p := &Problem{}
	p.Line, p.Column, msg = cutPosition(msg)
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		msg = m[2]
	}
	switch {
	case unknownKey.MatchString(msg):
		m := unknownKey.FindStringSubmatch(msg)
		p.Message = fmt.Sprintf("unknown key %q", m[1])
		for _, k := range keysOf {
			if strings.HasSuffix(m[2], "."+k.suffix) {
				p.Message = fmt.Sprintf("unknown key %q %s; the keys there are %s", m[1], k.what, k.keys)
				break
			}
		}
	case doubleKey.MatchString(msg):
		m := doubleKey.FindStringSubmatch(msg)
		p.Message = fmt.Sprintf("key %q stands twice, first in line %s; remove one of them", m[1], m[2])
	case wrongType.MatchString(msg):
		m := wrongType.FindStringSubmatch(msg)
		p.Message = fmt.Sprintf("a %s stands where %s is expected; see docs/rules.md for the form of a rule file", kindName(m[1]), goType(m[3]))
	case badDuration.MatchString(msg):
		m := badDuration.FindStringSubmatch(msg)
		p.Line = lineOf(root, m[1])
		p.Message = fmt.Sprintf("%q is not a duration; write for example 30s, 5m or 1h", m[1])
	default:
		if strings.Contains(strings.ToLower(msg), "groupname") && p.Line == 0 {
			p.Line = badGroup(root)
		}
		p.Message = strings.TrimPrefix(msg, "yaml: ") + advise(msg)
	}
	return p
}

func cutPosition(msg string) (line, col int, rest string) {
	m := leadingPos.FindStringSubmatch(msg)
	if m == nil {
		return 0, 0, msg
	}
	line, _ = strconv.Atoi(m[1])
	col, _ = strconv.Atoi(m[2])
	return line, col, msg[len(m[0]):]
}

func advise(msg string) string {
	for _, a := range advice {
		if strings.Contains(msg, a.part) {
			return "; " + a.write
		}
	}
	return ""
}

func kindName(tag string) string {
	switch tag {
	case "seq":
		return "list"
	case "map":
		return "mapping"
	case "str":
		return "text"
	case "int", "float":
		return "number"
	}
	return tag
}

func goType(t string) string {
	switch {
	case strings.HasPrefix(t, "[]"):
		return "a list"
	case strings.HasPrefix(t, "map[") || strings.Contains(t, "rule") || strings.Contains(t, "Rule"):
		return "a mapping"
	case t == "int":
		return "a number"
	}
	return "a text"
}
