package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillway-exporter/spillway_exporter/rules"
)

// TestExport writes every bundled file once, and never over one that differs.
func TestExport(t *testing.T) {
	dir := filepath.Join(realDir(t), "new", "folder")
	r := runLine(t, "export", dir)
	var entries []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			entries = append(entries, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.code != ExitOK || len(entries) < 8 || strings.Count(r.out, "wrote      "+dir) != len(entries) || !strings.Contains(r.out, "\nload "+rules.Bundle+" in Prometheus") {
		t.Errorf("%d files: %+v", len(entries), r)
	}
	if r = runLine(t, "export", dir); r.code != ExitOK || strings.Count(r.out, "unchanged  "+dir) != len(entries) {
		t.Errorf("again: %+v", r)
	}
	for _, name := range []string{"sitecustomize.py", "spillway_agent.py"} {
		if _, err := os.Stat(filepath.Join(dir, "python", name)); err != nil {
			t.Error(err)
		}
	}
	edited := filepath.Join(dir, rules.Bundle)
	writeTest(t, edited, "# mine\n")
	if r = runLine(t, "export", dir); r.code != ExitFailure || !strings.Contains(r.errs, edited+" is there and differs from the bundled file") {
		t.Errorf("an edited file: %+v", r)
	}
	if text, err := os.ReadFile(edited); err != nil || string(text) != "# mine\n" {
		t.Errorf("an edited file is now %q, %v", text, err)
	}
}

// TestExportFromProcessExporter prints a configuration, or says what is wrong with the file.
func TestExportFromProcessExporter(t *testing.T) {
	file := filepath.Join(realDir(t), "all.yaml")
	writeTest(t, file, "process_names: [{comm: [bash]}]\n")
	if r := runLine(t, "export", "--from-process-exporter="+file); r.code != ExitOK || !strings.Contains(r.out, "    - {name: '{{.ExeBase}}', match: {comm: bash}}\n") {
		t.Errorf("%+v", r)
	}
	writeTest(t, file, "process_names: []\n")
	if r := runLine(t, "export", "--from-process-exporter="+file); r.code != ExitConfig || r.out != "" || !strings.Contains(r.errs, "no process_names") {
		t.Errorf("%+v", r)
	}
}

// TestExportToFolderFromProcessExporter: the bundled files are not what was asked for, and a
// configuration goes to standard output alone.
func TestExportToFolderFromProcessExporter(t *testing.T) {
	dir := realDir(t)
	writeTest(t, filepath.Join(dir, "all.yaml"), "process_names: [{comm: [bash]}]\n")
	r := runLine(t, "export", filepath.Join(dir, "out"), "--from-process-exporter="+filepath.Join(dir, "all.yaml"))
	if r.code != ExitConfig || r.out != "" || !strings.Contains(r.errs, "prints to standard output: leave out "+filepath.Join(dir, "out")) {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
		t.Error("the folder was made")
	}
}
