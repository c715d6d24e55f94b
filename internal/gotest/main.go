// Command gotest reads what go test -json writes, prints what go test prints without it, and then names every
// test that was skipped with its reason. With SPILLWAY_REQUIRED=1, as in .ci/run, a test that was skipped
// because a program is not installed is a failure.
//
//	go test -json ./... | go run ./internal/gotest
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := report(os.Stdin, os.Stdout, os.Getenv("SPILLWAY_REQUIRED") != ""); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
}

// event is a line of go test -json, see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output
	Test       string
	Text       string `json:"Output"`
}

// run is what was seen of one test.
type run struct{ pkg, test string }

// reader holds the output of tests until it is known how they ended.
type reader struct {
	out     io.Writer
	output  map[run][]string
	skipped []string
	missing []string
	failed  []string
	tested  int // packages
}

const module = "github.com/spillway-exporter/spillway_exporter"

var (
	// notInstalled matches the reason of a test that was skipped for want of a program.
	notInstalled = regexp.MustCompile(`is not installed|: \.ci/install`)
	// framing matches the lines with which go test frames the output of a test.
	framing = regexp.MustCompile(`^\s*(=== |--- (PASS|SKIP))`)
	// place matches what precedes the text of a reason: file and line.
	place = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)
)

// report copies the results in the order in which packages end, and returns an error when a test failed, none
// ran, or a program is missing that is required.
func report(in io.Reader, out io.Writer, required bool) error {
	r := reader{out: out, output: make(map[run][]string)}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text()) // what go itself says
			continue
		}
		r.take(&e)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	slices.Sort(r.skipped)
	for i, line := range r.skipped {
		if i == 0 {
			fmt.Fprintf(out, "skipped %d:\n", len(r.skipped))
		}
		fmt.Fprintln(out, "  "+line)
	}
	switch {
	case len(r.failed) > 0:
		return fmt.Errorf("failed: %s", strings.Join(r.failed, ", "))
	case r.tested == 0:
		return fmt.Errorf("no package was tested")
	case required && len(r.missing) > 0:
		return fmt.Errorf("SPILLWAY_REQUIRED is set, and programs are missing: %s", strings.Join(r.missing, ", "))
	}
	return nil
}

// take handles one event.
func (r *reader) take(e *event) {
	key := run{strings.TrimPrefix(strings.TrimPrefix(e.Package, module), "/"), e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Text)
	case "output":
		r.say(key, e.Text)
	case "pass", "fail", "skip":
		r.end(key, e.Action)
	}
}

// say keeps the output of a test, and prints that of a package: its result and what is outside of tests.
func (r *reader) say(key run, text string) {
	switch {
	case key.test != "":
		r.output[key] = append(r.output[key], text)
	case text != "PASS\n" && text != "FAIL\n" && !framing.MatchString(text):
		fmt.Fprint(r.out, text)
	}
}

// end prints the output of a test that failed, and notes one that was skipped.
func (r *reader) end(key run, action string) {
	output := r.output[key]
	delete(r.output, key)
	switch {
	case key.test == "" && action == "fail":
		r.failed = append(r.failed, key.name())
		r.rest(key.pkg)
	case key.test == "" && action == "pass":
		r.tested++
	case action == "fail":
		for _, line := range output {
			if !framing.MatchString(line) {
				fmt.Fprint(r.out, line)
			}
		}
	case action == "skip" && key.test != "":
		line := key.name() + ": " + reason(output)
		r.skipped = append(r.skipped, line)
		if notInstalled.MatchString(line) {
			r.missing = append(r.missing, key.name())
		}
	}
}

// rest prints the output of tests that had not ended when their package failed, as in a panic.
func (r *reader) rest(pkg string) {
	var open []run
	for key := range r.output {
		if key.pkg == pkg {
			open = append(open, key)
		}
	}
	slices.SortFunc(open, func(a, b run) int { return strings.Compare(a.test, b.test) })
	for _, key := range open {
		fmt.Fprint(r.out, strings.Join(r.output[key], ""))
		delete(r.output, key)
	}
}

// name returns for example internal/heap.TestJVM.
func (k run) name() string {
	switch {
	case k.test == "":
		return k.pkg
	case k.pkg == "":
		return k.test
	}
	return k.pkg + "." + k.test
}

// reason returns the text that a skipped test gave last.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		if !framing.MatchString(line) {
			return strings.TrimSpace(place.ReplaceAllString(line, ""))
		}
	}
	return "no reason"
}
