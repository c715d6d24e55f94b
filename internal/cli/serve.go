package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/spillway-exporter/spillway_exporter/internal/app"
	"github.com/spillway-exporter/spillway_exporter/internal/web"
)

var serveCommand = command{
	name: "serve",
	help: usage{
		summary: "Serve metrics, the status page and the webhook (the default).",
		effects: "it writes its journal. It changes files, heaps and processes only of targets in mode enforce; the default mode is dry_run. When a reload (SIGHUP, POST /-/reload) finds a mistake, the configuration that is loaded stays.",
		examples: [][2]string{
			{"spillway_exporter", "this host on :10042; without a configuration it only watches"},
			{"spillway_exporter --config.file=spillway.yml", "your services, after 'check' has shown the plan"},
			{"spillway_exporter serve --web.listen-address=127.0.0.1:10042", "for callers of this host only"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner {
		flags := kingpinflag.AddFlags(c, defaultListenAddress)
		telemetryPath := telemetryPathFlag(c)
		return func(ctx context.Context) error {
			return serve(ctx, e, app.Options{
				Roots: e.host, ConfigFile: e.configFile, TelemetryPath: *telemetryPath, Web: flags, ReloadSignal: e.Reload, Now: e.Now,
			})
		}
	},
}

func telemetryPathFlag(c *kingpin.CmdClause) *string {
	return c.Flag("web.telemetry-path", "Path under which to expose metrics.").Default("/metrics").String()
}

func checkTelemetryPath(path string) error {
	if err := web.CheckTelemetryPath(path); err != nil {
		return withCode(ExitConfig, fmt.Errorf("--web.telemetry-path: %w", err))
	}
	return nil
}

// serve runs the exporter until ctx is done.
func serve(ctx context.Context, e *env, o app.Options) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(35) // the heap is small: less of it is worth more than the cycles
	}
	if err := checkTelemetryPath(o.TelemetryPath); err != nil {
		return err
	}
	logger := e.logger(e.logLevel)
	logger.Info("starting spillway_exporter", "version", version.Version, "revision", version.GetRevision())
	a, err := app.New(ctx, o, logger)
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// versionText returns the text of --version: what is known of the build, and no line for what is not. A binary that
// was not built by make knows its version and commit from what Go itself has noted.
func versionText() string {
	var modified string
	if info, ok := debug.ReadBuildInfo(); ok {
		if version.Version == "" {
			version.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.time" && version.BuildDate == "":
				version.BuildDate = s.Value
			case s.Key == "vcs.modified" && s.Value == "true" && version.Revision == "":
				modified = ", with changes that are not committed"
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "spillway_exporter, version %s (revision: %s%s)\n", cmp.Or(version.Version, "unknown"), strings.TrimSuffix(version.GetRevision(), "-modified"), modified)
	for _, row := range [][2]string{
		{"source date", version.BuildDate},
		{"go version", version.GoVersion},
		{"platform", version.GoOS + "/" + version.GoArch},
		{"license", "Apache-2.0"},
		{"home", home},
	} {
		if row[1] != "" {
			fmt.Fprintf(&b, "  %-16s  %s\n", row[0]+":", row[1])
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// home is where the project is.
const home = "https://github.com/spillway-exporter/spillway_exporter"
