package main

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/internal/app"
)

// TestAdvice: a command line that is wrong is told what to write instead.
func TestAdvice(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		cli := newCLI(false)
		_, err := cli.parse(args)
		if err == nil {
			t.Errorf("%q was accepted", args)
			return
		}
		if got := cli.advise(args, err); got != want {
			t.Errorf("%q:\n got %s\nwant %s", args, got, want)
		}
	}
	f(`"chekc" is no command: did you mean check?`, "chekc")
	f(`"chekc" is no command: did you mean check?`, "help", "chekc")
	f(`"version" is no command: write one of check, cleanup, demo, explain, export, journal, serve`, "version")
	f(`"extra" is one argument too many: 'spillway_exporter check --help' shows what check takes`, "check", "extra")
	f("--config.fiel is no flag: did you mean --config.file?", "--config.fiel=x")
	f("--targte is no flag: did you mean --target?", "cleanup", "--targte=x")
	f("--web.listen-addr is no flag of spillway_exporter: 'spillway_exporter --help' lists them", "--web.listen-addr=:1")
	f("--web.listen-addressX is no flag: did you mean --web.listen-address?", "--web.listen-addressX=:1")
	f("--everything is no flag of cleanup: 'spillway_exporter cleanup --help' lists them", "cleanup", "--everything")
	f("--config.file has no value: write --config.file=VALUE", "--config.file")
	f("explain which process? write its number: spillway_exporter explain PID (ps -e shows them)", "explain")
	f(`PID: "abc" is no number above 0: write that of a process (ps -e shows them)`, "explain", "abc")
	f(`--limit: "-1" is no number above 0: write how many records to print, such as 200`, "journal", "--limit=-1")
	f(`--output: "xml" is not known: write table or json`, "journal", "--output=xml")
	f(`--log.level: "loud" is not known: write debug or info or warn or error`, "--log.level=loud")
	f(`--duration: "1" is not a duration: write a number with a unit, such as 30s, 5m, 48h, 2d or 1w`, "demo", "--duration=1")
	f(`--duration: "0" is no time at all: write one such as 60s`, "demo", "--duration=0")
}

func help(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	cli := newCLI(false)
	cli.UsageWriter(&out)
	cli.Terminate(func(int) {})
	cli.Parse(append(args, "--help")) // the help is what is looked at
	return out.String()
}

// TestHelpTeaches: the help of each command says what it changes, has examples that the parser
// takes, and shows its own flags before those of every command.
func TestHelpTeaches(t *testing.T) {
	top := help(t)
	for _, cmd := range newCLI(false).Model().Commands {
		if cmd.Hidden || cmd.Name == "help" {
			continue
		}
		u, known := app.Usages[cmd.Name]
		if !known || len(u.Examples) < 2 {
			t.Errorf("%s has fewer than two examples", cmd.Name)
		}
		if !strings.Contains(top, "\n  "+cmd.Name) {
			t.Errorf("the help does not list %s", cmd.Name)
		}
		text := help(t, cmd.Name)
		changes, examples, common := strings.Index(text, "\nChanges: "), strings.Index(text, "\nExamples:\n"), strings.Index(text, "\nFlags of every command:\n")
		if changes < 0 || examples < changes || common < examples {
			t.Errorf("%s --help has not what it changes, examples and flags in this order:\n%s", cmd.Name, text)
		}
		if own := strings.Index(text, "\nFlags:\n"); len(cmd.Flags) > 0 && (own < examples || own > common) {
			t.Errorf("%s --help: its own flags do not come first:\n%s", cmd.Name, text)
		}
		if strings.Contains(text, "[no-]") {
			t.Errorf("%s --help has switches that are hard to read:\n%s", cmd.Name, text)
		}
		for _, e := range u.Examples {
			line, _, _ := strings.Cut(strings.ReplaceAll(e[0], "$(pgrep -n node)", "1"), " |")
			line, _, _ = strings.Cut(line, " >")
			args := strings.Fields(line)[1:]
			if command, err := newCLI(false).Parse(args); err != nil || command != cmd.Name {
				t.Errorf("%s: the example %q is parsed as %q, %v", cmd.Name, e[0], command, err)
			}
		}
	}
}

// TestTopLevel keeps what was left behind by a trial out of the repository.
func TestTopLevel(t *testing.T) {
	out, err := exec.Command("git", "ls-files").Output()
	if err != nil {
		t.Skipf("not a git work tree: %v", err)
	}
	allowed := []string{
		"go.mod", "go.sum", "main.go", "collector", "rules", "dashboards", "Makefile", "README.md", "internal", "deploy", "docs", "examples",
		"LICENSE", "CHANGELOG.md", "main_test.go", "arch_test.go",
	}
	for name := range strings.Lines(string(out)) {
		top, _, _ := strings.Cut(strings.TrimSpace(name), "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(allowed, top) {
			t.Errorf("%s does not belong to the top level", top)
		}
	}
}
