package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/app"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/hostcheck"
	"github.com/spillway-exporter/spillway_exporter/internal/listen"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/setup"
)

const checkMembers = 10 // processes named per target

// plan is what check prints: what each target matches and what would be cleaned now.
type plan struct {
	Config   string       `json:"config"` // "" = embedded defaults
	Rules    int          `json:"rules"`
	Every    string       `json:"evaluation_interval,omitempty"` // of the rules; "" where Prometheus evaluates them
	Reflex   bool         `json:"reflex,omitempty"`              // Prometheus evaluates them, but the group spillway-reflex is judged here
	Warnings []string     `json:"warnings,omitempty"`
	Targets  []targetPlan `json:"targets"`

	Refused string `json:"refused,omitempty"` // why serve would not start with this configuration and these flags

	Host *hostcheck.Report `json:"host"` // what will not work on this machine, and what to write

	thresholds series.Thresholds
}

type targetPlan struct {
	Name      string                `json:"name"`
	Mode      string                `json:"mode,omitempty"` // "" for what is only observed
	Processes []processPlan         `json:"processes"`
	Also      []alsoPlan            `json:"also_match,omitempty"` // processes that later targets match, too
	Advice    []string              `json:"advice,omitempty"`     // on its conditions
	Resident  int64                 `json:"resident_bytes"`
	Limit     int64                 `json:"configured_limit_bytes,omitempty"`
	Heap      string                `json:"heap,omitempty"`      // provider and address
	Answers   []setup.Answer        `json:"answers,omitempty"`   // of its sources, with --connect
	Playbooks []playbookPlan        `json:"playbooks,omitempty"` // what an alert can ask for
	Cleanup   []action.PolicyResult `json:"cleanup,omitempty"`
}

type playbookPlan struct {
	Name  string   `json:"name"`
	Steps []string `json:"steps"`
}

type processPlan struct {
	PID      int    `json:"pid"`
	Name     string `json:"name"`
	Resident int64  `json:"resident_bytes"`
	Child    bool   `json:"child,omitempty"`
}

type alsoPlan struct {
	Target    string `json:"target"`
	Processes int    `json:"processes"`
	PID       int    `json:"pid"` // of one of them
	Name      string `json:"name"`
}

var checkCommand = command{
	name: "check",
	help: usage{
		summary: "Check the configuration, the rules and the rights on this host, and print the plan: what each target matches and what would be cleaned now.",
		effects: "none. With --connect the services are read once, as serve reads them. Exit code 2 means that serve would refuse the same configuration and flags.",
		examples: [][2]string{
			{"spillway_exporter check --config.file=spillway.yml", "the plan"},
			{"spillway_exporter check --json --config.file=spillway.yml | jq '.targets[].cleanup'", "the same for programs"},
			{"spillway_exporter check --connect --config.file=spillway.yml", "the same, and whether each service answers and may be restarted"},
			{"spillway_exporter check --replay=7d --config.file=new.yml", "what the file would have done in the last week"},
			{"spillway_exporter check", "what is monitored on this host without a configuration"},
		},
	},
	declare: func(c *kingpin.CmdClause, e *env) runner {
		flags := kingpinflag.AddFlags(c, defaultListenAddress) // those of serve, to refuse what it would
		telemetryPath := telemetryPathFlag(c)
		asJSON := c.Flag("json", "Print JSON.").Bool()
		var back time.Duration
		c.Flag("replay", "Instead of the plan, print what the file would have done in this last span of the recorded history, such as 7d: each run, next to what really happened, and the files that its policies would have removed.").PlaceHolder("SPAN").SetValue(span{flag: "replay", into: &back})
		connect := c.Flag("connect", "Also ask each configured source once: heaps, counters and probes of the services, and the managers (systemd, Docker, Podman) of those that playbooks restart: whether they know the service and, where that can be asked, whether this user may restart it.").Bool()
		return func(ctx context.Context) error {
			if back > 0 {
				return printReplay(ctx, e, back, *asJSON)
			}
			p, err := check(ctx, e, flags, *connect)
			if p == nil {
				return err
			}
			refused := cmp.Or(checkTelemetryPath(*telemetryPath), err)
			if refused != nil {
				p.Refused = refused.Error()
			}
			if *asJSON {
				return errors.Join(refused, e.printJSON(p))
			}
			p.print(e.Stdout)
			return refused
		}
	},
}

// check reads the configuration and the rules and returns what follows from them now. It changes
// nothing, listens nowhere and opens no journal; a heap is read with connect alone. With a plan, the error is why
// serve would refuse the listener or the files that the configuration rests on.
func check(ctx context.Context, e *env, flags *web.FlagConfig, connect bool) (*plan, error) {
	cfg, err := e.config()
	if err != nil {
		return nil, err
	}
	auth, refused := e.checkService(cfg, flags)
	set, err := setup.LoadRules(cfg, &e.checks)
	if err != nil {
		return nil, err
	}
	p := &plan{Config: e.configFile, Rules: set.Len(), thresholds: cfg.Thresholds.Memory.Of()}
	if *cfg.Standalone {
		p.Every = cfg.EvaluationInterval.String()
	}
	p.Reflex = app.JudgesReflex(cfg, set)
	for _, w := range cfg.Warnings {
		p.Warnings = append(p.Warnings, w.Error())
	}
	p.Warnings = append(p.Warnings, setup.HostNotes()...)
	if note := setup.AccessNote(cfg, auth.Decided()); note != "" {
		p.Warnings = append(p.Warnings, note)
	}
	if err := p.look(ctx, cfg, e, connect); err != nil {
		return nil, err
	}
	return p, refused
}

