package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/vmtest"
)

// results is what the machine reported.
type results struct {
	dir             string
	boots           int
	kernel, systemd string
	outputs         map[string]*strings.Builder
	order           []string
	codes           map[string]int // of the programs that ended
}

func newResults(dir string) *results {
	return &results{dir: dir, outputs: map[string]*strings.Builder{}, codes: map[string]int{}}
}

// take adds a message and writes the program's file.
func (r *results) take(msg vmtest.Message) error {
	if msg.Boot > 0 {
		if msg.Boot != r.boots+1 {
			return fmt.Errorf("the machine is up for the %d. time, not the %d.: it fell and rebooted", msg.Boot, r.boots+1)
		}
		r.boots, r.kernel = msg.Boot, msg.Kernel
		if words := strings.Fields(msg.Systemd); len(words) > 1 {
			r.systemd = words[1]
		}
		fmt.Printf("vmtest: up, kernel %s, %s\n", msg.Kernel, msg.Systemd)
		return nil
	}
	if msg.Program == "" {
		return nil
	}
	out := r.outputs[msg.Program]
	if out == nil {
		out = &strings.Builder{}
		r.outputs[msg.Program] = out
		r.order = append(r.order, msg.Program)
	}
	out.WriteString(msg.Output)
	// Written each time, so that it is there also when the machine falls.
	err := os.WriteFile(filepath.Join(r.dir, msg.Program+".txt"), []byte(out.String()), 0o644)
	if err != nil || !msg.Ended {
		return err
	}
	r.codes[msg.Program] = msg.Code
	if msg.Code != 0 {
		fmt.Printf("vmtest: %s ended with %d:\n%s\n", msg.Program, msg.Code, out)
	} else {
		fmt.Printf("vmtest: %s passed\n", msg.Program)
	}
	return nil
}

// failure says which programs failed or never ended.
func (r *results) failure(programs []vmtest.Program) error {
	var failed []error
	for _, p := range programs {
		switch code, ended := r.codes[p.Name]; {
		case !ended:
			failed = append(failed, fmt.Errorf("%s did not end", p.Name))
		case code != 0:
			failed = append(failed, fmt.Errorf("%s failed: %s", p.Name, filepath.Join(r.dir, p.Name+".txt")))
		case !strings.Contains(r.outputs[p.Name].String(), "--- PASS"):
			failed = append(failed, fmt.Errorf("%s ran no test", p.Name))
		}
	}
	return errors.Join(failed...)
}

var (
	whatLine   = regexp.MustCompile(`(?m)^\s*=== ATTR\s+(\S+) what (.*)$`)
	resultLine = regexp.MustCompile(`(?m)^\s*--- (PASS|FAIL|SKIP): (\S+) `)
)

// table returns the table of the documentation: a row for each test that says what it tests.
func (r *results) table() string {
	var b strings.Builder
	b.WriteString("| what | kernel | systemd | result |\n|---|---|---|---|\n")
	for _, program := range r.order {
		text := r.outputs[program].String()
		ended := map[string]string{}
		for _, m := range resultLine.FindAllStringSubmatch(text, -1) {
			ended[m[2]] = m[1]
		}
		for _, m := range whatLine.FindAllStringSubmatch(text, -1) {
			result := map[string]string{"PASS": "works", "SKIP": "not tested", "FAIL": "**fails**", "": "**did not end**"}[ended[m[1]]]
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", m[2], r.kernel, r.systemd, result)
		}
	}
	return b.String()
}

// marks stand around the table in the documentation.
const beginMark, endMark = "<!-- begin vm-test -->\n", "<!-- end vm-test -->"

// updateTable writes the rows of a run into a file. Rows of tests that it did not run stay.
func updateTable(file, table string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), beginMark)
	old, after, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no table: write %q and %q", file, strings.TrimSpace(beginMark), endMark)
	}
	return os.WriteFile(file, []byte(before+beginMark+merged(old, table)+endMark+after), 0o644)
}

// merged returns the rows of two tables in the order of the old one: of each test the new row, where there
// is one. What tests are called that are gone is for a person to remove.
func merged(old, table string) string {
	what := func(row string) string {
		name, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		return name
	}
	news := make(map[string]string)
	for row := range strings.Lines(table) {
		news[what(row)] = row
	}
	var b strings.Builder
	for row := range strings.Lines(old) {
		if now, ok := news[what(row)]; ok {
			row = now
			delete(news, what(row))
		}
		b.WriteString(row)
	}
	for row := range strings.Lines(table) {
		if _, ok := news[what(row)]; ok {
			b.WriteString(row)
		}
	}
	return b.String()
}
