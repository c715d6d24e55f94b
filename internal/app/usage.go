package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/strictyaml"
)

// Usage is what --help says about a command beside its flags.
type Usage struct {
	Summary  string      // one line, for the list of commands
	Changes  string      // what it changes, and what it never does
	Examples [][2]string // a command line, and what it gives
}

// Usages are those of the commands that people call.
var Usages = map[string]Usage{
	CommandServe: {
		Summary: "Serve metrics, the status page and the webhook (the default).",
		Changes: "its journal. Files, heaps and processes only of targets in mode enforce; the default mode is dry_run. A reload (SIGHUP, POST /-/reload) never takes a bad configuration.",
		Examples: [][2]string{
			{"spillway_exporter", "this host on :10042, with no configuration: it only looks"},
			{"spillway_exporter --config.file=spillway.yml", "your services, after 'check' has shown the plan"},
			{"spillway_exporter serve --web.listen-address=127.0.0.1:10042", "for callers of this host only"},
		},
	},
	CommandCheck: {
		Summary: "Check the configuration and the rules, and print the plan: what each target matches and what would be cleaned now.",
		Changes: "nothing. It listens nowhere, opens no heap and no journal. Exit code 2 says that serve would refuse the same configuration and flags.",
		Examples: [][2]string{
			{"spillway_exporter check --config.file=spillway.yml", "the plan"},
			{"spillway_exporter check --json --config.file=spillway.yml | jq '.targets[].cleanup'", "the same for programs"},
			{"spillway_exporter check", "what is shown of this host without a configuration"},
		},
	},
	CommandCleanup: {
		Summary: "Apply the directory policies now, once, without a server.",
		Changes: "the files of targets in mode enforce, or of all with --enforce; nothing with --dry-run. What was removed is in the journal first. Exit code 3 says that a part of it could not be done.",
		Examples: [][2]string{
			{"spillway_exporter cleanup --dry-run --files --config.file=spillway.yml", "every file that would go, and why"},
			{"spillway_exporter cleanup --enforce --target=orchestrator --config.file=spillway.yml", "remove now, for one target"},
			{"spillway_exporter cleanup --enforce --policy=tts --json --config.file=spillway.yml", "for a timer: one JSON object per policy"},
		},
	},
	CommandJournal: {
		Summary: "Print the journal: what was done, why, and what it brought.",
		Changes: "nothing. It works beside a running exporter.",
		Examples: [][2]string{
			{"spillway_exporter journal --config.file=spillway.yml", "the last day"},
			{"spillway_exporter journal --since=7d --target=orchestrator --config.file=spillway.yml", "a week of one target"},
			{"spillway_exporter journal --output=json --config.file=spillway.yml | jq 'select(.outcome != \"done\")'", "one JSON object per record"},
		},
	},
	CommandExplain: {
		Summary: "Say which target a process belongs to, and why.",
		Changes: "nothing. It reads about this one process and its ancestors.",
		Examples: [][2]string{
			{"spillway_exporter explain 4711 --config.file=spillway.yml", "which condition held, and which did not"},
			{"spillway_exporter explain $(pgrep -n node) --json --config.file=spillway.yml", "the newest node, for programs"},
		},
	},
	CommandExport: {
		Summary: "Write the alert rules, dashboards and the Prometheus and Alertmanager snippets to a folder.",
		Changes: "new files in that folder. A file that is there and differs is never overwritten.",
		Examples: [][2]string{
			{"spillway_exporter export /etc/prometheus/spillway", "all bundled files"},
			{"spillway_exporter export --from-process-exporter=/etc/process-exporter.yml >spillway.yml", "targets from what process-exporter watches"},
		},
	},
	CommandDemo: {
		Summary: "Start a leaking service in a temporary folder and show the whole loop in a minute.",
		Changes: "only what it has made itself: a folder below the temporary folder, which it removes, and the service, which it ends.",
		Examples: [][2]string{
			{"spillway_exporter demo", "a minute; the address of its page is printed"},
			{"spillway_exporter demo --duration=5m --web.listen-address=127.0.0.1:10050", "longer, at a known address"},
		},
	},
}

// Long returns what --help prints between the summary and the flags.
func (u Usage) Long() string {
	var b strings.Builder
	b.WriteString(wrap("Changes: "+u.Changes, 80))
	b.WriteString("\nExamples:\n")
	for _, e := range u.Examples {
		fmt.Fprintf(&b, "  %s\n      %s\n", e[0], e[1])
	}
	return b.String()
}

