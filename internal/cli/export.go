package cli

import (
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
	"github.com/spillway-exporter/spillway_exporter/rules"
)

var exportCommand = command{
	name: "export",
	help: usage{
		summary: "Write the alert rules, dashboards and the Prometheus and Alertmanager snippets to a folder.",
		effects: "new files in that folder. A file that is there and differs is never overwritten.",
		examples: [][2]string{
			{"spillway_exporter export /etc/prometheus/spillway", "all bundled files"},
			{"spillway_exporter export --from-process-exporter=/etc/process-exporter.yml >spillway.yml", "targets from what process-exporter watches"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner {
		dir := c.Arg("dir", "The folder; it is made when it does not exist.").String()
		from := c.Flag("from-process-exporter", "Print instead the configuration that watches what this configuration file of process-exporter does.").PlaceHolder("FILE").String()
		return func(context.Context) error {
			switch {
			case *from != "" && *dir != "":
				return withCode(ExitConfig, fmt.Errorf("--from-process-exporter prints to standard output: leave out %s, and redirect it into a file", *dir))
			case *from != "":
				return printImported(e.Stdout, *from)
			}
			return export(e.Stdout, *dir)
		}
	},
}

// printImported prints the configuration that watches what one of process-exporter does.
func printImported(w io.Writer, file string) error {
	text, err := importProcessExporter(file)
	if err != nil {
		return withCode(ExitConfig, err)
	}
	_, err = w.Write(text)
	return err
}

// export writes the bundled files to a folder. A file that is there and differs is an error and
// stays as it is: somebody may have edited it.
func export(w io.Writer, dir string) error {
	if dir == "" {
		return withCode(ExitConfig, errors.New("export to which folder? write: spillway_exporter export DIR"))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	for _, from := range []embed.FS{rules.FS, dashboards.FS, nodeagent.FS} {
		names, err := fs.Glob(from, "*")
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := exportFile(w, dir, from, name); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(w, "\nload %s in Prometheus (rule_files), merge prometheus.yml and alertmanager.yml (alertmanager-before-0.31.yml for older ones) into your own, import the dashboards into Grafana; start a Node.js service with --require=%s where its heap is to be read without a debug port\n", rules.Bundle, filepath.Join(dir, nodeagent.Script))
	return nil
}

func exportFile(w io.Writer, dir string, from embed.FS, name string) error {
	text, err := from.ReadFile(name)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if old, err := os.ReadFile(path); err == nil {
		if string(old) == string(text) {
			fmt.Fprintf(w, "unchanged  %s\n", path)
			return nil
		}
		return fmt.Errorf("%s is there and differs from the bundled file: move it away, or export to another folder", path)
	}
	if err := writeFile(path, text); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	fmt.Fprintf(w, "wrote      %s\n", path)
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
