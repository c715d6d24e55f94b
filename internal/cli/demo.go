package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/spillway-exporter/spillway_exporter/examples/leaky/leak"
	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/app"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/evidence"
	"github.com/spillway-exporter/spillway_exporter/internal/health"
	"github.com/spillway-exporter/spillway_exporter/internal/journal"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	demoTarget   = "leaky"
	demoLook     = 250 * time.Millisecond
	demoLine     = 5 * time.Second // a line about the memory this often
	demoChildEnd = 5 * time.Second

	demoLeak        = 16 << 20               // what the service leaks while the demo runs
	demoStep        = 200 * time.Millisecond // of the service
	demoProfileRate = 32 << 10               // bytes between two samples of what it allocates: a minute is short
)

// demoConfig is the configuration of the demo: one second everywhere, so that a minute shows the
// whole loop several times.
const demoConfig = `# The configuration of spillway_exporter demo.
mode: enforce
sample_interval: 1s
scan_interval: 1s
evaluation_interval: 1s
journal: {dir: %[1]s/journal}
targets:
  - name: ` + demoTarget + `
    processes: {match: {cmdline: '%[2]s', user: %[6]d}}
    memory: {limit: 160MiB}
    heap: {provider: go_pprof, address: %[3]s, limit: 256MiB}
    evidence: {per_hour: 60, max_pause: 5s, headroom: 90%%}
    caches:
      - {name: scenes, dir: %[4]s, include: ['*.mp4'], max_entries: 60, max_bytes: 64MiB, evict_to: 50%%, min_age: 1s}
    temp_dirs:
      - {name: tts, dir: %[5]s, include: ['*.wav', '*.mp3'], max_age: 10s, empty_max_age: 5s, max_files: 100, min_age: 2s}
    playbooks:
      relieve_memory:
        - {do: clean_temp, cooldown: 5s, verify: {after: 3, below: critical}}
        - {do: evict_cache, to: 30%%, cooldown: 5s, verify: {after: 10, below: warning}}
        - {do: capture_evidence}
        - {do: collect_garbage, cooldown: 5s, verify: {after: 10, below: warning}}
      trim_cache: [{do: evict_cache, cooldown: 5s}]
      clean_temp: [{do: clean_temp, cooldown: 5s}]
`

