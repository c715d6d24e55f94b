// Command spillway_exporter watches the services of a host, publishes how near each is to its
// limit, and relieves the pressure when an alert fires. This file parses flags, turns signals
// into a context and returns the exit code; everything else is wired in internal/app.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

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
	command, err := cli.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "spillway_exporter: %v\nrun 'spillway_exporter --help' for the commands and their flags\n", err)
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
	c := &commandLine{Application: k}
	o := &c.opts
	targets := func() []string { return app.TargetNames(o.ConfigFile) } // for the completion of a shell

	k.Flag("config.file", "Path of the configuration file. Without one the largest process groups of this host are observed.").StringVar(&o.ConfigFile)
	k.Flag("path.procfs", "Mount point of procfs.").Default("/proc").StringVar(&o.ProcFS)
	k.Flag("path.sysfs", "Mount point of sysfs.").Default("/sys").StringVar(&o.SysFS)
	k.Flag("path.rootfs", "Prefix of the directories in the configuration, where the host's root is mounted elsewhere (containers).").Default("/").StringVar(&o.RootFS)
	k.Flag("log.level", "Only log messages of this severity or above: debug, info, warn, error.").Default("info").EnumVar(&o.LogLevel, "debug", "info", "warn", "error")
	k.Flag("log.format", "Form of log messages: logfmt, json.").Default("logfmt").EnumVar(&o.LogFormat, "logfmt", "json")

	serve := k.Command(app.CommandServe, "Serve metrics, the status page and the webhook (the default).")
	if !explicit {
		serve.Default()
	}
	o.Web = kingpinflag.AddFlags(serve, app.DefaultListenAddress)
	serve.Flag("web.telemetry-path", "Path under which to expose metrics.").Default("/metrics").StringVar(&o.TelemetryPath)

	check := k.Command(app.CommandCheck, "Check the configuration and the rules, and print what each target matches and what would be cleaned now. Changes nothing.")
	c.checkWeb = kingpinflag.AddFlags(check, app.DefaultListenAddress)
	check.Flag("json", "Print JSON.").BoolVar(&o.JSON)

	cleanup := k.Command(app.CommandCleanup, "Apply the directory policies now, once, without a server.")
	cleanup.Flag("target", "Only this target. Repeatable.").HintAction(targets).StringsVar(&o.Cleanup.Targets)
	cleanup.Flag("policy", "Only the policies with this name.").StringVar(&o.Cleanup.Policy)
	cleanup.Flag("dry-run", "Only say what would be removed, whatever the configuration's mode is.").BoolVar(&o.Cleanup.DryRun)
	cleanup.Flag("enforce", "Remove, whatever the configuration's mode is.").BoolVar(&o.Cleanup.Enforce)
	cleanup.Flag("force", "Go on although a policy would remove more than its max_remove_fraction.").BoolVar(&o.Cleanup.Force)
	cleanup.Flag("files", "Name each file that is removed, or would be.").BoolVar(&o.Cleanup.Files)
	cleanup.Flag("json", "Print one JSON object per policy.").BoolVar(&o.JSON)

	jour := k.Command(app.CommandJournal, "Print the journal: what was done, why, and what it brought.")
	jour.Flag("since", "Only records of this last span of time, such as 24h or 7d.").Default("24h").StringVar(&o.Journal.Since)
	jour.Flag("target", "Only this target.").HintAction(targets).StringVar(&o.Journal.Target)
	jour.Flag("limit", "At most this many records.").Default("200").IntVar(&o.Journal.Limit)
	jour.Flag("output", "Form of the output: table, json.").Default("table").EnumVar(&o.Journal.Output, "table", "json")

	explain := k.Command(app.CommandExplain, "Say which target a process belongs to, and why.")
	explain.Arg("pid", "The process.").Required().IntVar(&o.PID)

	export := k.Command(app.CommandExport, "Write the alert rules, dashboards and the Prometheus and Alertmanager snippets to a folder.")
	export.Arg("dir", "The folder; it is made when it does not exist.").StringVar(&o.ExportDir)
	export.Flag("from-process-exporter", "Print instead the configuration that watches what this configuration file of process-exporter does.").PlaceHolder("FILE").StringVar(&o.FromProcessExporter)

	demo := k.Command(app.CommandDemo, "Start a leaking service in a temporary folder and show the whole loop in a minute.")
	demo.Flag("duration", "How long the demo runs.").Default("60s").DurationVar(&o.Demo.Duration)
	demo.Flag("web.listen-address", "Address of the demo's page.").Default("127.0.0.1:0").StringVar(&o.Demo.Address)

	leak := k.Command(app.CommandDemoService, "The leaking service of the demo.").Hidden()
	leak.Flag("dir", "Folder to fill.").Required().StringVar(&o.Demo.ServiceDir)
	return c
}
