package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestAdvice: the error of a wrong command line says what to write instead.
func TestAdvice(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		line := newCommandLine(Options{}, false)
		_, err := line.parse(args)
		if err == nil {
			t.Errorf("%q was accepted", args)
			return
		}
		if got := line.advise(args, err); got != want {
			t.Errorf("%q:\n got %s\nwant %s", args, got, want)
		}
	}
	f(`unknown command "chekc": did you mean check?`, "chekc")
	f(`unknown command "chekc": did you mean check?`, "help", "chekc")
	f(`unknown command "version": write one of approve, check, cleanup, demo, deny, evidence, explain, export, journal, pause, report, resume, serve`, "version")
	f(`unexpected argument "extra": 'spillway_exporter check --help' shows what check takes`, "check", "extra")
	f("unknown flag --config.fiel for serve: did you mean --config.file?", "--config.fiel=x")
	f("unknown flag --targte for cleanup: did you mean --target?", "cleanup", "--targte=x")
	f("unknown flag --web.listen-addr for serve: 'spillway_exporter serve --help' lists them", "--web.listen-addr=:1")
	f("unknown flag --web.listen-addressX for serve: did you mean --web.listen-address?", "--web.listen-addressX=:1")
	f("unknown flag --port for serve: did you mean --web.listen-address?", "--port=80")
	f("unknown flag --everything for cleanup: 'spillway_exporter cleanup --help' lists them", "cleanup", "--everything")
	f("--config.file has no value: write --config.file=VALUE", "--config.file")
	f("explain which process? write its number: spillway_exporter explain PID (ps -e lists them)", "explain")
	f(`PID: "abc" is not a number above 0: write that of a process (ps -e lists them)`, "explain", "abc")
	f(`--limit: "-1" is not a number above 0: write how many records to print, such as 200`, "journal", "--limit=-1")
	f(`--output: unknown value "xml": use table or json`, "journal", "--output=xml")
	f(`--log.level: unknown value "loud": use debug or info or warn or error`, "--log.level=loud")
	f(`--duration: "1" is not a duration: write a number with a unit, such as 30s, 5m, 48h, 2d or 1w`, "demo", "--duration=1")
	f(`--duration: "0" must be greater than zero, for example 60s`, "demo", "--duration=0")
}

func help(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	line := newCommandLine(Options{}, false)
	line.UsageWriter(&out)
	line.Terminate(func(int) {})
	line.Parse(append(args, "--help")) // the help is what is looked at
	return out.String()
}

// TestHelpTeaches: the help of each command names its side effects, has examples that the parser
// takes, and shows its own flags before those of every command.
func TestHelpTeaches(t *testing.T) {
	top := help(t)
	for _, cmd := range newCommandLine(Options{}, false).Model().Commands {
		if cmd.Hidden || cmd.Name == "help" {
			continue
		}
		u := commands()[slices.IndexFunc(commands(), func(c command) bool { return c.name == cmd.Name })].help
		if len(u.examples) < 2 {
			t.Errorf("%s has fewer than two examples", cmd.Name)
		}
		if !strings.Contains(top, "\n  "+cmd.Name) {
			t.Errorf("the help does not list %s", cmd.Name)
		}
		text := help(t, cmd.Name)
		effects, examples, common := strings.Index(text, "\nSide effects: "), strings.Index(text, "\nExamples:\n"), strings.Index(text, "\nFlags of every command:\n")
		if effects < 0 || examples < effects || common < examples {
			t.Errorf("%s --help does not have its side effects, examples and flags in this order:\n%s", cmd.Name, text)
		}
		if own := strings.Index(text, "\nFlags:\n"); len(cmd.Flags) > 0 && (own < examples || own > common) {
			t.Errorf("%s --help: its own flags do not come first:\n%s", cmd.Name, text)
		}
		if strings.Contains(text, "[no-]") {
			t.Errorf("%s --help has switches that are hard to read:\n%s", cmd.Name, text)
		}
		for _, e := range u.examples {
			line, _, _ := strings.Cut(strings.ReplaceAll(e[0], "$(pgrep -n node)", "1"), " |")
			line, _, _ = strings.Cut(line, " >")
			args := strings.Fields(line)[1:]
			if command, err := newCommandLine(Options{}, false).Parse(args); err != nil || command != cmd.Name {
				t.Errorf("%s: the example %q is parsed as %q, %v", cmd.Name, e[0], command, err)
			}
		}
	}
}
