// Command spillway_exporter watches the services of a host, publishes how near each is to its
// limit, and relieves the pressure when an alert fires. This file parses flags, turns signals
// into a context and returns the exit code; everything else is wired in internal/app.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/template"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/spillway-exporter/spillway_exporter/internal/app"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	cli := newCLI(completesWord(args))
	command, err := cli.parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "spillway_exporter: %s\n", cli.advise(args, err))
		return app.ExitConfig
	}
	if command == app.CommandCheck {
		cli.opts.Web = cli.checkWeb
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cli.opts.Stdout, cli.opts.Stderr = os.Stdout, os.Stderr
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	cli.opts.ReloadSignal = reload
	return app.Main(ctx, command, cli.opts)
}

// commandLine is the parsed command line.
type commandLine struct {
	*kingpin.Application
	opts     app.Options
	checkWeb *web.FlagConfig // of check, which refuses what serve would with the same flags
}

// parse reads a command line. The parser lets the value of a last flag be missing where no command
// is named, as if the flag were not there.
func (c *commandLine) parse(args []string) (string, error) {
	if len(args) == 2 && args[0] == "help" && c.GetCommand(args[1]) == nil { // the parser would end the process
		return "", fmt.Errorf("unexpected %s", args[1])
	}
	command, err := c.Parse(args)
	if err != nil || len(args) == 0 {
		return command, err
	}
	last := args[len(args)-1]
	for _, f := range c.Model().Flags {
		if last == "--"+f.Name && !f.IsBoolFlag() && (len(args) == 1 || args[len(args)-2] != "--") {
			return "", fmt.Errorf("expected argument for flag '%s'", last)
		}
	}
	return command, nil
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
	return app.Advise(err.Error(), command, flags)
}

// completesWord reports whether a shell asks how a word that is no flag goes on. That word may
// become a command, so the default command must not take it for an argument of its own.
func completesWord(args []string) bool {
	return len(args) > 1 && args[0] == "--completion-bash" && !strings.HasPrefix(args[len(args)-1], "-")
}

// newCLI makes the command line; explicit says that a command has to be named.
func newCLI(explicit bool) *commandLine {
	k := kingpin.New("spillway_exporter", "Watches the services of a host, publishes how near each is to its memory, heap, cache and temp limits, and relieves the pressure when an alert fires.\n\nWith no arguments it serves on :10042 with embedded defaults and changes nothing (dry run).")
	k.HelpFlag.Short('h')
	k.Version(app.Version())
	k.VersionFlag.Short('V')
	k.UsageWriter(os.Stdout)
	k.ErrorWriter(os.Stderr)
	k.UsageTemplate(app.UsageTemplate).UsageFuncs(template.FuncMap{"Plain": app.PlainFlags})
	c := &commandLine{Application: k}
	o := &c.opts
	targets := func() []string { return app.TargetNames(o.ConfigFile) } // for the completion of a shell
	command := func(name string) *kingpin.CmdClause {
		u := app.Usages[name]
		return k.Command(name, u.Summary).HelpLong(u.Long())
	}
	choice := func(f *kingpin.FlagClause, into *string, of ...string) {
		f.HintOptions(of...).SetValue(app.Choice{Flag: f.Model().Name, Into: into, Of: of})
	}

	k.Flag("config.file", "Path of the configuration file. Without one the largest process groups of this host are observed.").PlaceHolder("FILE").StringVar(&o.ConfigFile)
	k.Flag("path.procfs", "Mount point of procfs.").Default("/proc").StringVar(&o.ProcFS)
	k.Flag("path.sysfs", "Mount point of sysfs.").Default("/sys").StringVar(&o.SysFS)
	k.Flag("path.rootfs", "Prefix of the directories in the configuration, where the host's root is mounted elsewhere (containers).").Default("/").StringVar(&o.RootFS)
	choice(k.Flag("log.level", "Only log messages of this severity or above: debug, info, warn, error.").Default("info"), &o.LogLevel, "debug", "info", "warn", "error")
	choice(k.Flag("log.format", "Form of log messages: logfmt, json.").Default("logfmt"), &o.LogFormat, "logfmt", "json")

	serve := command(app.CommandServe)
	if !explicit {
		serve.Default()
	}
	o.Web = kingpinflag.AddFlags(serve, app.DefaultListenAddress)
	serve.Flag("web.telemetry-path", "Path under which to expose metrics.").Default("/metrics").StringVar(&o.TelemetryPath)

	check := command(app.CommandCheck)
	c.checkWeb = kingpinflag.AddFlags(check, app.DefaultListenAddress)
	check.Flag("json", "Print JSON.").BoolVar(&o.JSON)

	cleanup := command(app.CommandCleanup)
	cleanup.Flag("target", "Only this target. Repeatable.").PlaceHolder("NAME").HintAction(targets).StringsVar(&o.Cleanup.Targets)
	cleanup.Flag("policy", "Only the policies with this name.").PlaceHolder("NAME").StringVar(&o.Cleanup.Policy)
	cleanup.Flag("dry-run", "Only say what would be removed, whatever the configuration's mode is.").BoolVar(&o.Cleanup.DryRun)
	cleanup.Flag("enforce", "Remove, whatever the configuration's mode is.").BoolVar(&o.Cleanup.Enforce)
	cleanup.Flag("force", "Go on although a policy would remove more than its max_remove_fraction.").BoolVar(&o.Cleanup.Force)
	cleanup.Flag("files", "Name each file that is removed, or would be.").BoolVar(&o.Cleanup.Files)
	cleanup.Flag("json", "Print one JSON object per policy.").BoolVar(&o.JSON)

	jour := command(app.CommandJournal)
	jour.Flag("since", "Only records of this last span of time, such as 24h or 7d.").Default("24h").StringVar(&o.Journal.Since)
	jour.Flag("target", "Only this target.").PlaceHolder("NAME").HintAction(targets).StringVar(&o.Journal.Target)
	jour.Flag("limit", "At most this many records, the newest.").Default("200").SetValue(app.Number{Name: "--limit", Into: &o.Journal.Limit, Hint: "how many records to print, such as 200"})
	choice(jour.Flag("output", "Form of the output: table, json.").Default("table"), &o.Journal.Output, "table", "json")

	explain := command(app.CommandExplain)
	explain.Arg("pid", "The process.").Required().SetValue(app.Number{Name: "PID", Into: &o.PID, Hint: "that of a process (ps -e shows them)"})
	explain.Flag("json", "Print JSON.").BoolVar(&o.JSON)

	export := command(app.CommandExport)
	export.Arg("dir", "The folder; it is made when it does not exist.").StringVar(&o.ExportDir)
	export.Flag("from-process-exporter", "Print instead the configuration that watches what this configuration file of process-exporter does.").PlaceHolder("FILE").StringVar(&o.FromProcessExporter)

	demo := command(app.CommandDemo)
	demo.Flag("duration", "How long the demo runs.").Default("60s").SetValue(app.Span{Flag: "duration", Into: &o.Demo.Duration})
	demo.Flag("web.listen-address", "Address of the demo's page.").Default("127.0.0.1:0").StringVar(&o.Demo.Address)

	leak := k.Command(app.CommandDemoService, "The leaking service of the demo.").Hidden()
	leak.Flag("dir", "Folder to fill.").Required().StringVar(&o.Demo.ServiceDir)
	return c
}
