package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// mostSearched is the number of lines of a file up to which the line of a mistake is searched for: each line is one
// more reading of those before it.
const mostSearched = 1000

// parserForm is how the parser says where it gave up. That is often a line after the mistake, or the first line of what
// holds it.
var parserForm = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxMistake says in which line a text ceases to be YAML, and what to write there.
func syntaxMistake(file string, raw []byte, err error) Error {
	m := parserForm.FindStringSubmatch(err.Error())
	if m == nil {
		return Error{File: file, Msg: fmt.Sprintf("is not YAML (%v): check the indentation and the quotes", err)}
	}
	lines := strings.Split(string(raw), "\n")
	line, _ := strconv.Atoi(m[1])
	if len(lines) <= mostSearched {
		line = breaks(raw)
	}
	what := ""
	if line > 0 && line <= len(lines) {
		what = syntaxAdvice(lines[:line], m[2])
	}
	if what == "" {
		what = fmt.Sprintf("is not YAML (%s): check the indentation and the quotes", m[2])
	}
	return Error{File: file, Line: line, Msg: what}
}

// breaks returns the line after the last one up to which a text is YAML, which is where it ceases to be: a bracket or a
// quote that is never closed makes everything after it wrong. 0 when no line does.
func breaks(raw []byte) int {
	var ends []int
	for i, c := range raw {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	for k, end := range slices.Backward(ends) {
		var n yaml.Node
		if err := yaml.NewDecoder(bytes.NewReader(raw[:end])).Decode(&n); err == nil || errors.Is(err, io.EOF) {
			return k + 2
		}
	}
	return 1
}

// syntaxAdvice says what is wrong with the last of some lines, up to which a text is YAML; "" when it cannot be seen. says
// is what the parser makes of it.
func syntaxAdvice(lines []string, says string) string {
	last := strings.TrimRight(lines[len(lines)-1], "\r")
	text := strings.TrimLeft(last, " \t")
	if indent := last[:len(last)-len(text)]; strings.Contains(indent, "\t") {
		return "is indented with a tab: write spaces, the only indentation that YAML allows"
	}
	if strings.Contains(last, "\t") && strings.Contains(says, "cannot start any token") {
		return "has a tab where a value or key begins: write spaces instead"
	}
	if _, value, ok := strings.Cut(text, ": "); ok && strings.Contains(says, "cannot start any token") {
		return fmt.Sprintf("has a value that begins with a character of YAML's own: write it in quotes: '%s'", strings.TrimSpace(value))
	}
	column, open := len(last)-len(text), openColumns(lines[:len(lines)-1])
	if len(open) > 0 && !slices.Contains(open, column) && !opensBlock(lines[:len(lines)-1]) {
		var words []string
		for _, c := range open {
			words = append(words, strconv.Itoa(c))
		}
		return fmt.Sprintf("is indented by %d %s, as no line is that it could go with: write %s", column, plural(column, "space", "spaces"), strings.Join(words, " or "))
	}
	switch {
	case unclosed(text, '[', ']'), unclosed(text, '{', '}'):
		return "opens a bracket that is not closed: write the other one, or put a value that begins with one in quotes"
	case strings.Count(text, `"`)%2 != 0, strings.Count(text, "'")%2 != 0:
		return "opens a quote that is not closed: write the other one"
	case strings.Contains(says, "mapping values are not allowed"):
		return "has a second colon with a blank after it: put the value in quotes, or write one key a line"
	}
	return ""
}

// openColumns returns the columns at which a line may begin that goes on with what the lines above it have begun.
func openColumns(lines []string) []int {
	var open []int
	enter := func(column int) {
		open = slices.DeleteFunc(open, func(c int) bool { return c > column })
		if !slices.Contains(open, column) {
			open = append(open, column)
		}
	}
	for _, line := range lines {
		text := strings.TrimLeft(line, " ")
		if text = strings.TrimRight(text, " \r"); text == "" || text[0] == '#' {
			continue
		}
		column := len(line) - len(strings.TrimLeft(line, " "))
		enter(column)
		for {
			rest, item := strings.CutPrefix(text, "- ")
			if !item {
				break
			}
			inner := strings.TrimLeft(rest, " ")
			column += len(text) - len(inner)
			text = inner
			enter(column)
		}
	}
	return open
}

// opensBlock reports whether the last line with text begins what stands on deeper lines.
func opensBlock(lines []string) bool {
	for _, line := range slices.Backward(lines) {
		text, _, _ := strings.Cut(line, " #")
		if text = strings.TrimSpace(text); text != "" && text[0] != '#' {
			return text == "-" || strings.HasSuffix(text, ":")
		}
	}
	return true
}

func unclosed(text string, open, closing rune) bool {
	return strings.Count(text, string(open)) > strings.Count(text, string(closing))
}

// secondDocument returns the line at which a text goes on after its first document.
func secondDocument(raw []byte) int {
	first := true
	line := 0
	for text := range strings.Lines(string(raw)) {
		line++
		text = strings.TrimSpace(text)
		switch {
		case !first && strings.HasPrefix(text, "---"):
			return line
		case text != "" && text[0] != '#':
			first = false
		}
	}
	return 0
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// elsewhere are keys and flags of other exporters, of Prometheus and of Alertmanager that people write at the top of a file, and what to write
// here.
var elsewhere = map[string]string{
	"external_url":    addressKeys,
	"grafana_url":     addressKeys,
	"listen":          listenFlag,
	"listen_address":  listenFlag,
	"web":             listenFlag,
	"log":             "write the flags --log.level and --log.format",
	"scrape_interval": "write sample_interval, or scan_interval for folders",
	"scrape_configs":  "write targets: a target is a service of this host",
	"evidence":        "write it in a target",
	"playbooks":       "write them in a target",
	"dry_run":         "write mode: dry_run",
	"enforce":         "write mode: enforce",
}

const (
	addressKeys = "write dashboard_url for the dashboards, prometheus_url for Prometheus"
	listenFlag  = "write the flag --web.listen-address, such as --web.listen-address=127.0.0.1:10042"
)

// Instead implements strictyaml.Hinter.
func (*Config) Instead(key string) string { return elsewhere[key] }
