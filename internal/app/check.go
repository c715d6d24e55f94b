package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/safefs"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const checkMembers = 10 // processes named per target

// plan is what check prints: what each target matches and what would be cleaned now.
type plan struct {
	Config   string       `json:"config"` // "" = embedded defaults
	Rules    int          `json:"rules"`
	Every    string       `json:"evaluation_interval,omitempty"` // of the rules; "" where Prometheus evaluates them
	Warnings []string     `json:"warnings,omitempty"`
	Targets  []targetPlan `json:"targets"`

	thresholds series.Thresholds
}

type targetPlan struct {
	Name      string                `json:"name"`
	Mode      string                `json:"mode,omitempty"` // "" for what is only observed
	Processes []processPlan         `json:"processes"`
	Resident  int64                 `json:"resident_bytes"`
	Limit     int64                 `json:"configured_limit_bytes,omitempty"`
	Heap      string                `json:"heap,omitempty"`      // provider and address
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

// check reads the configuration and the rules and prints what follows from them now. It changes
// nothing, listens nowhere, opens no heap client and no journal.
func check(ctx context.Context, o Options) error {
	cfg, err := loadConfig(&o)
	if err != nil {
		return err
	}
	auth, err := checkListener(cfg, &o)
	if err != nil {
		return err
	}
	set, err := loadRules(cfg)
	if err != nil {
		return err
	}
	p := &plan{Config: o.ConfigFile, Rules: set.Len(), thresholds: cfg.Thresholds.Levels()}
	if *cfg.Standalone {
		p.Every = cfg.EvaluationInterval.String()
	}
	for _, w := range cfg.Warnings {
		p.Warnings = append(p.Warnings, w.Error())
	}
	if note := accessNote(cfg, auth); note != "" {
		p.Warnings = append(p.Warnings, note)
	}
	logger := slog.New(slog.DiscardHandler) // the plan says it all
	tracker, err := newTracker(cfg, &o, newCgroups(&o), newLogger(o.Stderr, "warn", o.LogFormat))
	if err != nil {
		return err
	}
	defer tracker.Close()
	if err := tracker.Refresh(ctx, o.Now()); err != nil {
		return fmt.Errorf("list the processes: %w", err)
	}
	open := safefs.NewOpenFiles(o.ProcFS)
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		tp := targetPlan{Name: t.Name, Mode: t.Mode, Limit: int64(t.Memory.Limit)}
		if t.Heap.Enabled() {
			tp.Heap = strings.TrimSpace(t.Heap.Provider + " " + t.Heap.Address)
		}
		tp.playbooks(t)
		tp.members(tracker)
		if err := tp.plan(ctx, t, &o, dirOptions(t.Name, cfg, logger, o.Now), open, tracker); err != nil {
			return err
		}
		p.Targets = append(p.Targets, tp)
	}
	if err := p.discovered(tracker); err != nil {
		return err
	}
	if o.JSON {
		enc := json.NewEncoder(o.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(p)
	}
	p.print(o.Stdout)
	return nil
}

// checkListener refuses what serve would refuse with the same flags.
func checkListener(cfg *config.Config, o *Options) (webAuth, error) {
	auth, err := readWebAuth(*o.Web.WebConfigFile)
	if err != nil {
		return auth, withCode(ExitConfig, err)
	}
	return auth, cfg.CheckListener(*o.Web.WebListenAddresses, auth.decided())
}

func (tp *targetPlan) members(tracker *proc.Tracker) {
	tp.Processes = []processPlan{}
	for _, m := range tracker.Members(tp.Name) {
		tp.Resident += m.Resident
		tp.Processes = append(tp.Processes, processPlan{m.PID, m.Name, m.Resident, m.Child})
	}
	slices.SortStableFunc(tp.Processes, func(a, b processPlan) int { return cmp.Compare(b.Resident, a.Resident) })
}

// plan runs the directory policies of a target without any effect.
func (tp *targetPlan) plan(ctx context.Context, t *config.Target, o *Options, opts action.DirOptions, open *safefs.OpenFiles, tracker *proc.Tracker) error {
	opts.Open, opts.Members = open, membersOf(tracker, t.Name)
	req := action.Request{Target: t.Name, DryRun: true}
	for _, a := range dirActions(t, o, opts) {
		res, err := a.action.Run(ctx, req)
		if err != nil {
			return err
		}
		tp.Cleanup = append(tp.Cleanup, res.Policies...)
	}
	return nil
}

// playbooks lists what an alert can ask of a target, by name.
func (tp *targetPlan) playbooks(t *config.Target) {
	books := t.Playbooks.Build(t.Has, collectSteps(&t.Heap.Collect))
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
