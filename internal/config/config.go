package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/dispatch"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/history"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/pull"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
	"github.com/spillway-exporter/spillway_exporter/internal/strictyaml"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
	"github.com/spillway-exporter/spillway_exporter/internal/watch"
	"github.com/spillway-exporter/spillway_exporter/internal/window"
)

// The modes.
const (
	DryRun  = "dry_run" // observe, decide and record, change nothing
	Propose = "propose" // propose to a person what is to be changed, and change what is approved
	Enforce = "enforce" // remove, collect and signal for real
)

// Config is the whole configuration file.
type Config struct {
	// How often processes and heaps are read at the least; memory near a threshold is read up to twenty times a second.
	SampleInterval units.Duration `yaml:"sample_interval"`
	// How often directories are scanned; stretched so that scans stay within half a percent of one core.
	ScanInterval units.Duration `yaml:"scan_interval"`
	// How often the embedded rules are evaluated.
	EvaluationInterval units.Duration `yaml:"evaluation_interval"`
	// Samples kept per series, for each of three tiers: 1, 15 and 300 sample intervals a slot.
	Window int `yaml:"window"`
	// With dry_run the exporter observes, decides and records, and changes nothing; with propose it asks a person first.
	Mode string `yaml:"mode"`
	// Evaluate the rules in this process; write false where Prometheus does.
	Standalone *bool `yaml:"standalone"`
	// Judge the rule group spillway-reflex in this process whatever standalone says, and judge memory and heaps as soon as a level changes.
	Reflex *bool `yaml:"reflex"`
	// Absolute paths of rule files that replace the embedded bundle.
	RuleFiles []string `yaml:"rule_files"`
	// Shares of a limit at which the levels begin.
	Thresholds Thresholds `yaml:"thresholds"`
	// The instance label that Prometheus gives this exporter; alerts of other instances are refused. When it is not written it is learned from callers with proof.
	Instance string `yaml:"instance"`
	// Where people look when an alert is about a target, such as a dashboard of Grafana: the link of the alerts, in which {target} and {instance} are replaced. Without it the status page.
	DashboardURL string `yaml:"dashboard_url"`
	// Where people reach Prometheus: a link on the status page.
	PrometheusURL string `yaml:"prometheus_url"`
	// Watch the largest groups of processes that no target takes; the host's memory becomes the target host.
	Discover *proc.Discover `yaml:"discover"`
	// Exits with their reason, and peaks of children that lived for milliseconds; needs root or CAP_NET_ADMIN.
	ProcEvents bool `yaml:"procevents"`
	// Keep the exporter's own memory from being paged out (mlockall), for hosts under pressure; needs LimitMEMLOCK=infinity or CAP_IPC_LOCK.
	LockMemory bool `yaml:"lock_memory"`
	// The restarts of all targets together that are allowed; beyond it a person is asked for.
	Restarts restart.Budget `yaml:"restarts"`
	// The services. The first in the file that matches a process takes it.
	Targets []Target `yaml:"targets"`
	// Windows of time by their names, in the syntax of Alertmanager's time_intervals, for when_open.
	Windows window.Windows `yaml:"windows"`
	// Receivers that are notified when a memory level changes.
	Watchers []watch.Config `yaml:"watchers"`
	// Who may call the endpoints that change something.
	Webhook Webhook `yaml:"webhook"`
	// In mode enforce too, callers on this host need no token for the endpoints that change something. That is every local user, and everyone who reaches a proxy on this host.
	TrustLoopback bool `yaml:"trust_loopback"`
	// The Alertmanagers that the alerts are sent to, where no Prometheus is, and those to poll, where they cannot call this host.
	Alertmanager pull.Config `yaml:"alertmanager"`
	// Where and for how long it is recorded what was done.
	Journal journal.Config `yaml:"journal"`
	// Values of two weeks, in a file alongside the journal; off keeps none.
	History history.Config `yaml:"history"`

	Defaults bool   `yaml:"-"` // no file was given: the embedded defaults
	Warnings Errors `yaml:"-"` // what may become right later: a folder that does not exist yet

	Orders map[string][]string `yaml:"-"` // by target: caches whose least recently used entries are not known, and what to write

	behind map[string]string // files by the links that exe names
}

