package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/cli.md")

const (
	referenceDoc   = "../../docs/cli.md"
	referenceBegin = "<!-- commands -->\n"
	referenceEnd   = "<!-- end of commands -->\n"
)

// TestReference fails when docs/cli.md is not what the flags say; go test ./internal/cli -run TestReference -update writes it.
func TestReference(t *testing.T) {
	raw, err := os.ReadFile(referenceDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), referenceBegin)
	_, after, ended := strings.Cut(rest, referenceEnd)
	if !ok || !ended {
		t.Fatalf("%s has no marks %q and %q", referenceDoc, referenceBegin, referenceEnd)
	}
	want := before + referenceBegin + reference() + referenceEnd + after
	if *update {
		if err := os.WriteFile(referenceDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("%s is stale, run go test ./internal/cli -run TestReference -update (-want +have):\n%s", referenceDoc, diff)
	}
	for code, constant := range map[int]string{0: "done", ExitFailure: "failed", ExitConfig: "wrong", ExitPartial: "part", ExitLocked: "journal"} {
		if _, line, ok := strings.Cut(string(raw), fmt.Sprintf("\n| %d | ", code)); !ok || !strings.Contains(strings.SplitN(line, "\n", 2)[0], constant) {
			t.Errorf("the exit code %d is not described", code)
		}
	}
}

// reference is what the flags say, as Markdown.
func reference() string {
	var b bytes.Buffer
	model := newCommandLine(Options{}, false).Model()
	for _, row := range commands() {
		if row.hidden {
			continue
		}
		var clause *kingpin.CmdModel
		for _, c := range model.Commands {
			if c.Name == row.name {
				clause = c
			}
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\nSide effects: %s\n\n", row.name, row.help.summary, row.help.effects)
		b.WriteString("```sh\n")
		for _, e := range row.help.examples {
			fmt.Fprintf(&b, "%s   # %s\n", e[0], e[1])
		}
		b.WriteString("```\n")
		if len(clause.Args)+len(clause.Flags) > 0 {
			b.WriteString("\n| argument or flag | default | meaning |\n|---|---|---|\n")
		}
		for _, a := range clause.Args {
			flagRow(&b, "<"+a.Name+">", a.Default, a.Help)
		}
		flagRows(&b, clause.Flags)
	}
	b.WriteString("\n## Flags of every command\n\n| flag | default | meaning |\n|---|---|---|\n")
	flagRows(&b, model.Flags)
	return b.String()
}

func flagRows(b *bytes.Buffer, flags []*kingpin.FlagModel) {
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		name := "--" + f.Name
		if !f.IsBoolFlag() {
			name += "=" + strings.Trim(strings.SplitN(f.FormatPlaceHolder(), " ", 2)[0], `"`)
			if len(f.Default) > 0 || f.PlaceHolder == "" {
				name = "--" + f.Name + "=" + placeholder(f)
			}
		}
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", " + name
		}
		flagRow(b, name, f.Default, f.Help)
	}
}

func placeholder(f *kingpin.FlagModel) string {
	if f.PlaceHolder != "" {
		return f.PlaceHolder
	}
	return strings.ToUpper(f.Name[strings.LastIndexAny(f.Name, ".-")+1:])
}

func flagRow(b *bytes.Buffer, name string, fallback []string, meaning string) {
	shown := "-"
	if text := strings.Join(fallback, " "); text != "" && text != "false" {
		shown = "`" + text + "`"
	}
	fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, shown, strings.ReplaceAll(meaning, "|", `\|`))
}
