package app

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spillway-exporter/spillway_exporter/dashboards"
	nodeagent "github.com/spillway-exporter/spillway_exporter/deploy/node-agent"
	"github.com/spillway-exporter/spillway_exporter/rules"
)

// export writes the bundled files to a folder. A file that is there and differs is an error and
// is left as it is: somebody may have edited it.
func export(_ context.Context, o Options) error {
	if o.FromProcessExporter != "" {
		text, err := importProcessExporter(o.FromProcessExporter)
		if err != nil {
			return withCode(ExitConfig, err)
		}
		_, err = o.Stdout.Write(text)
		return err
	}
	if o.ExportDir == "" {
		return withCode(ExitConfig, errors.New("export to which folder? write: spillway_exporter export DIR"))
	}
	if err := os.MkdirAll(o.ExportDir, 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	for _, from := range []embed.FS{rules.FS, dashboards.FS, nodeagent.FS} {
		names, err := fs.Glob(from, "*")
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := exportFile(&o, from, name); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(o.Stdout, "\nload %s in Prometheus (rule_files), merge prometheus.yml and alertmanager.yml (alertmanager-before-0.31.yml for older ones) into your own, import the dashboards into Grafana; start a Node.js service with --require=%s where its heap is to be read without a debug port\n", rules.Bundle, filepath.Join(o.ExportDir, nodeagent.Script))
	return nil
}

func exportFile(o *Options, from embed.FS, name string) error {
	text, err := from.ReadFile(name)
	if err != nil {
		return err
	}
	path := filepath.Join(o.ExportDir, name)
	if old, err := os.ReadFile(path); err == nil {
		if string(old) == string(text) {
			fmt.Fprintf(o.Stdout, "unchanged  %s\n", path)
			return nil
		}
		return fmt.Errorf("%s is there and differs from the bundled file: move it away, or export to another folder", path)
	}
	if err := writeFile(path, text); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	fmt.Fprintf(o.Stdout, "wrote      %s\n", path)
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