// Target is one service.
type Target struct {
	Name      string                 `yaml:"name"`      // value of the target label: 1 to 63 letters, digits, `_`, `.`, `:`, `@`, `+` or `-`
	Mode      string                 `yaml:"mode"`      // of this target, in place of the file's
	Processes *proc.Config           `yaml:"processes"` // which processes belong to it
	Memory    collector.MemoryConfig `yaml:"memory"`    // its limit, and how it is counted
	Heap      heap.Config            `yaml:"heap"`      // where the runtime reports its heap
	Evidence  evidence.Config        `yaml:"evidence"`  // what holds its memory is captured within these bounds, before a remedy takes it away; off captures nothing
	App       *collector.AppConfig   `yaml:"app"`       // counters that the service itself reports
	Probe     *collector.ProbeConfig `yaml:"probe"`     // a URL that reports whether the service is well

	policy.Folders `yaml:",inline"`

	Playbooks dispatch.Playbooks `yaml:"playbooks"` // steps by the name of a playbook: a default one changed, or one of your own
	Guards    dispatch.Guards    `yaml:"guards"`    // how often and when playbooks run by themselves, by the name of a playbook: of a default one too

	Windows window.Windows `yaml:"-"` // of the file
	Digest  string         `yaml:"-"` // of everything that is written about the target, and of the file but for other targets
}

// Changes reports whether the target may be changed for real, at once or when a person has approved it.
func (t *Target) Changes() bool { return t.Mode == Enforce || t.Mode == Propose }

// Webhook is how callers of the changing endpoints prove who they are.
type Webhook struct {
	TokenFile string `yaml:"token_file"` // absolute path of a file with the bearer token of the changing endpoints; without it only callers on this host may change something, and in mode enforce no one
}

const maxFileBytes = 4 << 20

// Load reads, checks and completes a configuration file. The error is Errors when the file was
// read but is wrong.
func Load(path string) (*Config, error) { return new(Checks).Load(path) }

// Parse reads a configuration from memory; file is the name that errors carry.
func Parse(file string, raw []byte) (*Config, error) { return new(Checks).Parse(file, raw) }

// parse returns what could be read alongside the mistakes, nil where it is not a document at all.
func parse(file string, raw []byte, checks *Checks) (*Config, Errors) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var root yaml.Node
	if err := dec.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return nil, Errors{syntaxMistake(file, raw, err)}
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) { // one that cannot be read is one, too
		return nil, Errors{{File: file, Line: secondDocument(raw), Msg: "holds a second document: write everything in one, without '---'"}}
	}
	c := &Config{}
	var errs Errors
	misread := make(map[string]bool)
	if root.Kind == yaml.DocumentNode {
		for _, e := range strictyaml.Decode(root.Content[0], c, dispatch.Texts()) {
			errs = append(errs, Error{File: file, Line: e.Line, Key: e.Key, Msg: e.Msg})
			misread[e.Key] = true
			if e.Meant != "" {
				misread[e.Meant] = true
			}
		}
	}
	c.applyDefaults()
	c.digest(&root)
	c.validate(func(key, format string, args ...any) {
		if !misread[key] { // the decoder has said why already
			errs = append(errs, Error{File: file, Line: strictyaml.LineOf(&root, key), Key: key, Msg: fmt.Sprintf(format, args...)})
		}
	}, func(key, format string, args ...any) {
		c.Warnings = append(c.Warnings, Error{File: file, Line: strictyaml.LineOf(&root, key), Key: key, Msg: fmt.Sprintf(format, args...)})
	}, checks)
	return c, errs
}

// Default returns the configuration that holds without a file: the 20 largest process groups and
// the host's memory, everything observed and nothing changed.
func Default() *Config {
	c := &Config{Discover: &proc.Discover{By: "comm", Top: 20}, Defaults: true}
	c.applyDefaults()
	c.validate(report.Ignore, report.Ignore, new(Checks)) // it holds no mistake: a test says so
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
		c.Standalone = new(true)
	}
	if c.Reflex == nil {
		c.Reflex = new(true)
	}
	c.Thresholds.applyDefaults()
	c.Restarts.Default(restart.DefaultHost)
	for i := range c.Targets {
		c.Targets[i].Windows = c.Windows
		if c.Targets[i].Mode == "" && isMode(c.Mode) { // a mistake at the top is said there
			c.Targets[i].Mode = c.Mode
		}
		if p := c.Targets[i].Processes; p != nil && p.Required == nil {
			p.Required = new(true)
		}
	}
}

// TrustsLoopback reports whether callers on this host may use the changing endpoints without a
// token. Where anything else than dry_run is written that takes trust_loopback, since a peer on
// this host may be a proxy that serves the network, or any local user.
func (c *Config) TrustsLoopback() bool {
	return c.TrustLoopback || c.Mode == DryRun && !slices.ContainsFunc(c.Targets, func(t Target) bool { return t.Mode != DryRun })
}

// Enforces reports whether any target is to be changed for real, at once or when a person has approved it.
func (c *Config) Enforces() bool {
	for i := range c.Targets {
		if c.Targets[i].Changes() {
			return true
		}
	}
	return false
}
