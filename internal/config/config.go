// Package config reads the configuration file: it composes the Config types that the packages
// own, refuses what it does not know, and reports all mistakes at once, each with file, line and
// key. It has no side effects: nothing is created, opened for writing or changed.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/pull"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
	"github.com/spillway-exporter/spillway_exporter/internal/watch"
)

// The modes.
const (
	DryRun  = "dry_run" // observe, decide and record, change nothing
	Enforce = "enforce" // remove, collect and signal for real
)

// Config is the whole configuration file.
type Config struct {
	SampleInterval     units.Duration `yaml:"sample_interval"`     // processes and heap, 1s to 5m; default 5s
	ScanInterval       units.Duration `yaml:"scan_interval"`       // directories; default 30s
	EvaluationInterval units.Duration `yaml:"evaluation_interval"` // embedded rules; default 15s
	Window             int            `yaml:"window"`              // samples kept per series and tier; default 100
	Mode               string         `yaml:"mode"`                // dry_run (default) | enforce
	Standalone         *bool          `yaml:"standalone"`          // evaluate the rules in the process; default true
	RuleFiles          []string       `yaml:"rule_files"`          // empty = the embedded bundle
	Thresholds         Thresholds     `yaml:"thresholds"`          // ratios at which the levels begin
	Instance           string         `yaml:"instance"`            // the instance label Prometheus gives this exporter
	Discover           *proc.Discover `yaml:"discover"`            // watch the largest process groups
	ProcEvents         bool           `yaml:"procevents"`          // ask the kernel for forks and exits; needs CAP_NET_ADMIN
	Targets            []Target       `yaml:"targets"`
	Watchers           []watch.Config `yaml:"watchers"`
	Webhook            Webhook        `yaml:"webhook"`
	Alertmanager       pull.Config    `yaml:"alertmanager"`
	Journal            journal.Config `yaml:"journal"`
	Defaults           bool           `yaml:"-"` // no file was given: the embedded defaults
	Warnings           Errors         `yaml:"-"` // what may become right later: a folder that does not exist yet
}

// Target is one service.
type Target struct {
	Name      string                 `yaml:"name"`
	Mode      string                 `yaml:"mode"` // overrides the file's mode
	Processes *proc.Config           `yaml:"processes"`
	Memory    collector.MemoryConfig `yaml:"memory"`
	Heap      heap.Config            `yaml:"heap"`
	App       *collector.AppConfig   `yaml:"app"`
	Probe     *collector.ProbeConfig `yaml:"probe"`
	Caches    []policy.Cache         `yaml:"caches"`
	TempDirs  []policy.Temp          `yaml:"temp_dirs"`
	Uploads   []policy.Upload        `yaml:"uploads"`
	Logs      []policy.Log           `yaml:"logs"`
	Playbooks dispatch.Playbooks     `yaml:"playbooks"`
}

// Webhook is how callers of the changing endpoints prove who they are.
type Webhook struct {
	TokenFile string `yaml:"token_file"` // a file with the bearer token
}

const maxFileBytes = 4 << 20

// Load reads, checks and completes a configuration file. The error is Errors when the file was
// read but is wrong.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, Errors{{File: path, Msg: fmt.Sprintf("cannot be read (%v): check --config.file", errors.Unwrap(err))}}
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, Errors{{File: path, Msg: fmt.Sprintf("cannot be read (%v): check --config.file", err)}}
	}
	if len(raw) > maxFileBytes {
		return nil, Errors{{File: path, Msg: "is larger than 4 MiB: this is not a configuration of spillway_exporter"}}
	}
	return Parse(path, raw)
}

// Parse reads a configuration from memory; file is the name that errors carry.
func Parse(file string, raw []byte) (*Config, error) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var root yaml.Node
	if err := dec.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return nil, Errors{{File: file, Msg: fmt.Sprintf("is not YAML (%v): check the indentation and the quotes", err)}}
	}
	var more yaml.Node
	if err := dec.Decode(&more); err == nil {
		return nil, Errors{{File: file, Line: more.Line, Msg: "holds a second document: write everything in one, without '---'"}}
	}
	c := &Config{}
	d := &decoder{file: file}
	if root.Kind == yaml.DocumentNode {
		d.decode(root.Content[0], reflect.ValueOf(c).Elem(), "", 0)
	}
	misread := make(map[string]bool)
	for _, e := range d.errs {
		misread[e.Key] = true
	}
	c.applyDefaults()
	c.validate(func(key, format string, args ...any) {
		if !misread[key] { // the decoder has said why already
			d.errs = append(d.errs, Error{File: file, Line: lineOf(&root, key), Key: key, Msg: fmt.Sprintf(format, args...)})
		}
	}, func(key, format string, args ...any) {
		c.Warnings = append(c.Warnings, Error{File: file, Line: lineOf(&root, key), Key: key, Msg: fmt.Sprintf(format, args...)})
	})
	if len(d.errs) > 0 {
		return nil, d.errs.sorted()
	}
	return c, nil
}

// Default returns the configuration that holds without a file: the 20 largest process groups and
// the host's memory, everything observed and nothing changed.
func Default() *Config {
	c := &Config{Discover: &proc.Discover{By: "comm", Top: 20}, Defaults: true}
	c.applyDefaults()
	ignore := func(string, string, ...any) {} // it holds no mistake: a test says so
	c.validate(ignore, ignore)
	return c
}

func (c *Config) applyDefaults() {
	def := func(d *units.Duration, v time.Duration) {
		if *d == 0 {
			*d = units.Duration(v)
		}
	}
	def(&c.SampleInterval, 5*time.Second)
	def(&c.ScanInterval, 30*time.Second)
	def(&c.EvaluationInterval, 15*time.Second)
	if c.Window == 0 {
		c.Window = 100
	}
	if c.Mode == "" {
		c.Mode = DryRun
	}
	if c.Standalone == nil {
		on := true
		c.Standalone = &on
	}
	c.Thresholds.applyDefaults()
	for i := range c.Targets {
		if c.Targets[i].Mode == "" {
			c.Targets[i].Mode = c.Mode
		}
	}
}

// Enforces reports whether any target is to be changed for real.
func (c *Config) Enforces() bool {
	for i := range c.Targets {
		if c.Targets[i].Mode == Enforce {
			return true
		}
	}
	return false
}
