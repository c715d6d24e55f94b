package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/collector"
	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/heap"
	"github.com/spillway-exporter/spillway_exporter/internal/loopback"
	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
	"github.com/spillway-exporter/spillway_exporter/internal/watch"
)

// MaxTargets bounds the target label.
const MaxTargets = 200

const (
	minWindow = 10
	maxWindow = 10000
	minEvery  = 10 * time.Second
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

const nameHint = "write 1 to 63 letters, digits, '_', '.' or '-', beginning with a letter or digit"

// targetForm is that of a target, which names no file: units such as app@1.service are called so.
var targetForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:@+-]{0,62}$`)

const targetHint = "write 1 to 63 letters, digits, '_', '.', ':', '@', '+' or '-', beginning with a letter or digit"

func (c *Config) validate(report, warn report.Func, checks *Checks) {
	span := func(key string, v units.Duration, low, high time.Duration) {
		if v.Std() < low || v.Std() > high {
			report(key, "%s is out of range: write %s to %s", v, units.Duration(low), units.Duration(high))
		}
	}
	span("sample_interval", c.SampleInterval, time.Second, 5*time.Minute)
	span("scan_interval", c.ScanInterval, time.Second, 24*time.Hour)
	span("evaluation_interval", c.EvaluationInterval, time.Second, 5*time.Minute)
	if c.Window < minWindow || c.Window > maxWindow {
		report("window", "%d is out of range: write %d to %d samples", c.Window, minWindow, maxWindow)
	}
	c.checkMode("mode", c.Mode, report)
	c.Thresholds.validate(report)
	if strings.ContainsAny(c.Instance, " \t\n/") {
		report("instance", "%q is not an instance label: write host:port as Prometheus scrapes this exporter, without a scheme or path", c.Instance)
	}
	c.checkDashboard(report)
	c.checkPrometheus(report)
	for i, f := range c.RuleFiles {
		if !filepath.IsAbs(f) {
			report(fmt.Sprintf("rule_files[%d]", i), "%q is not absolute: write the whole path", f)
		}
	}
	c.checkToken(report, warn, checks)
	c.Journal.Validate(report.Under("journal"))
	c.Restarts.Validate(report.Under("restarts"))
	c.History.Validate(report.Under("history"))
	if !c.History.Enabled() && slices.ContainsFunc(c.Targets, func(t Target) bool { return t.Playbooks.ActsEarly(t.Guards) }) {
		report("history", "is off, and act_before foresees the memory from it: remove one of them")
	}
	if c.Discover != nil {
		c.Discover.Validate(report.Under("discover"))
		if c.Discover.JoinTargets && c.Enforces() {
			report("discover.join_targets", "a process can choose its name, and so become a member of a target in mode enforce: remove it, or write mode: dry_run")
		}
	}
	if c.Discover == nil && len(c.Targets) == 0 {
		report("targets", "nothing to watch: write at least one target, or discover: {by: comm, top: 20}")
	}
	if len(c.Targets) > MaxTargets {
		report("targets", "%d targets are too many: write at most %d and run a second exporter for the others", len(c.Targets), MaxTargets)
	}
	names := make(map[string]int)
	for i := range c.Targets {
		c.checkTarget(i, names, report)
	}
	c.Windows.Validate(report.Under("windows"))
	c.checkWatchers(report)
	c.Alertmanager.Validate(c.Instance, *c.Standalone, report.Under("alertmanager"))
	c.checkDirs(report, warn, checks)
	c.checkQuarantines(report, warn, checks)
	c.checkPidfiles(warn, checks)
	c.checkPrograms(report, warn, checks)
	c.checkIdentity(warn, checks)
	c.checkOrder(warn, checks)
}

// The parts of dashboard_url that are replaced.
const (
	TargetMark   = "{target}"
	InstanceMark = "{instance}"
)

// checkDashboard checks the link that stands in alerts.
func (c *Config) checkDashboard(report report.Func) {
	if c.DashboardURL == "" {
		return
	}
	plain := strings.NewReplacer(TargetMark, "x", InstanceMark, "x").Replace(c.DashboardURL)
	u, err := url.Parse(plain)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		report("dashboard_url", "%q is not an address: write it as https://grafana.example.org/d/spillway-target?var-target=%s", c.DashboardURL, TargetMark)
	case u.User != nil:
		report("dashboard_url", "holds a user, whom everyone who gets an alert would see: write the address without")
	case strings.ContainsAny(plain, "{}"):
		report("dashboard_url", "%q holds other parts in braces than %s and %s: write only these", c.DashboardURL, TargetMark, InstanceMark)
	}
}

// checkPrometheus checks the link on the status page.
func (c *Config) checkPrometheus(report report.Func) {
	if c.PrometheusURL == "" {
		return
	}
	u, err := url.Parse(c.PrometheusURL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		report("prometheus_url", "%q is not an address: write it as https://prometheus.example.org/", c.PrometheusURL)
	case u.User != nil:
		report("prometheus_url", "holds a user, whom everyone who opens the page would see: write the address without")
	}
}

// checkPidfiles warns of files that are not there yet.
func (c *Config) checkPidfiles(warn report.Func, checks *Checks) {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	asked := make(map[string]question[[]string])
	for i := range c.Targets {
		if p := c.Targets[i].Processes; p != nil {
			p.Match.Each(fmt.Sprintf("targets[%d].processes.match", i), func(key string, m *proc.Match) {
				if m.Pidfile != "" {
					asked[key+".pidfile"] = ask(checks, m.Pidfile, func() []string { return m.Warnings("/") })
				}
			})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(asked)) {
		q := asked[key]
		warnings, err := q.wait(ctx)
		if err != nil {
			warn(key, "%v", err)
		}
		for _, w := range warnings {
			warn(key, "%s", w)
		}
	}
}

func (c *Config) checkWatchers(report report.Func) {
	if len(c.Watchers) > watch.MaxWatchers {
		report("watchers", "%d are too many: write at most %d", len(c.Watchers), watch.MaxWatchers)
	}
	var names []string
	for i := range c.Targets {
		names = append(names, c.Targets[i].Name)
	}
	for i := range c.Watchers {
		c.Watchers[i].Validate(names, report.Under(fmt.Sprintf("watchers[%d]", i)))
	}
}

func isMode(mode string) bool { return mode == DryRun || mode == Propose || mode == Enforce }

func (c *Config) checkMode(key, mode string, report report.Func) {
	if !isMode(mode) {
		report(key, "%q is not a mode: write dry_run (change nothing), propose (ask a person first) or enforce", mode)
	}
}

func (c *Config) checkToken(report, warn report.Func, checks *Checks) {
	path := c.Webhook.TokenFile
	if path == "" {
		return
	}
	const key = "webhook.token_file"
	if !filepath.IsAbs(path) {
		report(key, "%q is not absolute: write the whole path", path)
		return
	}
	type stat struct {
		info fs.FileInfo
		err  error
	}
	found, unanswered := Ask(checks, path, func() (s stat) {
		s.info, s.err = os.Stat(path)
		return s
	})
	info, err := found.info, found.err
	switch {
	case unanswered != nil:
		warn(key, "%v", unanswered)
	case err != nil:
		report(key, "%q cannot be read (%v): write the token into it, for example with: head -c 32 /dev/urandom | base64 > %s", path, errors.Unwrap(err), path)
	case !info.Mode().IsRegular():
		report(key, "%q is not a file: write the path of a file that holds the token", path)
	case info.Size() == 0:
		report(key, "%q is empty: write the token into it, for example with: head -c 32 /dev/urandom | base64 > %s", path, path)
	case info.Size() > 4096:
		report(key, "%q is larger than 4 KiB: a token is one line", path)
	case info.Mode().Perm()&0o007 != 0:
		warn(key, "%q can be read by everybody on this host: chmod 0640 it", path)
	}
}

func (c *Config) checkTarget(i int, names map[string]int, report report.Func) {
	t := &c.Targets[i]
	key := fmt.Sprintf("targets[%d]", i)
	at := report.Under(key)
	switch first, twice := names[t.Name]; {
	case t.Name == "":
		at("name", "is missing: %s", targetHint)
	case !targetForm.MatchString(t.Name):
		at("name", "%q is not a name: %s", t.Name, targetHint)
	case twice:
		at("name", "%q is the name of targets[%d] too: write another", t.Name, first)
	case t.Name == collector.HostTarget:
		at("name", "%q is what the host itself is called: write another name", t.Name)
	default:
		names[t.Name] = i
	}
	if t.Mode != "" { // else that at the top is a mistake
		c.checkMode(key+".mode", t.Mode, report)
	}
	if t.Processes != nil {
		t.Processes.Validate(report.Under(key + ".processes"))
	}
	if t.Processes == nil && t.Empty() && t.Heap.Provider == "" && t.App == nil && t.Probe == nil {
		keys := policy.Keys()
		last := len(keys) - 1
		at("", "watches nothing: write processes, heap, app, probe, %s or %s", strings.Join(keys[:last], ", "), keys[last])
	}
	t.Memory.Validate(report.Under(key + ".memory"))
	t.Heap.Validate(t.Processes != nil, report.Under(key+".heap"))
	t.Evidence.Validate(report.Under(key + ".evidence"))
	t.checkHTTP(key, report)
	t.Playbooks.Validate(report.Under(key + ".playbooks"))
	t.Playbooks.CheckActions(t.Has, report.Under(key+".playbooks"))
	t.checkRestarts(report.Under(key + ".playbooks"))
	t.Playbooks.CheckWindows(t.Windows, t.Guards, report.Under(key+".playbooks"))
	t.Guards.Validate(t.Playbooks, t.Windows, report.Under(key+".guards"))
	if t.Processes == nil && t.Playbooks.ActsEarly(t.Guards) {
		at("", "has act_before and no processes, whose memory it foresees: write processes, or remove act_before")
	}
	seen := make(map[string]bool)
	policyName := func(key, kind, name string) {
		switch {
		case name == "":
			report(key+".name", "is missing: %s", nameHint)
		case !nameForm.MatchString(name):
			report(key+".name", "%q is not a name: %s", name, nameHint)
		case seen[kind+name]:
			report(key+".name", "%q stands twice in this target: write another name", name)
		}
		seen[kind+name] = true
	}
	for _, kind := range policy.Kinds {
		for j, p := range t.Of(kind.Name) {
			k := fmt.Sprintf("%s.%s[%d]", key, kind.Key, j)
			policyName(k, kind.Name, p.CommonKeys().Name)
			p.Validate(report.Under(k))
			checkEvery(k, p.Schedule(), report)
		}
	}
	t.checkForeign(key, report)
	for j := range t.Logs {
		checkLogSignal(fmt.Sprintf("%s.logs[%d]", key, j), t, &t.Logs[j], report)
	}
}

// checkHTTP checks what is read from the service over HTTP.
func (t *Target) checkHTTP(key string, report report.Func) {
	if t.App != nil {
		names := make([]string, len(t.Caches))
		for i := range t.Caches {
			names[i] = t.Caches[i].Name
		}
		t.App.Validate(names, report.Under(key+".app"))
	}
	if t.Probe != nil {
		t.Probe.Validate(report.Under(key + ".probe"))
	}
	for i := range t.Caches {
		if c := &t.Caches[i]; c.HitRate == policy.HitRateApp && !t.App.CountsHits(c.Name) {
			report(fmt.Sprintf("%s.caches[%d].hit_rate", key, i), "nobody counts the hits of %q: write app: {url: ..., cache: %s, map: {cache_hits: ..., cache_misses: ...}} for this target, or hit_rate: inferred", c.Name, c.Name)
		}
	}
}

// checkLogSignal refuses a signal that cannot be sent, or to no one.
func checkLogSignal(key string, t *Target, l *policy.Log, report report.Func) {
	if !l.Renames() || l.Signal == "" {
		return
	}
	if _, err := proc.SignalNumber(l.Signal); err != nil {
		report(key+".signal", "%v", err)
	}
	if t.Processes == nil {
		report(key+".rotate", "rename signals the target's processes, and this target has none: write processes, or rotate: copy_truncate")
	}
}

func checkEvery(key string, every time.Duration, report report.Func) {
	if every > 0 && every < minEvery {
		report(key+".every", "%s is too often: write at least %s", every, minEvery)
	}
}

// Means returns what the target says that its actions can work with.
func (t *Target) Means() action.Means {
	return action.Means{Folders: &t.Folders, Collects: t.Heap.Collects(), Captures: t.Captures(), Processes: t.Processes != nil}
}

// Captures reports whether evidence of a target can be captured, and is to be.
func (t *Target) Captures() bool {
	return t.Evidence.Enabled() && t.Heap.Enabled() && len(evidence.Of(t.Heap.Provider)) > 0 && t.Heap.Session != heap.SessionPerSample
}

// Has reports whether a target has the means for an action.
func (t *Target) Has(name string) bool {
	means := t.Means()
	return means.Has(name)
}

// dirKey is a folder that a policy names, and where it stands in the file. root is the policy's root
// where the folder is another one.
type dirKey struct {
	dir, key, root string
	policy         policy.Policy
}

// dirs returns the roots of all policies that have a path on this host, and the other folders that they
// name.
func (c *Config) dirs() (roots, others []dirKey) {
	for i := range c.Targets {
		for _, kind := range policy.Kinds {
			for j, p := range c.Targets[i].Of(kind.Name) {
				if p.CommonKeys().Foreign() {
					continue
				}
				for _, place := range p.Places() {
					dir, key := *place.Dir, fmt.Sprintf("targets[%d].%s[%d].%s", i, kind.Key, j, place.Key)
					switch {
					case !filepath.IsAbs(dir) || filepath.Clean(dir) != dir: // the policy has said so itself
					case place.Key == policy.KeyDir:
						roots = append(roots, dirKey{dir: dir, key: key, policy: p})
					default:
						others = append(others, dirKey{dir, key, p.CommonKeys().Dir, p})
					}
				}
			}
		}
	}
	return roots, others
}

// checkDirs refuses roots on which a clean-up could do harm, and policies that share files.
func (c *Config) checkDirs(report, warn report.Func, checks *Checks) {
	dirs, _ := c.dirs()
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	reserved := c.Journal.Dirs()
	asked := make([]question[error], len(dirs))
	for i, d := range dirs {
		asked[i] = ask(checks, d.dir, func() error { return safefs.CheckRootOn(checks.Host, d.dir, reserved...) })
	}
	for i, d := range dirs {
		found, unanswered := asked[i].wait(ctx)
		switch {
		case unanswered != nil:
			warn(d.key, "%v", unanswered)
		case errors.Is(found, fs.ErrNotExist):
			warn(d.key, "%q does not exist yet: it is watched once it does; correct the path if it never will", d.dir)
		case found != nil:
			report(d.key, "%v", found)
		}
		for _, o := range dirs[:i] {
			if why := policy.Conflict(o.policy, d.policy); why != "" {
				report(d.key, sharedFormat, d.dir, o.dir, o.key, why)
				break
			}
		}
	}
}

// sharedFormat reports two policies that could take the same file.
const sharedFormat = "%q overlaps %q of %s, and %s"

// checkQuarantines refuses folders into which files cannot be moved, or which a policy would clean.
func (c *Config) checkQuarantines(report, warn report.Func, checks *Checks) {
	dirs, quarantines := c.dirs()
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	reserved := c.Journal.Dirs()
	asked := make(map[string]question[error])
	for _, q := range quarantines {
		if k := slices.IndexFunc(dirs, func(d dirKey) bool { return policy.Overlap(d.dir, q.dir) }); k >= 0 {
			report(q.key, "%q overlaps %q of %s, which would clean it: write a folder outside of every policy's", q.dir, dirs[k].dir, dirs[k].key)
			continue
		}
		asked[q.key] = ask(checks, q.dir, func() error { return safefs.CheckQuarantine(checks.Host, q.root, q.dir, reserved...) })
	}
	for _, key := range slices.Sorted(maps.Keys(asked)) {
		q := asked[key]
		found, unanswered := q.wait(ctx)
		switch {
		case unanswered != nil:
			warn(key, "%v", unanswered)
		case errors.Is(found, fs.ErrNotExist):
			warn(key, "%q does not exist yet: mkdir -m 0700 it, else nothing is moved", q.path)
		case found != nil:
			report(key, "%v", found)
		}
	}
}

// CheckListener refuses to change things for callers from other hosts that prove nothing.
// addresses are the flags' listen addresses; authenticated says that the listener itself (basic
// auth, client certificates) has decided who may call.
func (c *Config) CheckListener(addresses []string, authenticated bool) error {
	if !c.Enforces() || c.Webhook.TokenFile != "" || authenticated {
		return nil
	}
	for _, a := range addresses {
		if !loopback.Address(a) {
			return Errors{{File: "--web.listen-address", Msg: fmt.Sprintf(
				"mode enforce on %q would let every host that reaches it start a clean-up: write webhook: {token_file: ...}, protect the listener with --web.config.file, or listen on 127.0.0.1:10042", a)}}
		}
	}
	return nil
}