var demoCommand = command{
	name: "demo",
	help: usage{
		summary: "Start a leaking service in a temporary folder and show the whole loop in a minute.",
		effects: "only on what it has made itself: a folder below the temporary folder, which it removes, and the service, which it ends.",
		examples: [][2]string{
			{"spillway_exporter demo", "a minute; the address of its page is printed"},
			{"spillway_exporter demo --duration=5m --web.listen-address=127.0.0.1:10050", "longer, at a known address"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner {
		var f demoFlags
		c.Flag("duration", "How long the demo runs.").Default("60s").SetValue(span{flag: "duration", into: &f.duration})
		c.Flag("web.listen-address", "Address of the demo's page.").Default("127.0.0.1:0").StringVar(&f.address)
		return func(ctx context.Context) error { return demo(ctx, e, &f) }
	},
}

var demoServiceCommand = command{
	name:   "demo-service",
	help:   usage{summary: "The leaking service of the demo."},
	hidden: true,
	declare: func(c *kingpin.CmdClause, e *env) runner {
		var o leak.Options
		c.Flag("dir", "Folder to fill.").Required().StringVar(&o.Dir)
		c.Flag("session-bytes", "Memory that each step leaks.").IntVar(&o.SessionBytes)
		return func(ctx context.Context) error { return demoService(ctx, e, o) }
	},
}

type demoFlags struct {
	duration time.Duration
	address  string
}

// demo starts a leaking service in a temporary folder and an exporter that watches it, prints what
// happens, and ends with a table.
func demo(ctx context.Context, e *env, f *demoFlags) error {
	if f.duration < 10*time.Second {
		return withCode(ExitConfig, fmt.Errorf("--duration %s is too short to show anything: give at least 10s", f.duration))
	}
	dir, err := safefs.NewTempDir("spillway-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if err := dir.Remove(); err != nil {
			fmt.Fprintf(e.Stderr, "the demo's folder could not be removed: %v\n", err)
		}
	}()
	log, err := os.Create(filepath.Join(dir.Path, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	service := filepath.Join(dir.Path, "service")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child, err := action.StartChild(ctx, []string{self, demoServiceCommand.name, "--dir=" + service, fmt.Sprintf("--session-bytes=%d", int64(demoLeak)*int64(demoStep)/int64(f.duration))}, log)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), demoChildEnd)
		defer cancel()
		if err := child.Stop(end); err != nil {
			fmt.Fprintf(e.Stderr, "the leaking service: %v\n", err)
		}
	}()
	var paths leak.Paths
	if err := json.Unmarshal([]byte(child.FirstLine()), &paths); err != nil {
		return fmt.Errorf("the leaking service did not say where it is: %w", err)
	}
	file := filepath.Join(dir.Path, "spillway.yml")
	if err := writeFile(file, []byte(demoText(dir.Path, service, paths))); err != nil {
		return err
	}
	return runDemo(ctx, e, f, file, log, paths)
}

// demoText returns the configuration for a demo in dir whose service leaks below the folder service.
func demoText(dir, service string, paths leak.Paths) string {
	return fmt.Sprintf(demoConfig, dir, demoServiceCommand.name+" --dir="+service, paths.Address, paths.CacheDir, paths.TempDir, os.Geteuid())
}

// runDemo runs the exporter on the file and prints what happens.
func runDemo(ctx context.Context, e *env, f *demoFlags, file string, log io.Writer, paths leak.Paths) error {
	none := ""
	a, err := app.New(ctx, app.Options{
		Roots: e.host, ConfigFile: file, TelemetryPath: "/metrics", Now: e.Now,
		Web: &web.FlagConfig{WebListenAddresses: &[]string{f.address}, WebConfigFile: &none},
	}, setup.NewLogger(log, "debug", e.logFormat))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.duration)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	d := &demoShow{a: a, w: e.Stdout, start: e.Now(), seen: make(map[string]string), paths: paths}
	d.say("page", "%s  (also /metrics and /health/memory)", a.URL())
	d.say("service", "leaks below %s: a heap, a cache, temporary files; %s stays open", filepath.Dir(paths.CacheDir), filepath.Base(paths.OpenFile))
	d.say("config", "%s  (mode: enforce, 160MiB limit)", file)
	err = d.follow(ctx, ended)
	d.table()
	d.leaks(e, file)
	return err
}

// demoShow prints what happens.
type demoShow struct {
	a       *app.App
	w       io.Writer
	start   time.Time
	paths   leak.Paths
	seen    map[string]string // what was printed last, by what it is about
	lastMem time.Time
	peak    float64
	runs    []journal.Record
}

func (d *demoShow) say(what, format string, args ...any) {
	fmt.Fprintf(d.w, "%5.1fs  %-11s %s\n", time.Since(d.start).Seconds(), what, fmt.Sprintf(format, args...))
}

// follow prints news until the exporter has ended.
func (d *demoShow) follow(ctx context.Context, ended <-chan error) error {
	t := time.NewTicker(demoLook)
	defer t.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-t.C:
			if ctx.Err() == nil {
				d.look()
			}
		}
	}
}

func (d *demoShow) look() {
	for _, target := range d.a.Targets() {
		if target.Name == demoTarget {
			d.memory(&target)
		}
	}
	for _, al := range d.a.Alerts() {
		key := "alert " + al.Name + al.Labels["cache"] + al.Labels["dir"]
		if al.State == "firing" && d.seen[key] != al.ActiveAt.String() {
			d.seen[key] = al.ActiveAt.String()
			d.say("alert", "%s: %s", al.Name, al.Annotations["summary"])
		}
	}
	records, _, err := d.a.Records(journal.Filter{Limit: 50})
	if err != nil {
		return
	}
	for i := len(records) - 1; i >= 0; i-- {
		d.record(&records[i])
	}
}

func (d *demoShow) memory(t *health.Target) {
	if t.UsedRatio == nil || t.UsedBytes == nil || t.Level == nil {
		return
	}
	d.peak = max(d.peak, *t.UsedBytes)
	level := t.Level.String()
	if before := d.seen["level"]; before != level {
		d.seen["level"] = level
		if before != "" {
			d.say("level", "%s -> %s", before, level)
		}
	} else if time.Since(d.lastMem) < demoLine {
		return
	}
	d.lastMem = time.Now()
	d.say("memory", "%s of %s (%s), %s", units.Bytes(*t.UsedBytes), units.Bytes(*t.LimitBytes), health.Percent(*t.UsedRatio), level)
}