// look adds what the targets match and what would be cleaned now.
func (p *plan) look(ctx context.Context, cfg *config.Config, e *env, connect bool) error {
	logger := slog.New(slog.DiscardHandler) // the plan says it all
	cgroups := setup.NewCgroups(e.host)
	tracker, err := setup.NewTracker(cfg, e.host, cgroups, e.logger("warn"))
	if err != nil {
		return err
	}
	defer tracker.Close()
	if err := tracker.Refresh(ctx, e.Now()); err != nil {
		return fmt.Errorf("list the processes: %w", err)
	}
	var answers map[string][]setup.Answer
	if connect {
		answers = setup.Ask(ctx, cfg, e.host, tracker, e.Now)
	}
	overlaps := tracker.Overlaps()
	open, cleanup := safefs.NewOpenFiles(e.host.ProcFS), make(map[string][]action.PolicyResult)
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		tp := targetPlan{Name: t.Name, Mode: t.Mode, Limit: int64(t.Memory.Limit), Answers: answers[t.Name]}
		if t.Heap.Enabled() {
			tp.Heap = strings.TrimSpace(t.Heap.Provider + " " + t.Heap.Address)
		}
		tp.playbooks(t)
		tp.members(tracker)
		tp.matching(tracker, overlaps)
		opts := setup.DirOptions(t.Name, cfg, e.host, logger, e.Now)
		opts.Open, opts.Members, opts.Patience = open, setup.MembersOf(tracker, t.Name), folderPatience
		opts.Inside = setup.Inside(t.Name, cfg, e.host, tracker, false)
		warnings, err := tp.plan(ctx, setup.DirActions(t, e.host, opts))
		if err != nil {
			return err
		}
		p.Warnings = append(p.Warnings, warnings...)
		p.Targets = append(p.Targets, tp)
		cleanup[t.Name] = tp.Cleanup
	}
	asked := hostcheck.Options{
		Config: cfg, Checks: &e.checks, Host: e.host, Tracker: tracker, Cgroups: cgroups, Plan: cleanup, Now: e.Now(),
	}
	if connect {
		asked.Connect = restart.Open
	}
	p.Host = hostcheck.Look(asked)
	return p.discovered(tracker)
}

// checkService refuses what serve would refuse with the same flags.
func (e *env) checkService(cfg *config.Config, flags *web.FlagConfig) (listen.Auth, error) {
	auth, err := listen.ReadAuth(*flags.WebConfigFile)
	if err != nil {
		return auth, withCode(ExitConfig, err)
	}
	check := setup.CheckService
	if os.Geteuid() == 0 {
		check = setup.CheckServiceAsRoot
	}
	return auth, check(cfg, setup.Service{File: e.configFile, Addresses: *flags.WebListenAddresses, Auth: auth}, &e.checks)
}

func (tp *targetPlan) members(tracker *proc.Tracker) {
	tp.Processes = []processPlan{}
	for _, m := range tracker.Members(tp.Name) {
		tp.Resident += m.Resident
		tp.Processes = append(tp.Processes, processPlan{m.PID, m.Name, m.Resident, m.Child})
	}
	slices.SortStableFunc(tp.Processes, func(a, b processPlan) int { return cmp.Compare(b.Resident, a.Resident) })
}

// matching adds what is to be said of the conditions of a target.
func (tp *targetPlan) matching(tracker *proc.Tracker, overlaps []proc.Overlap) {
	for _, o := range overlaps {
		if o.Target == tp.Name {
			tp.Also = append(tp.Also, alsoPlan{o.Also, o.Processes, o.PID, o.Name})
		}
	}
	tp.Advice = tracker.Advice(tp.Name)
}

// plan runs the directory policies of a target without any effect, and warns of what should not go.
func (tp *targetPlan) plan(ctx context.Context, actions []setup.DirAction) (warnings []string, err error) {
	for _, a := range actions {
		looks := newIndexWatch()
		res, err := a.Action.Run(ctx, action.Request{Target: tp.Name, DryRun: true, OnFile: looks.file})
		if err != nil {
			return nil, err
		}
		tp.Cleanup = append(tp.Cleanup, res.Policies...)
		warnings = append(warnings, looks.warnings(tp.Name, res.Policies)...)
	}
	return warnings, nil
}

// playbooks lists what an alert can ask of a target, by name.
func (tp *targetPlan) playbooks(t *config.Target) {
	books := setup.Playbooks(t, t.Has)
	for _, name := range slices.Sorted(maps.Keys(books)) {
		p := playbookPlan{Name: name}
		for _, s := range books[name].Steps {
			p.Steps = append(p.Steps, s.String())
		}
		tp.Playbooks = append(tp.Playbooks, p)
	}
}

// discovered adds the groups that discovery shows.
func (p *plan) discovered(tracker *proc.Tracker) error {
	groups, err := tracker.Discovered(nil)
	if err != nil {
		return err
	}
	for i := range groups {
		tp := targetPlan{Name: groups[i].Target}
		tp.members(tracker)
		p.Targets = append(p.Targets, tp)
	}
	return nil
}
