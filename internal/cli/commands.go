package cli

import (
	"context"
	"fmt"
	"strings"
	"text/template"

	"github.com/alecthomas/kingpin/v2"
)

// defaultConfigFile is read where no flag names a file and this one exists: that of the packages and the image.
const defaultConfigFile = "/etc/spillway/spillway.yml"

// defaultListenAddress is where the exporter serves unless a flag says otherwise.
const defaultListenAddress = ":10042"

// command is one row of the table of commands.
type command struct {
	name string
	help usage
	// declare adds the flags and arguments of the command, and returns what runs it once they are
	// parsed.
	declare func(c *kingpin.CmdClause, e *env) runner
	hidden  bool // for the program itself
}

type runner func(context.Context) error

// commands returns the table, in the order of the help. The first one is run where none is named.
func commands() []command {
	return []command{
		serveCommand, checkCommand, cleanupCommand, journalCommand, reportCommand, evidenceCommand, pauseCommand, resumeCommand, approveCommand, denyCommand, explainCommand, exportCommand, demoCommand, demoServiceCommand,
	}
}

// commandLine is the parser of the command line.
type commandLine struct {
	*kingpin.Application
	env     *env
	runners map[string]runner
}

// newCommandLine makes the parser; explicit says that a command has to be named.
func newCommandLine(o Options, explicit bool) *commandLine {
	k := kingpin.New("spillway_exporter", "Watches the services of a host, publishes how close each is to its memory, heap, cache and temp limits, and relieves the pressure when an alert fires.\n\nWith no arguments it serves on :10042. Nothing is changed unless the configuration says mode: enforce.")
	k.HelpFlag.Short('h')
	k.Version(versionText())
	k.VersionFlag.Short('V')
	k.UsageWriter(o.Stdout)
	k.ErrorWriter(o.Stderr)
	k.UsageTemplate(usageTemplate).UsageFuncs(template.FuncMap{"Plain": plainFlags})
	e := &env{Options: o}
	k.Flag("config.file", "Path of the configuration file. Default "+defaultConfigFile+" when that exists; else, and with an empty value, the largest process groups of this host are watched.").PlaceHolder("FILE").IsSetByUser(&e.configNamed).StringVar(&e.configFile)
	k.Flag("path.procfs", "Mount point of procfs.").Default("/proc").StringVar(&e.host.ProcFS)
	k.Flag("path.sysfs", "Mount point of sysfs.").Default("/sys").StringVar(&e.host.SysFS)
	k.Flag("path.rootfs", "Prefix of the directories in the configuration, where the host's root is mounted elsewhere (containers).").Default("/").StringVar(&e.host.RootFS)
	choose(k.Flag("log.level", "Only log messages of this severity or above: debug, info, warn, error.").Default("info"), &e.logLevel, "debug", "info", "warn", "error")
	choose(k.Flag("log.format", "Form of log messages: logfmt, json.").Default("logfmt"), &e.logFormat, "logfmt", "json")

	c := &commandLine{Application: k, env: e, runners: make(map[string]runner)}
	for i, row := range commands() {
		clause := k.Command(row.name, row.help.summary)
		if row.hidden {
			clause.Hidden()
		} else {
			clause.HelpLong(row.help.long())
		}
		if i == 0 && !explicit {
			clause.Default()
		}
		c.runners[row.name] = row.declare(clause, e)
	}
	return c
}

// parse reads a command line and returns what runs its command. The parser lets the value of a last
// flag be missing where no command is named, as if the flag were not there.
func (c *commandLine) parse(args []string) (runner, error) {
	if len(args) == 2 && args[0] == "help" && c.GetCommand(args[1]) == nil { // the parser would end the process
		return nil, fmt.Errorf("unexpected %s", args[1])
	}
	command, err := c.Parse(args)
	if err != nil || len(args) == 0 {
		return c.runners[command], err
	}
	last := args[len(args)-1]
	for _, f := range c.Model().Flags {
		if last == "--"+f.Name && !f.IsBoolFlag() && (len(args) == 1 || args[len(args)-2] != "--") {
			return nil, fmt.Errorf("expected argument for flag '%s'", last)
		}
	}
	return c.runners[command], nil
}

// completesWord reports whether a shell asks how a word that is not a flag goes on. That word may
// become a command, so the default command must not take it for an argument of its own.
func completesWord(args []string) bool {
	return len(args) > 1 && args[0] == "--completion-bash" && !strings.HasPrefix(args[len(args)-1], "-")
}
