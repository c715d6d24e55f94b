package cli

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/alecthomas/kingpin/v2"

	"github.com/spillway-exporter/spillway_exporter/dashboards"
	nodeagent "github.com/spillway-exporter/spillway_exporter/deploy/node-agent"
	pythonagent "github.com/spillway-exporter/spillway_exporter/deploy/python-agent"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/convert"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/rules"
)

var exportCommand = command{
	name: "export",
	help: usage{
		summary: "Write the alert rules, dashboards and the Prometheus and Alertmanager snippets to a folder.",
		effects: "new files in that folder. A file that exists and differs is overwritten only with --force.",
		examples: [][2]string{
			{"spillway_exporter export /etc/prometheus/spillway", "all bundled files"},
			{"spillway_exporter export --force /etc/prometheus/spillway", "the same after an upgrade, over those of the previous version"},
			{"spillway_exporter export --from-process-exporter=/etc/process-exporter.yml >spillway.yml", "targets from what process-exporter watches"},
			{"spillway_exporter export --from-tmpfiles=/etc/tmpfiles.d/app.conf", "policies for what systemd-tmpfiles cleans"},
			{"spillway_exporter export --from-logrotate=/etc/logrotate.d/app", "policies for the logs that logrotate rotates"},
			{"spillway_exporter export --polkit app.service >50-spillway.rules", "the right to restart these units, for polkit"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner {
		dir := c.Arg("dir", "The folder; it is created if it does not exist.").String()
		force := c.Flag("force", "Overwrite files that exist and differ, including your own changes to them.").Bool()
		from := make(map[string]*string)
		for _, i := range imports {
			from[i.flag] = c.Flag(i.flag, i.help).PlaceHolder("FILE").String()
		}
		units := c.Flag("polkit", "Print instead the polkit rule that allows a restart of this unit of systemd, and of nothing else. Repeatable.").PlaceHolder("UNIT").Strings()
		user := c.Flag("polkit-user", "The user whom the rule of --polkit allows to restart it.").Default(defaultPolkitUser).String()
		return func(context.Context) error {
			if len(*units) > 0 {
				return exportPolkit(e.Stdout, *dir, *user, *units)
			}
			var chosen []imported
			for _, i := range imports {
				if *from[i.flag] != "" {
					chosen = append(chosen, i)
				}
			}
			switch {
			case len(chosen) > 1:
				return withCode(ExitConfig, fmt.Errorf("--%s and --%s are two files: write one, and the other in a second command", chosen[0].flag, chosen[1].flag))
			case len(chosen) == 1 && *dir != "":
				return withCode(ExitConfig, fmt.Errorf("--%s prints to standard output: leave out %s, and redirect it into a file", chosen[0].flag, *dir))
			case len(chosen) == 1:
				return printImported(e.Stdout, *from[chosen[0].flag], chosen[0].convert)
			}
			return export(e.Stdout, *dir, *force)
		}
	},
}

// imported is a flag that prints a configuration made from the file of another program.
type imported struct {
	flag, help string
	convert    func(file string) ([]byte, error)
}

var imports = []imported{
	{"from-process-exporter", "Print instead the configuration that watches what this configuration file of process-exporter does.", importProcessExporter},
	{"from-tmpfiles", "Print instead policies for what systemd-tmpfiles cleans by this file of tmpfiles.d, and a comment for each line that has no counterpart.", importPolicies(convert.Tmpfiles)},
	{"from-logrotate", "Print instead policies for the logs that logrotate rotates by this file and what it includes, and a comment for what has no counterpart.", importPolicies(convert.Logrotate)},
}

// importPolicies reads the file of another program and returns our configuration, which has been checked.
// What comes with an error is to be shown all the same.
func importPolicies(from func(file string, raw []byte) ([]byte, error)) func(file string) ([]byte, error) {
	return func(file string) ([]byte, error) {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		text, err := from(file, raw)
		if err != nil {
			return text, fmt.Errorf("%s: %w", file, err)
		}
		if _, err := config.Parse("the result", text); err != nil {
			return text, fmt.Errorf("%s cannot be converted as it is: fix these and try again:\n%w", file, err)
		}
		return text, nil
	}
}

// printImported prints the configuration that is made from the file of another program.
func printImported(w io.Writer, file string, from func(file string) ([]byte, error)) error {
	text, err := from(file)
	if err != nil {
		err = withCode(ExitConfig, err)
	}
	_, writeErr := w.Write(text)
	return cmp.Or(err, writeErr)
}

// export writes the bundled files to a folder. A file that is there and differs is an error and
// stays as it is, since it may have been edited by hand; force replaces it.
func export(w io.Writer, dir string, force bool) error {
	if dir == "" {
		return withCode(ExitConfig, errors.New("export to which folder? write: spillway_exporter export DIR"))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	for _, from := range []embed.FS{rules.FS, dashboards.FS, nodeagent.FS, pythonagent.FS} {
		err := fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil || name == ".":
				return err
			case d.IsDir():
				return os.MkdirAll(filepath.Join(dir, name), 0o755)
			}
			return exportFile(w, dir, from, name, force)
		})
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	fmt.Fprintf(w, "\nload %s in Prometheus (rule_files), merge prometheus.yml and alertmanager.yml (alertmanager-before-0.31.yml for older ones) into your own, import the dashboards into Grafana; start a Node.js service with --require=%s, and a Python service with PYTHONPATH=%s, where its heap is to be read without a port\n", rules.Bundle, filepath.Join(dir, nodeagent.Script), filepath.Join(dir, pythonagent.Dir))
	return nil
}

func exportFile(w io.Writer, dir string, from embed.FS, name string, force bool) error {
	text, err := from.ReadFile(name)
	if err != nil {
		return err
	}
	path, verb, write := filepath.Join(dir, name), "wrote", writeFile
	if old, err := os.ReadFile(path); err == nil {
		switch {
		case string(old) == string(text):
			fmt.Fprintf(w, "unchanged  %s\n", path)
			return nil
		case !force:
			return fmt.Errorf("%s is there and differs from the bundled file: move it away, export to another folder, or overwrite it with --force", path)
		}
		verb, write = "replaced", safefs.ReplaceFile
	}
	if err := write(path, text); err != nil {
		return err
	}
	fmt.Fprintf(w, "%-9s  %s\n", verb, path)
	return nil
}

// writeFile makes a new file, synced, and never replaces one.
func writeFile(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
