package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
)

// NamedFile is a file on which rests what the exporter does, and what names it.
type NamedFile struct {
	File string // the configuration, or a flag
	Key  string // of the configuration; "" for the configuration itself
	Path string
}

// Files returns the files that a configuration names and that decide what is done, or who may ask for it:
// rules, tokens, passwords, certificates and URLs.
func (c *Config) Files() []NamedFile {
	var out []NamedFile
	add := func(key, path string) {
		if path != "" {
			out = append(out, NamedFile{Key: key, Path: path})
		}
	}
	for i, pattern := range c.RuleFiles {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			paths = []string{pattern}
		}
		for _, path := range paths {
			add(fmt.Sprintf("rule_files[%d]", i), path)
		}
	}
	add("webhook.token_file", c.Webhook.TokenFile)
	add("alertmanager.token_file", c.Alertmanager.TokenFile)
	add("alertmanager.password_file", c.Alertmanager.PasswordFile)
	add("alertmanager.ca_file", c.Alertmanager.CAFile)
	for i := range c.Watchers {
		add(fmt.Sprintf("watchers[%d].post_file", i), c.Watchers[i].PostFile)
		add(fmt.Sprintf("watchers[%d].token_file", i), c.Watchers[i].TokenFile)
	}
	for i := range c.Targets {
		c.Targets[i].files(fmt.Sprintf("targets[%d]", i), add)
	}
	return out
}

func (t *Target) files(key string, add func(key, path string)) {
	if t.App != nil {
		add(key+".app.url_file", t.App.URLFile)
	}
	if t.Probe != nil {
		add(key+".probe.url_file", t.Probe.URLFile)
	}
	for name, steps := range t.Playbooks {
		for i := range steps {
			if s, ok := steps[i].With.(*action.HTTPSettings); ok {
				k := fmt.Sprintf("%s.playbooks.%s[%d]", key, name, i)
				add(k+".url_file", s.URLFile)
				add(k+".token_file", s.TokenFile)
			}
		}
	}
}

// Untrusted returns which of these files judge refuses. What does not exist or does not answer is found by
// whoever reads it.
func Untrusted(files []NamedFile, checks *Checks, judge func(path string) error) Errors {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	asked := make([]question[error], len(files))
	for i, f := range files {
		asked[i] = ask(checks, f.Path, func() error { return judge(f.Path) })
	}
	var out Errors
	for i, f := range files {
		found, unanswered := asked[i].wait(ctx)
		if found == nil || unanswered != nil || errors.Is(found, fs.ErrNotExist) || errors.Is(found, fs.ErrPermission) {
			continue
		}
		out = append(out, Error{File: f.File, Key: f.Key, Msg: found.Error()})
	}
	slices.SortStableFunc(out, func(a, b Error) int { return strings.Compare(a.Key, b.Key) })
	return out
}