// record prints a step or a run once it has ended.
func (d *demoShow) record(r *journal.Record) {
	if r.Outcome == "" || d.seen[r.ID] != "" {
		return
	}
	d.seen[r.ID] = r.Outcome
	if r.Step == 0 {
		d.runs = append(d.runs, *r)
		d.say("run", "%s %s: %s -> %s", r.Playbook, r.Outcome, r.Before, r.After)
		return
	}
	text := fmt.Sprintf("%d files, %s freed", r.Files, units.Bytes(r.FreedBytes))
	switch r.Action {
	case action.NameCollectGarbage:
		text = r.Before + " -> " + r.After
	case action.NameCaptureEvidence:
		text = r.Detail
	}
	if s := skippedText(r.Skipped); s != "" {
		text += "; left alone: " + s
	}
	d.say(r.Action, "%s: %s", r.Outcome, text)
}

// table sums up, from the journal.
func (d *demoShow) table() {
	fmt.Fprintf(d.w, "\nWhat was done (peak %s):\n\n", units.Bytes(d.peak))
	t := newTable(d.w, "AFTER", "PLAYBOOK", "ALERT", "BEFORE", "AFTER", "FILES", "FREED", "OUTCOME")
	for i := range d.runs {
		r := &d.runs[i]
		t.row(fmt.Sprintf("%.0fs", r.Time.Sub(d.start).Seconds()), r.Playbook, r.Alert, r.Before, r.After,
			fmt.Sprint(r.Files), units.Bytes(r.FreedBytes).String(), r.Outcome)
	}
	t.flush()
	if len(d.runs) == 0 {
		fmt.Fprintln(d.w, "(no run ended: the demo was stopped early)")
	}
	_, err := os.Stat(d.paths.OpenFile)
	kept := "is still there, since the service has it open"
	if err != nil {
		kept = "is GONE although the service has it open: this is a bug"
	}
	fmt.Fprintf(d.w, "\n%s %s.\n", filepath.Base(d.paths.OpenFile), kept)
}

// leaks names what leaks, as the command evidence does.
func (d *demoShow) leaks(e *env, file string) {
	cfg, err := setup.LoadConfig(file, &config.Checks{Host: e.host})
	if err == nil {
		var all []evidence.Profile
		if all, err = captured(e, cfg, demoTarget); err == nil {
			d.verdict(all)
			return
		}
	}
	fmt.Fprintf(d.w, "\nWhat leaks: not known: %v\n", err)
}

// verdict names the function and the line that leak, where the captures suffice.
func (d *demoShow) verdict(all []evidence.Profile) {
	grew, err := evidence.GrewIn(all, time.Time{})
	switch c := grew.Culprit; {
	case err != nil:
		fmt.Fprintf(d.w, "\nWhat leaks: not known: %v\n", err)
	case c == nil:
		fmt.Fprintf(d.w, "\nWhat leaks: %s.\n", grew.Why)
	default:
		fmt.Fprintf(d.w, "\nWhat leaks: %s. It holds %s more than at %s, %.0f%% of the growth over %d captures.\n",
			evidence.Place(c.Name, c.File, c.Line), units.Bytes(c.Bytes), grew.From.Local().Format(time.TimeOnly), 100*c.Share, grew.Captures)
	}
}

// demoService is the leaking service. It ends when its standard input is closed, which also
// happens when the demo dies.
func demoService(ctx context.Context, e *env, o leak.Options) error {
	signal.Ignore(syscall.SIGINT) // the demo decides when it ends, also at Ctrl-C
	runtime.MemProfileRate = demoProfileRate
	s, err := leak.Start(o)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(e.Stdout).Encode(s.Paths()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() {
		_, err := io.Copy(io.Discard, e.Stdin)
		if err != nil && !errors.Is(err, os.ErrClosed) {
			fmt.Fprintf(e.Stderr, "standard input: %v\n", strings.TrimSpace(err.Error()))
		}
		cancel()
	}()
	return s.Run(ctx)
}
