package setup

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/listen"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// every file that a configuration can name.
const trusting = `
rule_files: ['DIR/rules/*.yml']
webhook: {token_file: DIR/token}
instance: host1:10042
alertmanager: {pull: ['http://127.0.0.1:9093'], username: me, password_file: DIR/password}
watchers: [{on: [critical], post_file: DIR/url, token_file: DIR/post-token}]
targets:
  - name: app
    app: {url_file: DIR/app-url, map: {jobs: jobs}}
    probe: {url_file: DIR/probe-url}
    playbooks: {mine: [{do: http, url_file: DIR/step-url, token_file: DIR/step-token}]}
`

// TestCheckService: each file that others can change is refused in mode enforce, with its key, its path and
// what to do, and warned of in mode dry_run.
func TestCheckService(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{ // by name: the key
		"rules/a.yml": "rule_files[0]", "token": "webhook.token_file", "password": "alertmanager.password_file", "url": "watchers[0].post_file",
		"post-token": "watchers[0].token_file", "app-url": "targets[0].app.url_file", "probe-url": "targets[0].probe.url_file",
		"step-url": "targets[0].playbooks.mine[0].url_file", "step-token": "targets[0].playbooks.mine[0].token_file",
		"spillway.yml": "", "web.yml": "",
	}
	if err := os.Mkdir(dir+"/rules", 0o755); err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("http://127.0.0.1:4545/\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	checks := new(config.Checks)
	load := func(mode string) *config.Config {
		cfg, err := config.Parse("x.yml", []byte("mode: "+mode+"\n"+strings.ReplaceAll(trusting, "DIR", dir)))
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	s := Service{File: dir + "/spillway.yml", Addresses: []string{"127.0.0.1:0"}, Auth: listen.Auth{Files: []string{dir + "/web.yml"}}}
	if err := CheckService(load("enforce"), s, checks); err != nil {
		t.Fatalf("nothing is wrong: %v", err)
	}
	for name, key := range files {
		path := filepath.Join(dir, name)
		if err := os.Chmod(path, 0o620); err != nil {
			t.Fatal(err)
		}
		want := `"` + path + `" can be written by its group`
		for _, check := range []func(*config.Config, Service, *config.Checks) error{CheckService, CheckServiceAsRoot} {
			err := check(load("enforce"), s, checks)
			if !IsMistake(err) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "chmod go-w "+path) || key != "" && !strings.Contains(err.Error(), key+": ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want one mistake with %s: %s", name, err, key, want)
			}
			cfg := load("dry_run")
			if err := check(cfg, s, checks); err != nil || !slices.ContainsFunc(cfg.Warnings, func(e config.Error) bool {
				return strings.Contains(e.Msg, want) && strings.HasSuffix(e.Msg, "(mode enforce would be refused)")
			}) {
				t.Errorf("%s, dry run: %v, %v", name, err, cfg.Warnings)
			}
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Chown(dir+"/token", 65533, 65533); err != nil {
		t.Fatal(err)
	}
	if err := CheckService(load("enforce"), s, checks); err == nil || !strings.Contains(err.Error(), "belongs to user") {
		t.Errorf("a token of another user: %v", err)
	}
	cfg := load("enforce")
	if err := CheckServiceAsRoot(cfg, s, checks); err != nil || len(cfg.Warnings) == 0 || !strings.Contains(cfg.Warnings[len(cfg.Warnings)-1].Msg, "mode enforce is refused unless the exporter runs as that user") {
		t.Errorf("root asks about another's exporter: %v, %v", err, cfg.Warnings)
	}
}

// TestCheckFile: a clean-up by hand, too, goes by no file that others can change.
func TestCheckFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "spillway.yml")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := CheckFile(file, new(config.Checks)); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := CheckFile(file, new(config.Checks)); !IsMistake(err) || !strings.Contains(err.Error(), "can be written by everybody") {
		t.Errorf("%v, want it refused", err)
	}
}

// TestOpenServedJournal: a journal that others can change is refused in mode enforce, and logged in mode dry_run.
func TestOpenServedJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	open := func(mode string) (string, error) {
		var log bytes.Buffer
		cfg := &config.Config{Journal: journal.Config{Dir: dir, Keep: units.Duration(time.Hour)}, Targets: []config.Target{{Name: "a", Mode: mode}}}
		j, err := OpenServedJournal(cfg, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
		if j != nil {
			err = errors.Join(err, j.Close())
		}
		return log.String(), err
	}
	if _, err := open(config.Enforce); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]fs.FileMode{dir: 0o770, filepath.Dir(dir): 0o777} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := open(config.Enforce); !IsMistake(err) || !strings.Contains(err.Error(), "can be written by") {
			t.Errorf("%s: %v, want it refused", path, err)
		}
		if log, err := open(config.DryRun); err != nil || !strings.Contains(log, "others can change the journal") {
			t.Errorf("%s, dry run: %v, %s", path, err, log)
		}
		if err := os.Chmod(path, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(config.Enforce); err != nil {
		t.Errorf("after it was put right: %v", err)
	}
}
