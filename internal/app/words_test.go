package app

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/restart"
)

// constants finds the constants of a folder whose name and type match; an empty pattern matches all.
type constants struct{ folder, name, typ string }

// values are what a label can say, and the page that explains each.
var labelValues = []struct {
	label, page string
	from        []constants
	but         string // one that does not stand there
}{
	{"`disposition` of `spillway_webhook_alerts_total`", "webhook.md", []constants{{"internal/alert", "^(Accepted|Duplicate|Cooldown|Waiting|Paused|Closed|NeedsHuman|Proposed|Denied|NoPlaybook|NotOurs|Resolved|Refused)$", ""}}, ""},
	{"`outcome` of `spillway_playbook_runs_total`", "webhook.md", []constants{{"internal/dispatch", "^Outcome", ""}, {"internal/journal", "^Outcome", ""}, {"internal/action", "", "Outcome"}}, "open"},
	{"`outcome` of `spillway_action_runs_total`", "actions.md", []constants{{"internal/action", "", "Outcome"}}, ""},
	{"`reason` of `spillway_action_skips_total`", "webhook.md", []constants{{"internal/dispatch", "^Skip", ""}}, ""},
	{"`reason` of `spillway_action_skips_total`, of a restart", "restart.md", []constants{{"internal/restart", "^Reason", ""}}, "restart_drained"},
	{"`reason` of `spillway_restart_needs_human`", "runbooks/SpillwayNeedsHuman.md", []constants{{"internal/restart", "^Reason(Budget|HostBudget|WillNotHelp|Failed|NotIts|Drained)$", ""}}, ""},
	{"`reason` of `spillway_action_skipped_files_total`, among others", "troubleshooting.md", []constants{{"internal/safefs", "", "Reason"}}, ""},
	{"`outcome` of `spillway_proposal_outcomes_total`", "autonomy.md", []constants{{"internal/dispatch", "^Proposal(Approved|Denied|Expired|Voided)$", ""}}, ""},
	{"`outcome` of `spillway_evidence_captures_total`", "evidence.md", []constants{{"internal/evidence", "^(Captured|Skipped|Failed|Unknown)$", ""}}, ""},
	{"reason of a capture that was skipped, in the journal", "evidence.md", []constants{{"internal/evidence", "^Skip[A-Z]", ""}}, ""},
}

// find returns the values of the constants, sorted.
func (c constants) find() ([]string, error) {
	files, err := filepath.Glob(filepath.Join("../..", c.folder, "*.go"))
	if err != nil {
		return nil, err
	}
	name := regexp.MustCompile(c.name)
	var out []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range tree.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
				out = append(out, c.of(g, name)...)
			}
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		return nil, errors.New(c.folder + " has no such constants")
	}
	return slices.Compact(out), nil
}

// of returns the values that a group of constants has.
func (c constants) of(g *ast.GenDecl, name *regexp.Regexp) (out []string) {
	for _, s := range g.Specs {
		v := s.(*ast.ValueSpec)
		typ, _ := v.Type.(*ast.Ident)
		if c.typ != "" && (typ == nil || typ.Name != c.typ) || len(v.Values) != 1 || !name.MatchString(v.Names[0].Name) {
			continue
		}
		if lit, ok := v.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && text != "" {
				out = append(out, text)
			}
		}
	}
	return out
}

// valuesReference is the part of docs/metrics.md that lists what the labels can say.
func valuesReference(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("\n## Values of labels\n\n| label | values | explained in |\n|---|---|---|\n")
	for _, l := range labelValues {
		fmt.Fprintf(&b, "| %s | `%s` | [%s](%s) |\n", l.label, strings.Join(valuesOf(t, l.from, l.but), "`, `"), strings.TrimSuffix(filepath.Base(l.page), ".md"), l.page)
	}
	return b.String()
}

func valuesOf(t *testing.T, from []constants, but string) []string {
	t.Helper()
	var out []string
	for _, c := range from {
		found, err := c.find()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, found...)
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(s string) bool { return s == but })
}

// TestEveryWordIsExplained: each outcome and reason that a constant of the code names is explained on the page that the
// reference of the metrics names for it.
func TestEveryWordIsExplained(t *testing.T) {
	for _, l := range labelValues {
		raw, err := os.ReadFile("../../docs/" + l.page)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range valuesOf(t, l.from, l.but) {
			if !strings.Contains(string(raw), "`"+v+"`") {
				t.Errorf("%s: docs/%s does not explain `%s`", l.label, l.page, v)
			}
		}
	}
	raw, err := os.ReadFile("../../docs/runbooks/SpillwayNeedsHuman.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range valuesOf(t, []constants{{"internal/restart", "^Reason", ""}}, "") {
		needs := (&restart.Refusal{Reason: v}).NeedsHuman() || v == restart.ReasonDrained
		if says := strings.Contains(string(raw), "| `"+v+"` |"); says != needs {
			t.Errorf("the runbook SpillwayNeedsHuman has the reason %s: %v, want %v", v, says, needs)
		}
	}
}
