package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/strictyaml"
)

// usage is what --help says about a command in addition to its flags.
type usage struct {
	summary  string      // one line, for the list of commands
	effects  string      // its side effects: what it changes, and what it never does
	examples [][2]string // a command line, and what it gives
}

// long returns what --help prints between the summary and the flags.
func (u usage) long() string {
	var b strings.Builder
	b.WriteString(wrap("Side effects: "+u.effects, 80))
	b.WriteString("\nExamples:\n")
	for _, e := range u.examples {
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

// usageTemplate is the form of --help: what the command is for, its side effects, examples, its own
// flags and then those that all commands have.
const usageTemplate = `{{define "Line" -}}
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
{{range .App.FlattenedCommands}}{{if .Default}}Flags of {{.FullCommand}}, which runs when no command is named:
{{.Flags|FlagsToTwoColumns|Plain|FormatTwoColumns}}
{{end}}{{end -}}
Flags of every command:
{{.App.Flags|FlagsToTwoColumns|Plain|FormatTwoColumns}}
{{end -}}
`

// plainFlags makes the names of switches readable: --json in place of --[no-]json.
func plainFlags(rows [][2]string) [][2]string {
	for i := range rows {
		rows[i][0] = strings.Replace(rows[i][0], "--[no-]", "--", 1)
	}
	return rows
}

// advise says what is wrong with a command line and what to write instead.
func (c *commandLine) advise(args []string, err error) string {
	command := ""
	var flags []string
	model := c.Model()
	for _, f := range model.Flags {
		flags = append(flags, f.Name)
	}
	for _, cmd := range model.Commands {
		if slices.Contains(args, cmd.Name) && command == "" || command == "" && cmd.Default {
			for _, f := range cmd.Flags {
				flags = append(flags, f.Name)
			}
			if !cmd.Default || slices.Contains(args, cmd.Name) {
				command = cmd.Name
			}
		}
	}
	return adviceOn(err.Error(), command, flags)
}

// otherFlags are names that people try, as other programs have them, and the flag that does it here.
var otherFlags = map[string]string{
	"port": "web.listen-address", "listen": "web.listen-address", "addr": "web.listen-address", "config": "config.file", "debug": "log.level", "verbose": "log.level",
	"json": "output", "apply": "enforce", "dryrun": "dry-run",
}

// adviceOn turns what the parser of the command line says into what is wrong and what to write
// instead. command is the one that was named, "" for none; flags are those that it can have.
func adviceOn(message, command string, flags []string) string {
	help := strings.TrimSpace("spillway_exporter "+command) + " --help"
	if flag, ok := strings.CutPrefix(message, "unknown long flag '--"); ok {
		flag = strings.TrimPrefix(strings.TrimSuffix(flag, "'"), "no-")
		name := cmp.Or(command, commands()[0].name)
		near := strictyaml.Nearest(flag, flags)
		if meant := otherFlags[flag]; near == "" && slices.Contains(flags, meant) {
			near = meant
		}
		if near != "" {
			return fmt.Sprintf("unknown flag --%s for %s: did you mean --%s?", flag, name, near)
		}
		return fmt.Sprintf("unknown flag --%s for %s: 'spillway_exporter %s --help' lists them", flag, name, name)
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
		return fmt.Sprintf("unexpected argument %q: '%s' shows what %s takes", word, help, command)
	case ok:
		names := commandNames()
		if near := strictyaml.Nearest(word, names); near != "" {
			return fmt.Sprintf("unknown command %q: did you mean %s?", word, near)
		}
		return fmt.Sprintf("unknown command %q: write one of %s", word, strings.Join(names, ", "))
	case message == "required argument 'pid' not provided":
		return "explain which process? write its number: spillway_exporter explain PID (ps -e lists them)"
	case strings.HasPrefix(message, "-"), strings.HasPrefix(message, "PID: "): // a value that a flag of ours has refused
		return message
	}
	return fmt.Sprintf("%s: '%s' shows how it is written", message, help)
}

// commandNames returns the commands that people run, sorted.
func commandNames() []string {
	var out []string
	for _, c := range commands() {
		if !c.hidden {
			out = append(out, c.name)
		}
	}
	slices.Sort(out)
	return out
}
