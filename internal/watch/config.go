package watch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// MaxWatchers bounds the list of a configuration: each has a goroutine of its own.
const MaxWatchers = 20

const (
	defaultTimeout = 10 * time.Second
	maxTimeout     = 10 * time.Minute
)

// Config is one entry of the yaml key `watchers`: what is done when the memory level of a target
// changes. One of Post, Log and Command is written.
type Config struct {
	On        []string       `yaml:"on"`         // the levels to act at when a target comes to them
	Targets   []string       `yaml:"targets"`    // only these; when empty all, discovered groups too
	Post      string         `yaml:"post"`       // POST the JSON of `/health/memory` to this URL, on loopback or a host of hosts; in every mode, since it changes nothing
	PostFile  string         `yaml:"post_file"`  // a file with the URL of post instead, where it holds a secret; read for each request
	Log       bool           `yaml:"log"`        // a line in the exporter's log
	Command   []string       `yaml:"command"`    // run a program, as the action of that name does, in the mode of the target (trigger watch, playbook `watcher_N_LEVEL`)
	Hosts     []string       `yaml:"hosts"`      // post: hosts other than loopback that the URL may name
	TokenFile string         `yaml:"token_file"` // post: a file with a bearer token
	Env       []string       `yaml:"env"`        // command: names of variables that are passed on
	Timeout   units.Duration `yaml:"timeout"`    // of each
}

// Settings returns what the action of this watcher is given.
func (c *Config) Settings() action.Settings {
	if len(c.Command) > 0 {
		return &action.CommandSettings{Argv: c.Command, Env: c.Env}
	}
	return c.post("")
}

func (c *Config) post(body string) *action.HTTPSettings {
	return &action.HTTPSettings{URL: c.Post, URLFile: c.PostFile, Hosts: c.Hosts, TokenFile: c.TokenFile, Body: body}
}

// Kind returns post, log or command.
func (c *Config) Kind() string {
	switch {
	case c.Post != "", c.PostFile != "":
		return "post"
	case len(c.Command) > 0:
		return "command"
	}
	return "log"
}

// Validate applies the defaults and reports every mistake. known says which targets there are;
// those that discovery finds are none of them.
func (c *Config) Validate(known []string, report report.Func) {
	if len(c.On) == 0 {
		report("on", "is missing: write the levels to act at, such as [warning, critical, emergency]")
	}
	for i, name := range c.On {
		if _, ok := series.ParseLevel(name); !ok {
			report(fmt.Sprintf("on[%d]", i), "%q is not a level: write normal, warning, critical or emergency", name)
		}
	}
	for i, name := range c.Targets {
		if !slices.Contains(known, name) {
			report(fmt.Sprintf("targets[%d]", i), "%q is not a target: write one of %s", name, strings.Join(known, ", "))
		}
	}
	if c.Timeout == 0 {
		c.Timeout = units.Duration(defaultTimeout)
	}
	if c.Timeout.Std() < time.Second || c.Timeout.Std() > maxTimeout {
		report("timeout", "%s is out of range: write 1s to %s", c.Timeout, units.Duration(maxTimeout))
	}
	ways := 0
	for _, set := range []bool{c.Post != "" || c.PostFile != "", c.Log, len(c.Command) > 0} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		report("", "says %d things to do: write one of post: URL, log: true and command: [/path/of/program]", ways)
		return
	}
	c.checkSettings(report)
}

// checkSettings checks the settings of the action, and that none belongs to another one.
func (c *Config) checkSettings(report report.Func) {
	checked := func(key, format string, args ...any) {
		switch {
		case key == "url":
			key = "post"
		case key == "url_file":
			key = "post_file"
		case strings.HasPrefix(key, "argv"):
			key = "command" + strings.TrimPrefix(key, "argv")
		}
		report(key, format, args...)
	}
	for _, k := range []struct {
		key, kind string
		set       bool
	}{{"hosts", "post", c.Hosts != nil}, {"token_file", "post", c.TokenFile != ""}, {"env", "command", c.Env != nil}} {
		if k.set && k.kind != c.Kind() {
			report(k.key, "%s", action.Misplaced(k.key))
		}
	}
	switch c.Kind() {
	case "post":
		c.Settings().Validate(checked)
	case "command":
		s := &action.CommandSettings{Argv: c.Command, Env: c.Env}
		s.Validate(checked)
		c.Env = s.Env
	}
}