func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		if column > 0 && column+1+len(word) > width {
			b.WriteByte('\n')
			column = 0
		}
		if column > 0 {
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteByte('\n')
	return b.String()
}

// UsageTemplate is the form of --help: what the command is for, what it changes, examples, its own
// flags and then those that all commands have.
const UsageTemplate = `{{define "Line" -}}
{{range .Args}} {{if not .Required}}[{{end}}{{if .PlaceHolder}}{{.PlaceHolder}}{{else}}<{{.Name}}>{{end}}{{if not .Required}}]{{end}}{{end -}}
{{end -}}
{{if .Context.SelectedCommand -}}
usage: {{.App.Name}} {{.Context.SelectedCommand}} [<flags>]{{template "Line" .Context.SelectedCommand}}

{{.Context.SelectedCommand.Help|Wrap 0}}
{{.Context.SelectedCommand.HelpLong}}
{{if .Context.SelectedCommand.Args -}}
Arguments:
{{.Context.SelectedCommand.Args|ArgsToTwoColumns|FormatTwoColumns}}
{{end -}}
{{if .Context.SelectedCommand.Flags -}}
Flags:
{{.Context.SelectedCommand.Flags|FlagsToTwoColumns|Plain|FormatTwoColumns}}
{{end -}}
Flags of every command:
{{.App.Flags|FlagsToTwoColumns|Plain|FormatTwoColumns}}
{{else -}}
usage: {{.App.Name}} [<command>] [<flags>]

{{.App.Help|Wrap 0}}
Commands, each with examples under --help:
{{range .App.FlattenedCommands}}{{if and (not .Hidden) (ne .FullCommand "help")}}  {{.FullCommand}}{{template "Line" .}}
{{.Help|Wrap 6}}{{end}}{{end}}
Flags of every command:
{{.App.Flags|FlagsToTwoColumns|Plain|FormatTwoColumns}}
{{end -}}
`

// PlainFlags makes the names of switches readable: --json in place of --[no-]json.
func PlainFlags(rows [][2]string) [][2]string {
	for i := range rows {
		rows[i][0] = strings.Replace(rows[i][0], "--[no-]", "--", 1)
	}
	return rows
}

// Advise turns what the parser of the command line says into what is wrong and what to write
// instead. command is the one that was named, "" for none; flags are those that it can have.
func Advise(message, command string, flags []string) string {
	commands := slices.Sorted(func(yield func(string) bool) {
		for name := range Usages {
			if !yield(name) {
				return
			}
		}
	})
	if flag, ok := strings.CutPrefix(message, "unknown long flag '--"); ok {
		flag = strings.TrimPrefix(strings.TrimSuffix(flag, "'"), "no-")
		if near := strictyaml.Nearest(flag, flags); near != "" {
			return fmt.Sprintf("--%s is no flag: did you mean --%s?", flag, near)
		}
		return fmt.Sprintf("--%s is no flag of %s: '%s --help' lists them", flag, orSelf(command), helpOf(command))
	}
	if flag, ok := strings.CutPrefix(message, "expected argument for flag '"); ok {
		flag = strings.TrimSuffix(flag, "'")
		return fmt.Sprintf("%s has no value: write %s=VALUE", flag, flag)
	}
	word, ok := strings.CutPrefix(message, "unexpected ")
	if !ok {
		word, ok = strings.CutPrefix(message, "expected command but got ")
		word = strings.Trim(word, `"`)
	}
	switch {
	case ok && command != "":
		return fmt.Sprintf("%q is one argument too many: '%s --help' shows what %s takes", word, helpOf(command), command)
	case ok:
		if near := strictyaml.Nearest(word, commands); near != "" {
			return fmt.Sprintf("%q is no command: did you mean %s?", word, near)
		}
		return fmt.Sprintf("%q is no command: write one of %s", word, strings.Join(commands, ", "))
	case message == "required argument 'pid' not provided":
		return "explain which process? write its number: spillway_exporter explain PID (ps -e shows them)"
	case strings.HasPrefix(message, "-"), strings.HasPrefix(message, "PID: "): // a value that a flag of ours has refused
		return message
	}
	return fmt.Sprintf("%s: '%s --help' shows how it is written", message, helpOf(command))
}

func orSelf(command string) string {
	if command == "" {
		return "spillway_exporter"
	}
	return command
}

func helpOf(command string) string { return strings.TrimSpace("spillway_exporter " + command) }
