package hostcheck

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/action"
	"github.com/spillway-exporter/spillway_exporter/internal/cgroup"
	"github.com/spillway-exporter/spillway_exporter/internal/config"
	"github.com/spillway-exporter/spillway_exporter/internal/hostfs"
	"github.com/spillway-exporter/spillway_exporter/internal/needs"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
)

// Options are what the questions are about. All but Plan and Connect is required.
type Options struct {
	Config  *config.Config
	Checks  *config.Checks
	Host    hostfs.Roots
	Tracker *proc.Tracker // refreshed
	Cgroups *cgroup.Tree
	Plan    map[string][]action.PolicyResult // what a clean-up of each target would do now
	Now     time.Time

	// Connect opens the manager of a service that a step restarts, to ask it; nil: no manager is asked.
	Connect func(*restart.Spec) (restart.Manager, error)
}

// Report is what was found.
type Report struct {
	User    string `json:"user"` // of this process
	UID     int    `json:"uid"`
	Kernel  string `json:"kernel"`
	Cgroups string `json:"cgroups"`           // v2, v1, "v1 and v2" or none
	Unit    bool   `json:"unit"`              // it cannot gain rights by running a program (NoNewPrivileges), as in the unit
	Systemd bool   `json:"systemd"`           // runs this host
	DropIn  string `json:"drop_in,omitempty"` // the lines that the findings take, as one drop-in of the unit

	Findings []Finding `json:"findings"`
}

// Finding is one thing that will not work.
type Finding struct {
	Target  string     `json:"target,omitempty"`
	Of      string     `json:"of,omitempty"` // the policy, playbook or key: "temp tts"
	Feature needs.Name `json:"feature"`
	Problem string     `json:"problem"`
	Enforce bool       `json:"enforce"`        // only mode enforce needs it
	Unknown bool       `json:"unknown"`        // it could not be found out
	Unit    []string   `json:"unit,omitempty"` // lines of the unit that give it
	Do      string     `json:"do,omitempty"`   // what else to do
}

// look is one pass of questions.
type look struct {
	Options
	self   self
	report *Report
	now    map[string]folderFacts // by folder, as this process sees it
}

// Look asks everything and returns what was found, each finding once.
func Look(o Options) *Report { return lookAs(o, readSelf()) }

func lookAs(o Options, me self) *Report {
	l := &look{Options: o, self: me, report: &Report{Findings: []Finding{}}, now: make(map[string]folderFacts)}
	r := l.report
	r.User, r.UID, r.Kernel, r.Unit, r.Systemd = l.self.user, l.self.uid, l.self.kernel, l.self.noNewPrivs, l.self.systemd
	r.Cgroups = l.cgroupVersions()
	l.host()
	l.journal()
	for i := range o.Config.Targets {
		t := &o.Config.Targets[i]
		l.folders(t)
		l.processes(t)
		l.playbooks(t)
	}
	l.watchers()
	r.DropIn = dropIn(r.Findings)
	return r
}

// add adds a finding that is not there yet. What a table's row says of its feature is filled in.
func (l *look) add(f Finding) {
	f.Enforce = f.Enforce || needs.Of(f.Feature).Enforce
	if !l.self.systemd && len(f.Unit) > 0 {
		f.Do, f.Unit = withoutUnit(f.Unit, f.Do), nil
	}
	if !slices.ContainsFunc(l.report.Findings, func(g Finding) bool {
		return f.Target == g.Target && f.Of == g.Of && f.Feature == g.Feature && f.Problem == g.Problem
	}) {
		l.report.Findings = append(l.report.Findings, f)
	}
}

// lacks returns the capabilities of a feature that this process does not have.
func (l *look) lacks(name needs.Name) []string {
	var out []string
	for _, c := range needs.Of(name).Capabilities {
		if !l.self.has(c) {
			out = append(out, c)
		}
	}
	return out
}

// capabilityLines are the lines of a unit that give capabilities to a user other than root.
func capabilityLines(capabilities []string) []string {
	if len(capabilities) == 0 {
		return nil
	}
	words := strings.Join(capabilities, " ")
	return []string{"AmbientCapabilities=" + words, "CapabilityBoundingSet=" + words}
}

func (l *look) cgroupVersions() string {
	switch v2, v1 := l.Cgroups.Versions(l.Now); {
	case v2 && v1:
		return "v1 and v2"
	case v2:
		return "v2"
	case v1:
		return "v1"
	}
	return "none"
}

// host adds what concerns every target.
func (l *look) host() {
	if older(l.self.kernel, needs.OldestKernel) {
		l.add(Finding{Feature: needs.Folders, Problem: fmt.Sprintf("Linux %s is older than %s, the oldest that is supported", l.self.kernel, needs.OldestKernel), Do: "use a newer kernel"})
	}
	switch l.report.Cgroups {
	case "v1":
		l.add(Finding{Feature: needs.Cgroups, Problem: "cgroups are of version 1: limits and usage are read; memory.high, its events, the pressure of a service and reclaim_cgroup are missing", Do: "boot with systemd.unified_cgroup_hierarchy=1"})
	case "none":
		l.add(Finding{Feature: needs.Cgroups, Problem: "no cgroups are seen below " + l.Cgroups.Sysfs(l.Now) + "/fs/cgroup: limits of services are not known", Do: "mount them, or write --path.sysfs=..., or memory.limit for each target"})
	}
	if n := l.Tracker.Stats().Unreadable; n > 0 {
		l.add(Finding{
			Feature: needs.Processes, Problem: fmt.Sprintf("of %d processes of other users it cannot be decided whether they belong to a target", n),
			Unit: capabilityLines(l.lacks(needs.Processes)),
		})
	}
	if l.Config.ProcEvents {
		l.procEvents()
	}
}
